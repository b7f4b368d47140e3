# Reload: with an invalid environment the old configuration stays; a corrected one replaces it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(folder free_port is_running wait_until write_file);
use Shipped;
use WebSocketClient;

my $application = Application->start;
my $folder = folder();
my ($old, $new) = map { '127.0.0.1:' . free_port() } 1 .. 2;
write_file("$folder/listen", "$old\n");
write_file("$folder/destination", $application->port);
my $nginx = Shipped->start(LISTEN_ON_TLS => undef, LISTEN_ON_TLS_FILE => "$folder/listen",
    DESTINATION_PORT_FILE => "$folder/destination", WEBSOCKET_DRAIN_RELOAD => '1s');
my @workers = $nginx->workers;

my $websocket = WebSocketClient->open($old, '/');
$websocket->message;
my $slow = Client->connect($old);
$slow->send("GET /slow/1 HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n");

write_file("$folder/listen", 'hunter2');
write_file("$folder/destination", '0');
$nginx->asks_for(qr/environment variable "\w+_FILE" names a file with an invalid value/);
$nginx->signal('HUP');
my @faults = (
    'environment variable "LISTEN_ON_TLS_FILE" names a file with an invalid value, it must be '
        . 'a port from 1 to 65535 or address:port, or several of them separated by commas, '
        . 'required by "elb_listen" directive',
    'environment variable "DESTINATION_PORT_FILE" names a file with an invalid value, it must be '
        . 'a port from 1 to 65535, required by "elb_destination" directive',
);
ok($nginx->logs(qr/\[emerg\] \S+ \Q$_\E in /), 'each fault of a broken environment is told')
    for @faults;
is(scalar(grep { /hunter2/ } $nginx->messages), 0, 'what the file holds is not told');
is(get($old, '/')->{status}, 200, 'the old configuration goes on');
is($slow->answer->{status}, 200, 'the request under way is answered');
$websocket->frame(buffer => 'still here');
is($websocket->message, 'text still here', 'the WebSocket goes on');
is_deeply([$nginx->workers], \@workers, 'the workers are the same');

write_file("$folder/destination", $application->port);
write_file("$folder/listen", "$new\n");
$slow = Client->connect($old);
$slow->send("GET /slow/1 HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n");
$nginx->signal('HUP');
ok(wait_until(sub { eval { get($new, '/')->{status} == 200 } }), 'a mended one is taken');
is($slow->answer->{status}, 200, 'the request under way is answered');
ok(wait_until(sub { !eval { Client->connect($old) } }), 'the old address is given up');
ok($websocket->is_over, 'the WebSocket is asked to reconnect');
ok(wait_until(sub { !is_running($workers[0]) }, 10), 'the old worker ends');

finish();
