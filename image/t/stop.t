# A stop completes requests, closes WebSockets properly, and exits with success.

use strict;
use warnings;

use Image;
use Test::More;

start_app('app');
my $proxy = start(
    '-p' => '127.0.0.1::444',
    '-e' => 'LISTEN_ON=81', '-e' => 'LISTEN_ON_TLS=444',
    '-e' => 'DESTINATION_HOSTNAME=app', '-e' => 'DESTINATION_PORT=45490',
);
my $tls = port($proxy, 444);
my $header = proxy_v1('203.0.113.7');
ok(wait_for(15, sub { get($tls, '/', $header) =~ /^HTTP\S+ 200/ }), 'the proxy answers');

my $client = start_client($tls, $header);
ok(wait_for(15, sub { logs($client) =~ /^client/ }), 'a WebSocket is open');

# The signal is sent while a request is under way, which takes the application two seconds.
my $child = fork // die "fork: $!";
if (!$child) {
    sleep 1;
    engine('stop', $proxy);
    require POSIX;
    POSIX::_exit(0);
}
like(get($tls, '/slow', $header), qr{^HTTP/1\.1 200 .*"path": "/slow"}s,
    'a request under way is answered');
waitpid $child, 0;
is(exit_code($client), 0, 'the WebSocket ends');
like(logs($client), qr/^closed 1001$/m, 'with the code of one that goes away');
is(exit_code($proxy), 0, 'the proxy exits with 0');
like(logs($proxy), qr/signal 3 \(SIGQUIT\).*shutting down/, 'it was asked by SIGQUIT');
clean_logs($proxy);

done_testing();
