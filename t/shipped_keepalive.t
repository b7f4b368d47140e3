# The shipped configuration: connections to the application are kept for the next request.

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

my @connections = map { get($nginx->address, '/')->{headers}{'x-connection'} } 1 .. 3;
is_deeply(\@connections, [1, 1, 1], 'the requests of three clients share a connection');

my $websocket = WebSocketClient->open($nginx->address, '/');
ok($websocket, 'a WebSocket opens');
$websocket->frame(buffer => 'hello');
$websocket->message for 1 .. 2;
my $before = get($nginx->address, '/')->{headers}{'x-connection'};
$websocket->frame(type => 'close', buffer => pack 'n', 1000);
is($websocket->message, 'close ' . pack('n', 1000), 'it closes');
is(get($nginx->address, '/')->{headers}{'x-connection'}, $before,
    'its connection is not given to the next request');

finish();
