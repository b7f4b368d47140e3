# The shipped configuration: variables for nginx's own settings, tested by their effects.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(folder lines_of wait_until);
use Shipped;

my $application = Application->start;
my @destination = (DESTINATION_PORT => $application->port);

sub post {
    my ($nginx, $size) = @_;
    my $client = Client->connect($nginx->address);
    $client->send("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: $size\r\n"
        . "Connection: close\r\n\r\n" . 'x' x $size);
    return $client->answer->{status};
}

subtest 'by default' => sub {
    my $nginx = Shipped->start(@destination);
    is(post($nginx, 1 << 20), 200, 'a body of a megabyte is taken');
    is(post($nginx, (1 << 20) + 1), 413, 'a larger one is not');
    is(scalar(grep { /\[info\]/ } $nginx->messages), 0, 'there is nothing at level info');
};

subtest 'as variables' => sub {
    my $folder = folder();
    my $nginx = Shipped->start(@destination, CLIENT_MAX_BODY_SIZE => 10, WORKER_PROCESSES => 3,
        ACCESS_LOG => "$folder/access", ERROR_LOG => "$folder/error", LOG_LEVEL => 'info');
    is(post($nginx, 10), 200, 'CLIENT_MAX_BODY_SIZE is taken');
    is(post($nginx, 11), 413, 'CLIENT_MAX_BODY_SIZE is exceeded');
    ok(wait_until(sub { $nginx->workers == 3 }), 'WORKER_PROCESSES');
    ok(wait_until(sub { lines_of("$folder/access") == 2 }), 'ACCESS_LOG');
    my ($line) = grep { /\[info\] .*environment variables read: / } lines_of("$folder/error");
    ok($line, 'ERROR_LOG and LOG_LEVEL');
    like($line // '', qr/ ACCESS_LOG, ACCESS_LOG_FILE, .*TEMP_PATH, TEMP_PATH_FILE,/,
        'all names are logged at level info');
    is($nginx->accesses, 0, 'nothing goes to stdout');
};

subtest 'in the events block' => sub {
    my $nginx = Shipped->start(@destination, WORKER_CONNECTIONS => 10);
    $nginx->asks_for(qr/10 worker_connections are not enough/);
    my @clients = map { Client->connect($nginx->address) } 1 .. 12;
    ok($nginx->logs(qr/10 worker_connections are not enough/), 'WORKER_CONNECTIONS');
};

finish();
