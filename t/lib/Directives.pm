package Directives;

# Additions to Test::Nginx for the tests of the module's directives. To be used before it:
#
#     use Directives;
#     use Test::Nginx::Socket 'no_plan';
#
# Beside the sections of Test::Nginx a block may have:
#
#   --- env       NAME=VALUE lines, the environment of nginx; $TEST_NGINX_... is replaced
#   --- faults    nginx refuses to start, with these messages and no others at [emerg]; the
#                 " in FILE:LINE" of a message is left out where that line has a directive elb_... or
#                 websocket_...
#   --- port: N   the request goes to $TEST_NGINX_PORT_N (1 to 3), not to Test::Nginx's server
#
# In every block, an [emerg], [alert] or [crit] in error.log that it does not expect is a failure.

use strict;
use warnings;

use IO::Socket::IP;

use Prefix;

# Test files run in parallel: each has its own folder and four consecutive ports below the kernel's
# range of ephemeral ports. nginx is restarted for every block; meanwhile the UDP port with the
# first number reserves them.
my $kept;

sub take {
    my ($first) = @_;
    my @any = (LocalHost => '0.0.0.0', LocalPort => $first);
    $kept = IO::Socket::IP->new(@any, Proto => 'udp') or return;
    return !grep { !IO::Socket::IP->new(@any, LocalPort => $_, Listen => 1) } $first .. $first + 3;
}

BEGIN {
    my $first;
    do { $first = 30000 + 4 * int rand 690 } until take($first);
    $ENV{TEST_NGINX_SERVER_PORT} = $first;
    $ENV{"TEST_NGINX_PORT_$_"} = $first + $_ for 1 .. 3;
    $ENV{TEST_NGINX_SERVROOT} = "$Prefix::Root/t/servroot_$first";
}

# Runs after the END block of Test::Nginx, which stops nginx.
END { system 'rm', '-rf', server_root() if !$ENV{TEST_NGINX_NO_CLEAN} }

use Test::More ();
use Test::Nginx::Util;

my @set;

no_root_location();

add_block_preprocessor(sub {
    my ($block) = @_;
    set_environment($block->env // '');
    server_port_for_client(server_port() + ($block->port // 0));
    if (defined $block->faults) {
        $block->set_value(must_die => 1);
        $block->set_value(suppress_stderr => 1);
        # expected, so that Test::Nginx does not warn about it
        $block->set_value(error_log => '[emerg]');
        $block->set_value(config => '') if !defined $block->config;
    }
});

add_test_cleanup_handler(sub {
    my ($block) = @_;
    my $expected = $block->faults // '';
    $expected =~ s/\n+\z//;
    Test::More::is(join("\n", loud_messages()), $expected,
        $block->name . ' - [emerg], [alert] and [crit] in error.log');
});

sub set_environment {
    my ($lines) = @_;
    delete $ENV{$_} for @set;
    @set = ();
    for my $line (split /\n/, $lines) {
        my ($name, $value) = split /=/, $line, 2;
        $value =~ s/\$(TEST_NGINX_\w+)/$ENV{$1}/g;
        $ENV{$name} = $value;
        push @set, $name;
    }
}

sub loud_messages {
    my $root = server_root();
    my @conf = lines_of("$root/conf/nginx.conf");
    my @messages;
    for (lines_of("$root/logs/error.log")) {
        next if !/$Prefix::Loud/;
        my $message = s/.*\[emerg\] \d+#\d+: //r;
        $message =~ s/ in \Q$root\E\S+:(\d+)/$conf[$1 - 1] =~ m(\b(?:elb|websocket)_) ? '' : $&/e;
        push @messages, $message;
    }
    return @messages;
}

sub lines_of {
    my ($path) = @_;
    open my $file, '<', $path or return;
    chomp(my @lines = <$file>);
    return @lines;
}

1;
