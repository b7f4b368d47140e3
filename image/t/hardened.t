# The container as any user, without capabilities, on a read-only root.

use strict;
use warnings;

use Image;
use Test::More;

my @hardened = qw(
    --user 101:101 --read-only --tmpfs /tmp --cap-drop=ALL --security-opt no-new-privileges
);

start_app('app');
my $secrets = folder_of(port => "45490\n");
my $proxy = start(
    @hardened, '-v' => "$secrets:/run/secrets:ro",
    '-p' => '127.0.0.1::8081', '-p' => '127.0.0.1::8444',
    '-e' => 'LISTEN_ON=8081', '-e' => 'LISTEN_ON_TLS=8444',
    '-e' => 'DESTINATION_HOSTNAME=app', '-e' => 'DESTINATION_PORT_FILE=/run/secrets/port',
);
my ($plain, $tls) = (port($proxy, 8081), port($proxy, 8444));
my $header = proxy_v1('203.0.113.7');

ok(wait_for(15, sub { get($plain, '/ping', $header) =~ /^HTTP/ }), 'the proxy answers');
is((engine('exec', $proxy, 'id', '-u'))[1], "101\n", 'as an ordinary user');
isnt((engine('exec', $proxy, 'touch', '/etc/nginx/mark'))[0], 0, 'its root cannot be written to');
like((engine('exec', $proxy, 'cat', '/proc/1/status'))[1], qr/^CapBnd:\t0+$/m, 'no capabilities');

like(get($plain, '/', $header), qr{^Location: https://example\.com/\r$}m, 'it redirects');
like(get($tls, '/', $header), qr{"x-forwarded-for": "203\.0\.113\.7"}, 'it proxies');
like(talk($tls, $header), qr/^megabyte same\n.*^closed 1000$/ms, 'it carries WebSockets');

# A body too large for memory goes through the folder for temporary files. The application's
# response does not matter here.
my $body = 'x' x 200_000;
request($tls, $header . "POST / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
like(logs($proxy), qr{request body is buffered to a temporary file /tmp/}, 'it buffers a body');
unlike(logs($proxy), qr/Read-only file system|Permission denied/, 'it misses no file');
is((engine('exec', $proxy, 'elb-healthcheck'))[0], 0, 'it is healthy');
clean_logs($proxy);

done_testing();
