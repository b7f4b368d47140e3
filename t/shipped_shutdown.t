# The shipped configuration: a request that is still under way SHUTDOWN_TIMEOUT after a stop is
# ended; a request that takes less time completes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use Application;
use Client;
use Process qw(is_running wait_until);
use Shipped;

my $application = Application->start;
my @variables = (DESTINATION_PORT => $application->port, LOG_FORMAT => 'json');

sub under_way {
    my ($nginx, $seconds) = @_;
    my $client = Client->connect($nginx->address);
    $client->send("GET /slow/$seconds HTTP/1.1\r\nHost: app.example\r\n\r\n");
    return $client;
}

subtest 'a stop' => sub {
    my $nginx = Shipped->start(@variables, SHUTDOWN_TIMEOUT => '2s');
    my ($long, $short) = (under_way($nginx, 60), under_way($nginx, 1));
    select undef, undef, undef, 0.3;
    my $start = time;
    $nginx->signal('QUIT');
    is($short->answer->{status}, 200, 'what is done in time is answered');
    ok($long->is_closed(10), 'what is not is ended');
    ok(wait_until(sub { !is_running($nginx->{pid}) }, 10), 'nginx ends');
    my $seconds = time - $start;
    ok($seconds > 1.5 && $seconds < 8, "after two seconds ($seconds)");
    ok($nginx->logs(qr/\[warn\] \S+ 1 client connection with requests closed 2s after the stop/),
        'the error log says so');
    my ($line) = grep { $_->{uri} eq '/slow/60' } map { decode_json($_) } $nginx->accesses;
    is($line->{status}, 0, 'the line of the access log is JSON, with no status');
};

subtest 'a reload' => sub {
    my $nginx = Shipped->start(@variables, SHUTDOWN_TIMEOUT_RELOAD => '1s');
    my ($worker) = $nginx->workers;
    my $client = under_way($nginx, 60);
    select undef, undef, undef, 0.3;
    $nginx->signal('HUP');
    ok($client->is_closed(10), 'has a time of its own');
    ok(wait_until(sub { !is_running($worker) }, 10), 'the old worker ends');
};

finish();
