# A container that is taken out of service: with DRAIN_DELAY it serves as before until it stops, but
# reports that it is not ready.

use strict;
use warnings;

use Image;
use Test::More;
use Time::HiRes qw(time);

my @settings = ('-e' => 'LISTEN_ON=8081', '-e' => 'LISTEN_ON_TLS=8444',
    '-e' => 'DESTINATION_HOSTNAME=app', '-e' => 'DESTINATION_PORT=45490',
    '-e' => 'PING_MODE=ready', '-e' => 'WEBSOCKET_DRAIN=0');
my @hardened = qw(
    --user 101:101 --read-only --tmpfs /tmp --cap-drop=ALL --security-opt no-new-privileges
);
my $header = proxy_v1('203.0.113.7');

sub first_process {
    my ($proxy) = @_;
    my (undef, $line) = engine('exec', $proxy, 'cat', '/proc/1/cmdline');
    return $line =~ tr/\0/ /r;
}

# The status and the body of the response to a readiness check.
sub ready {
    my ($port) = @_;
    return join ' ', get($port, '/ping', $header) =~ /^HTTP\S+ (\d+).*\r\n\r\n(.*)/s;
}

start_app('app');

for my $signal (qw(SIGQUIT SIGTERM)) {
    my $proxy = start(@settings, @hardened, '-p' => '127.0.0.1::8444',
        '-e' => 'DRAIN_DELAY=5', '--stop-signal' => $signal);
    my $port = port($proxy, 8444);
    ok(wait_for(15, sub { ready($port) eq '200 ok' }), 'the proxy is ready');
    like(first_process($proxy), qr/elb-entrypoint/, 'the entry point stays');
    my $client = start_client($port, $header);
    ok(wait_for(15, sub { logs($client) =~ /^client/ }), 'a WebSocket is open');

    my $begin = time;
    my $child = fork // die "fork: $!";
    if (!$child) {
        engine('stop', '-t', 30, $proxy);
        require POSIX;
        POSIX::_exit(0);
    }
    ok(wait_for(4, sub { ready($port) eq '503 draining' }), "$signal: it is draining");
    like(get($port, '/', $header), qr/^HTTP\S+ 200/, 'and serves');
    unlike(logs($client), qr/^closed/m, 'the WebSocket is open');
    waitpid $child, 0;
    cmp_ok(time - $begin, '>', 4.5, 'then it stops');
    is(exit_code($client), 0, 'the WebSocket ends');
    like(logs($client), qr/^closed 1001$/m, 'with the code of one that goes away');
    is(exit_code($proxy), 0, 'the proxy exits with 0');
    like(logs($proxy), qr/signal 3 \(SIGQUIT\).*shutting down/, 'nginx was asked by SIGQUIT');

    # the drain file that it created is removed
    engine('start', $proxy);
    $port = port($proxy, 8444);
    ok(wait_for(15, sub { ready($port) eq '200 ok' }), 'started again, it is ready');
    clean_logs($proxy);
    remove($proxy);
}

# As a preStop hook of Kubernetes does it.
my $proxy = start(@settings, '-p' => '127.0.0.1::8444');
my $port = port($proxy, 8444);
ok(wait_for(15, sub { ready($port) eq '200 ok' }), 'without a delay, the proxy is ready');
like(first_process($proxy), qr/^nginx: master/, 'nginx is the first process');
engine('exec', $proxy, 'touch', '/tmp/drain');
ok(wait_for(4, sub { ready($port) eq '503 draining' }), 'a file takes it out');
engine('exec', $proxy, 'rm', '/tmp/drain');
ok(wait_for(4, sub { ready($port) eq '200 ok' }), 'and back');
clean_logs($proxy);

$proxy = start(@settings, '-e' => 'DRAIN_DELAY=soon');
is(exit_code($proxy), 1, 'a faulty delay ends it');
like(logs($proxy), qr/"DRAIN_DELAY" must be a number of seconds/, 'and is told');

done_testing();
