# The command line of the original container, word for word but for the ports of this machine.

use strict;
use warnings;

use Image;
use Test::More;

start_app('app');
my $proxy = start(
    '-p' => '127.0.0.1::81', '-p' => '127.0.0.1::444',
    '-e' => 'LISTEN_ON=81', '-e' => 'LISTEN_ON_TLS=444',
    '-e' => 'DESTINATION_HOSTNAME=app', '-e' => 'DESTINATION_PORT=45490',
);
my ($plain, $tls) = (port($proxy, 81), port($proxy, 444));
my $v1 = proxy_v1('203.0.113.7');
my $v2 = proxy_v2('203.0.113.8');

ok(wait_for(15, sub { get($plain, '/ping', $v1) =~ /^HTTP/ }), 'the proxy answers');

for my $case ([$plain, 'plain', $v1, 1], [$plain, 'plain', $v2, 2], [$tls, 'TLS', $v1, 1],
    [$tls, 'TLS', $v2, 2])
{
    my ($port, $name, $header, $version) = @$case;
    like(get($port, '/ping', $header), qr{^HTTP/1.1 200 OK\r\n.*\r\n\r\nok}s,
        "health check of the $name port behind PROXY v$version");
}

like(get($plain, '/a?b=c%20d', $v1),
    qr{^HTTP/1.1 301 .*^Location: https://example\.com/a\?b=c%20d\r$}ms,
    'what was not TLS is sent to https');

like(get($tls, '/a?b=c', $v1), qr{^HTTP/1.1 200 .*"path": "/a\?b=c".*"x-forwarded-for": "203\.0\.113\.7"}s,
    'a request reaches the application with the client of PROXY v1');
like(get($tls, '/a?b=c', $v2), qr{"x-forwarded-for": "203\.0\.113\.8"},
    'and with the client of PROXY v2');
is(get($tls, '/a'), '', 'nothing is said to a peer without a PROXY header');

my $talked = <<'END';
text same
binary same
fragmented same
megabyte same
ping answered
closed 1000
END
is(talk($tls, $v1), "client 203.0.113.7\n$talked", 'a WebSocket behind PROXY v1');
is(talk($tls, $v2), "client 203.0.113.8\n$talked", 'a WebSocket behind PROXY v2');

my $log = logs($proxy);
like($log, qr{^203\.0\.113\.7 .*"GET /a\?b=c HTTP/1\.1" 200 }m, 'the log names the client');
like($log, qr{^203\.0\.113\.8 .*"GET /chat\?room=1 HTTP/1\.1" 101 }m, 'and that of a WebSocket');
unlike($log, qr{GET /ping}, 'health checks are not logged');
clean_logs($proxy);

done_testing();
