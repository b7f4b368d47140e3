# The shipped configuration: readiness on the status listener, the drain file, and the warning of a
# stop that takes too long.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(wait_until write_file);
use Shipped;

my $application = Application->start;
my @destination = (DESTINATION_PORT => $application->port);

sub told {
    my ($nginx, $path, $listener) = @_;
    my $answer = get($nginx->address($listener), $path);
    return "$answer->{status} $answer->{body}";
}

subtest 'by default' => sub {
    my $nginx = Shipped->start(@destination);
    is(told($nginx, '/ready', 'STATUS_LISTEN_ON'), '200 ok', 'the status listener tells');
    like(told($nginx, '/ready'), qr{^200 GET /ready }, 'elsewhere the path is the application\'s');
    write_file($nginx->path('drain'), '');
    ok(wait_until(sub { told($nginx, '/ready', 'STATUS_LISTEN_ON') eq '503 draining' }),
        'the drain file takes it out');
    is(told($nginx, '/ping'), '200 ok', '/ping is naive');
    like(get($nginx->address('STATUS_LISTEN_ON'), '/status')->{body}, qr/"health":"draining"/,
        'the status tells as well');
    unlink $nginx->path('drain');
    ok(wait_until(sub { told($nginx, '/ready', 'STATUS_LISTEN_ON') eq '200 ok' }), 'and back');
    is(scalar(grep { /a stop takes/ } $nginx->messages), 0, 'nothing is warned of');
};

subtest 'as variables' => sub {
    my $nginx = Shipped->start(@destination, READY_PATH => '/up', PING_MODE => 'ready');
    is(told($nginx, '/up', 'STATUS_LISTEN_ON'), '200 ok', 'READY_PATH');
    write_file($nginx->path('drain'), '');
    ok(wait_until(sub { told($nginx, '/ping') eq '503 draining' }), 'PING_MODE');
};

subtest 'times' => sub {
    my @cases = (
        # variables, the duration in the warning, or undef for no warning
        [[DRAIN_DELAY => 1], undef],
        [[DRAIN_DELAY => 2], '10s'],
        [[DRAIN_DELAY => '12s', STOP_TIMEOUT => 30], undef],
        [[DRAIN_DELAY => 12, STOP_TIMEOUT => '20s'], '20s'],
        [[WEBSOCKET_DRAIN => '10m'], '603s'],
        [[WEBSOCKET_DRAIN => '10m', STOP_TIMEOUT => '11m'], undef],
    );
    for my $case (@cases) {
        my ($variables, $sum) = @$case;
        my ($status, @messages) = Shipped->check(@destination, @$variables);
        is($status, 0, "it would start with @$variables");
        my @warned = map { /\[warn\] .*a stop takes up to (\w+) / ? $1 : () } @messages;
        is_deeply(\@warned, [$sum // ()], $sum ? "and warns of $sum" : 'and warns of nothing');
    }
};

finish();
