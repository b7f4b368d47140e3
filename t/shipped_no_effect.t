# The shipped configuration: a notice names each variable that is set but has no effect without
# another one. src/settings/effects.rs tests all such dependencies.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Process qw(folder);
use Shipped;

# The configuration test's notices about variables without effect.
sub notices {
    my (%variables) = @_;
    my ($status, @messages) = Shipped->check(DESTINATION_PORT => 80, %variables);
    is($status, 0, 'nginx starts') or diag join "\n", @messages;
    return [map { /\[notice\] \d+#\d+: environment variable "(\w+)" has no effect: (.*)/
        ? "$1: $2" : () } @messages];
}

my $off = 'is "off"';
for (
    ['nothing', [], []],
    ['a check that is off',
        [DESTINATION_CHECK_PATH => '/health', DESTINATION_CHECK_TIMEOUT => '1s',
            DESTINATION_CHECK_RISE => 3, DESTINATION_CHECK_FALL => 4],
        [map { qq(DESTINATION_CHECK_$_: "DESTINATION_CHECK" $off) } qw(PATH TIMEOUT RISE FALL)]],
    ['one that is on', [DESTINATION_CHECK => '5s', DESTINATION_CHECK_PATH => '/health',
        DESTINATION_CHECK_STATUS => 200], []],
    ['one without a path', [DESTINATION_CHECK => '5s', DESTINATION_CHECK_STATUS => 200],
        ['DESTINATION_CHECK_STATUS: "DESTINATION_CHECK_PATH" is not set']],
    ['a folder that is not there', [CONFIG_OVERRIDES => '/nowhere'],
        ['CONFIG_OVERRIDES: folder "/nowhere" is not there']],
    ['addresses, which are never looked up', [RESOLVER_VALID => '1s'],
        ['RESOLVER_VALID: no destination is a name']],
    ['no status listener',
        [STATUS_LISTEN_ON => 'off', READY_PATH => '/healthy', DRAIN_FILE => folder() . '/drain'],
        [qq(READY_PATH: "STATUS_LISTEN_ON" $off),
            qq(DRAIN_FILE: "STATUS_LISTEN_ON" $off, and "PING_MODE" is not "ready")]],
    ['no Pings and no drain',
        [WEBSOCKET_PING => 'off', WEBSOCKET_PONG_TIMEOUT => '5s', WEBSOCKET_DRAIN => 'off',
            WEBSOCKET_DRAIN_RELOAD => '5s', WEBSOCKET_DRAIN_GRACE => '2s'],
        [qq(WEBSOCKET_PONG_TIMEOUT: "WEBSOCKET_PING" $off),
            map { qq(WEBSOCKET_DRAIN_$_: "WEBSOCKET_DRAIN" $off) } qw(RELOAD GRACE)]],
    ['no logs', [ACCESS_LOG => 'off', WEBSOCKET_LOG => 'off', LOG_FORMAT => 'json'],
        [qq(LOG_FORMAT: "ACCESS_LOG" $off, and "WEBSOCKET_LOG" $off)]],
    ['one log', [ACCESS_LOG => 'off', LOG_FORMAT => 'json'], []],
    ['defaults that somebody has written down',
        [DESTINATION_CHECK => 'off', DESTINATION_CHECK_TIMEOUT => '2s'], []],
    )
{
    my ($name, $variables, $expected) = @$_;
    subtest $name => sub {
        is_deeply(notices(@$variables), $expected, 'the notices are those');
    };
}

subtest 'a start' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => 80, DESTINATION_CHECK_PATH => '/health');
    my @notices = grep { /\[notice\] .*"DESTINATION_CHECK_PATH" has no effect/ } $nginx->messages;
    is(@notices, 1, 'has one too');
};

finish();
