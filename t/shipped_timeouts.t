# The shipped configuration: a silent WebSocket outlives the timeout of ordinary requests.

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
my $nginx = Shipped->start(DESTINATION_PORT => $application->port, PROXY_READ_TIMEOUT => '1s',
    PROXY_SEND_TIMEOUT => '1s');

my $websocket = WebSocketClient->open($nginx->address, '/');
$websocket->message;
sleep 1;
is(get($nginx->address, '/slow/3')->{status}, 504, 'a slow answer times out');
ok($nginx->logs(qr/\[error\] .*upstream timed out .* while reading response header/),
    'which nginx logs');
sleep 1;
$websocket->frame(buffer => 'still here');
is($websocket->message, 'text still here', 'the WebSocket, silent for longer, does not');
$websocket->frame(type => 'close');
$websocket->is_closed;

finish();
