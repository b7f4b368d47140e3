# The shipped configuration: a WebSocket with its handshake, and frames in both directions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Shipped;
use WebSocketClient;

my $application = Application->start;
my $nginx = Shipped->start(DESTINATION_PORT => $application->port);

sub is_message {
    my ($websocket, $expected, $name) = @_;
    my $message = $websocket->message // 'nothing';
    # not is(), which would print a megabyte
    ok($message eq $expected, $name) or diag 'got: ', substr $message, 0, 200;
    return;
}

my $websocket = WebSocketClient->open($nginx->address, '/chat/%2e%2e//room?a=%20b');
ok($websocket, 'the handshake succeeds');
my $head = $websocket->message;
like($head, qr{^text GET /chat/%2e%2e//room\?a=%20b HTTP/1\.1\r\n}, 'with the URI untouched');
# nginx 1.31 sends Host first
is_deeply([sort $head =~ /^((?:Upgrade|Connection|Host):.*)\r$/gm],
    ['Connection: upgrade', 'Host: app.example', 'Upgrade: websocket'], 'the headers of an upgrade');
like($head, qr/^X-Real-IP: 192\.0\.2\.1\r\nX-Forwarded-For: 192\.0\.2\.1\r\n/m,
    'and the client\'s address');

for my $type (qw(text binary)) {
    my $payload = $type eq 'text' ? "h\xc3\xa9llo" : join '', map { chr } 0 .. 255;
    $websocket->frame(type => $type, buffer => $payload);
    is_message($websocket, "$type $payload", "$type comes back");
}

$websocket->frame(type => 'text', buffer => '');
is_message($websocket, 'text ', 'an empty message comes back');

$websocket->frame(type => 'text', buffer => 'in', fin => 0);
$websocket->frame(type => 'ping', buffer => 'between');
$websocket->frame(type => 'continuation', buffer => ' three ', fin => 0);
$websocket->frame(type => 'continuation', buffer => 'frames');
is_message($websocket, 'pong between', 'a ping between fragments is answered');
is_message($websocket, 'text in three frames', 'a fragmented message arrives whole');

$websocket->frame(buffer => 'fragments back');
is_message($websocket, 'text fragments and back', 'so does one to the client');

$websocket->frame(buffer => 'ping');
is_message($websocket, 'ping from the application', 'a ping of the application arrives');
$websocket->frame(type => 'pong', buffer => 'from the application');

my $megabyte = join '', map { pack 'N', $_ * 2654435761 & 0xffffffff } 1 .. 262144;
$websocket->frame(type => 'binary', buffer => $megabyte);
is_message($websocket, "binary $megabyte", 'a megabyte comes back');

$websocket->frame(buffer => 'frame') for 1 .. 100;
is(scalar(grep { $websocket->message eq 'text frame' } 1 .. 100), 100, 'a hundred at once');

my $close = pack('n', 4001) . 'enough';
$websocket->frame(type => 'close', buffer => $close);
is_message($websocket, "close $close", 'a close of the client is answered');
ok($websocket->is_closed, 'then the connection ends');

$websocket = WebSocketClient->open($nginx->address, '/');
$websocket->message;
$websocket->frame(buffer => 'bye');
is_message($websocket, 'close ' . pack('n', 1000) . 'bye', 'a close of the application arrives');
$websocket->frame(type => 'close', buffer => pack 'n', 1000);
ok($websocket->is_closed, 'then the connection ends');

my $client = Client->connect($nginx->address);
$client->send("GET / HTTP/1.1\r\nHost: app.example\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
    . "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    . "\x81\x85\0\0\0\0early");
my $answer = $client->answer;
is($answer->{status}, 101, 'a handshake with a frame right behind it succeeds');
is($answer->{headers}{'sec-websocket-accept'}, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'with its key');
ok($client->reads(qr/\x81\x05early/), 'the frame is answered');
$client->send("\x88\x80\0\0\0\0");

finish();
