# The shipped configuration: an ordinary request as the application sees it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Shipped;

my $application = Application->start;
my $nginx = Shipped->start(DESTINATION_PORT => $application->port);

my $spoofed = "X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n"
    . "Forwarded: for=203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n"
    . "X-Forwarded-Host: evil.example\r\n";

my $answer = get($nginx->address, '/a/%2e%2E//b%20c/../d?e=%26&f',
    headers => "X-Own: kept\r\n" . $spoofed);
is($answer->{status}, 200, 'the answer comes back');
is($answer->{body} =~ s/(?<=X-Request-Id: )[0-9a-f]{32}(?=\r\n)/ID/r,
    <<'HEAD' =~ s/\n/\r\n/gr, 'the request as it arrives');
GET /a/%2e%2E//b%20c/../d?e=%26&f HTTP/1.1
Host: app.example
X-Real-IP: 192.0.2.1
X-Forwarded-For: 192.0.2.1
X-Forwarded-Proto: https
X-Forwarded-Host: app.example
X-Forwarded-Port: 443
X-Request-Id: ID
X-Own: kept

HEAD

$answer = get($nginx->address, '/', headers => "Upgrade: WebSocket\r\nConnection: Upgrade\r\n"
    . "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
is($answer->{status}, 101, 'an upgrade to WebSocket is passed on in any case of its letters');

$answer = get($nginx->address, '/',
    headers => "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n");
unlike($answer->{body}, qr/^(?:Upgrade|Connection):/mi, 'an upgrade to h2c is not passed on');

for my $upgrade ('WebSocket2', 'websocket/13', 'TLS/1.0', 'h2c, TLS/1.0') {
    $answer = get($nginx->address, '/', headers => "Upgrade: $upgrade\r\n");
    unlike($answer->{body}, qr/^(?:Upgrade|Connection):/mi, "nor is one to $upgrade");
}

for my $upgrade ('websocket, h2c', 'h2c,WebSocket', "h2c\r\nUpgrade: websocket") {
    my $client = Client->connect($nginx->address);
    $client->send("GET / HTTP/1.1\r\nHost: app.example\r\nUpgrade: $upgrade\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    is($client->answer->{status}, 101, "<$upgrade> is one to WebSocket");
    ok($client->reads(qr/ HTTP\/1\.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nHost: /),
        'of which the application hears, and of no other');
    $client->send("\x88\x80\0\0\0\0");
}

my $client = Client->connect($nginx->address);
$client->send("GET /old HTTP/1.0\r\n\r\n");
like($client->answer->{body}, qr{^GET /old HTTP/1\.1\r\nHost: destination\r\n},
    'HTTP/1.0 without Host arrives as HTTP/1.1 with one');

$client = Client->connect($nginx->address);
$client->send("POST /form HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\n\r\na=b"
    . "GET /next HTTP/1.1\r\nHost: other.example:8443\r\nConnection: close\r\n\r\n");
like($client->answer->{body}, qr/^Content-Length: 3\r\n(?:.+\r\n)*\r\na=b\z/m, 'a body arrives');
$answer = $client->answer;
like($answer->{body}, qr{^GET /next HTTP/1\.1\r\nHost: other\.example:8443\r\n},
    'so does the next request of the connection, with its Host');
undef $client; # otherwise nginx waits for further bytes
is($answer->{headers}{server}, 'nginx', 'the version of nginx is not told');

subtest 'FORWARDED_PROTO' => sub {
    my $plain = Shipped->start(DESTINATION_PORT => $application->port, FORWARDED_PROTO => 'http');
    my $body = get($plain->address, '/', headers => "X-Forwarded-Proto: https\r\n")->{body};
    is(join(' ', $body =~ /^X-Forwarded-Proto: (.*)\r$/mg), 'http',
        'the application is told of the scheme that is set, and of no other');
};

finish();
