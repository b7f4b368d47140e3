# The destination's name is looked up while the proxy runs, in the engine's own DNS.

use strict;
use warnings;

use Image;
use Test::More;

my $overrides = folder_of('teapot.conf' => "location = /teapot { return 418; }\n");
my $proxy = start(
    '-p' => '127.0.0.1::444', '-v' => "$overrides:/config-overrides:ro",
    '-e' => 'LISTEN_ON=81', '-e' => 'LISTEN_ON_TLS=444', '-e' => 'LOG_FORMAT=json',
    '-e' => 'DESTINATION_HOSTNAME=late', '-e' => 'DESTINATION_PORT=45490',
);
my $tls = port($proxy, 444);
my $header = proxy_v1('203.0.113.7');

ok(wait_for(15, sub { get($tls, '/ping', $header) =~ /^HTTP\S+ 200/ }),
    'the proxy starts before its destination');
like(get($tls, '/', $header), qr{^HTTP/1\.1 502 }, 'which it misses');
like(get($tls, '/teapot', $header), qr{^HTTP/1\.1 418 }, 'a location of an override is served');

my $first = start_app('late');
ok(wait_for(20, sub { get($tls, '/', $header) =~ /^HTTP\S+ 200/ }), 'the destination starts');

# As `docker run --link` does it: a line in /etc/hosts.
my $linked = start(
    '-p' => '127.0.0.1::444', '--add-host' => 'linked:' . address($first),
    '-e' => 'LISTEN_ON=81', '-e' => 'LISTEN_ON_TLS=444',
    '-e' => 'DESTINATION_HOSTNAME=linked', '-e' => 'DESTINATION_PORT=45490',
);
my $port = port($linked, 444);
ok(wait_for(15, sub { get($port, '/', $header) =~ /^HTTP\S+ 200/ }), 'a destination in /etc/hosts');
clean_logs($linked);

# The second one is up before the first goes, so it has another address.
start_app('late');
remove($first);
ok(
    wait_for(20, sub {
        my @answers = map { get($tls, '/', $header) } 1 .. 5;
        return 5 == grep { /^HTTP\S+ 200/ } @answers;
    }),
    'the destination moves',
);

like(logs($proxy), qr/^\{.*"remote_addr":"203\.0\.113\.7".*"status":418,.*\}$/m, 'a log in JSON');
clean_logs($proxy);

# podman names a second nameserver, which knows nothing of the test's network. It is never asked,
# though the name is looked up every five seconds.
my $steady = start(
    '-p' => '127.0.0.1::444', '-e' => 'LISTEN_ON=81', '-e' => 'LISTEN_ON_TLS=444',
    '-e' => 'DESTINATION_HOSTNAME=late', '-e' => 'DESTINATION_PORT=45490',
);
$port = port($steady, 444);
ok(wait_for(15, sub { get($port, '/', $header) =~ /^HTTP\S+ 200/ }), 'a destination that is there');
ok(!wait_for(13, sub { get($port, '/', $header) !~ /^HTTP\S+ 200/ }), 'and is not lost again');
clean_logs($steady);

done_testing();
