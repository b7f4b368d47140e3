# The shipped configuration: connections to the application are kept for the next request, and
# connections of clients for the time in the variables.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Prefix;
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

subtest 'DESTINATION_KEEPALIVE_TIMEOUT' => sub {
    my $nginx = Shipped->start(
        DESTINATION_PORT => $application->port, DESTINATION_KEEPALIVE_TIMEOUT => '1s');
    my $first = get($nginx->address, '/')->{headers}{'x-connection'};
    sleep 2;
    isnt(get($nginx->address, '/')->{headers}{'x-connection'}, $first,
        'one that was idle for longer is not used again');
};

sub answered {
    my ($nginx) = @_;
    my $client = Client->connect($nginx->address);
    $client->send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    is($client->answer->{status}, 200, 'a request is answered');
    return $client;
}

subtest 'KEEPALIVE_TIMEOUT' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port, KEEPALIVE_TIMEOUT => '1s');
    ok(answered($nginx)->is_closed(3), 'a client that is idle for longer is closed');
};

subtest 'KEEPALIVE_MIN_TIMEOUT' => sub {
    plan skip_all => 'from nginx 1.27.4' if !Prefix::since('1.27.4');
    for ([0, 'closes'], ['30s', 'does not close']) {
        my ($time, $what) = @$_;
        my $nginx = Shipped->start(DESTINATION_PORT => $application->port,
            KEEPALIVE_MIN_TIMEOUT => $time);
        my $client = answered($nginx);
        $nginx->signal('HUP');
        is(!!$client->is_closed(2), !$time,
            "with $time, a reload $what the connection of a client that was answered just now");
    }
};

finish();
