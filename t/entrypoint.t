# The image's entry point with a real nginx, in the shells of common images: Debian's and busybox's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);

use Application;
use Client;
use Prefix;
use Process qw(folder is_running lines_of stop_process wait_for wait_until write_file);
use Shipped;
use WebSocketClient;

my $application = Application->start;
my @quick = (DESTINATION_PORT => $application->port, PING_MODE => 'ready', WEBSOCKET_DRAIN => 0);
my $script = "$Prefix::Root/nginx/entrypoint";

# The exit status of an nginx's entry point, undef if it does not exit.
sub status_of {
    my ($nginx, $timeout) = @_;
    my $ended = wait_until(sub { !is_running($nginx->{pid}) }, $timeout // 10);
    return $ended ? wait_for($nginx->{pid}) : undef;
}

sub signal {
    my ($nginx, $name) = @_;
    return kill $name, $nginx->{pid};
}

sub ping { return get($_[0]->address, '/ping') }

# Waits for this response: a worker may not have noticed yet that the file has come or gone.
sub pings {
    my ($nginx, $status, $body) = @_;
    my $answer;
    wait_until(sub { ($answer = ping($nginx))->{status} == $status });
    return is("$answer->{status} $answer->{body}", "$status $body", "the answer is $status $body");
}

sub children {
    my ($pid) = @_;
    return split ' ', (lines_of("/proc/$pid/task/$pid/children"))[0] // '';
}

my %shells = (dash => ['dash', $script], busybox => ['busybox', 'sh', $script]);
for my $name (sort keys %shells) {
    subtest $name => sub { tests($shells{$name}) };
}

sub tests {
    my ($words) = @_;
    my @through = (@quick, -w => $words);

    subtest 'without a delay' => sub {
        for my $delay (undef, '', '0', '0s') {
            my $nginx = Shipped->start(@through, DRAIN_DELAY => $delay);
            is($nginx->master, $nginx->{pid}, 'nginx takes its place: ' . ($delay // 'not set'));
            signal($nginx, 'QUIT');
            is(status_of($nginx), 0, 'and ends as it does');
        }
    };

    subtest 'a delay' => sub { is_waited_for(@through) };
    subtest 'a second signal' => sub { skips_the_wait(@through) };
    subtest 'an end of nginx' => sub { ends_it(@through) };

    subtest 'signals that are passed on' => sub {
        my $nginx = Shipped->start(@through, DRAIN_DELAY => 3600);
        my ($worker) = $nginx->workers;
        signal($nginx, 'HUP');
        ok(wait_until(sub { !is_running($worker) && $nginx->workers }, 10), 'HUP reloads');
        signal($nginx, 'USR1');
        ok($nginx->logs(qr/reopening logs/), 'USR1 opens the logs again');
        signal($nginx, 'INT');
        is(status_of($nginx), 0, 'INT ends it at once');
    };

    subtest 'faults' => sub {
        my $must = 'environment variable "DRAIN_DELAY" must be a number of seconds from 0 to 3600';
        for my $delay (qw(soon -1 1m 3601 00015 1.5 s), '1 5', '5;') {
            my $nginx = Shipped->new(@through, DRAIN_DELAY => $delay);
            $nginx->{pid} = $nginx->run;
            is(status_of($nginx), 1, "a delay of \"$delay\" is refused");
            is(scalar(grep { /^elb-entrypoint: \Q$must\E/ } $nginx->messages), 1, 'and it says so');
        }
        my $nginx = Shipped->new(@through, DRAIN_DELAY => 5, DRAIN_FILE => '/nowhere/drain');
        $nginx->{pid} = $nginx->run;
        is(status_of($nginx), 1, 'a file that cannot be made is refused');
        like(join("\n", $nginx->messages), qr{drain file "/nowhere/drain" cannot be made},
            'and it says so');
        $nginx = Shipped->new(@through, DRAIN_DELAY_FILE => '/nowhere/delay');
        $nginx->{pid} = $nginx->run;
        is(status_of($nginx), 1, 'a variable from a file that is not there is refused');
    };
    return;
}

sub is_waited_for {
    my (@options) = @_;
    my $folder = folder();
    write_file("$folder/delay", "3s\n");
    write_file("$folder/drain", '');
    my $nginx =
        Shipped->start(@options, DRAIN_FILE => "$folder/drain", DRAIN_DELAY_FILE => "$folder/delay");
    isnt($nginx->master, $nginx->{pid}, 'it stays');
    ok(!-e "$folder/drain", 'what an earlier run has left is removed');
    pings($nginx, 200, 'ok');
    my $websocket = WebSocketClient->open($nginx->address, '/');
    $websocket->message;

    my $begin = time;
    signal($nginx, 'TERM');
    pings($nginx, 503, 'draining');
    $websocket->frame(buffer => 'still here');
    is($websocket->message, 'text still here', 'the WebSocket goes on');
    is(get($nginx->address, '/')->{status}, 200, 'connections are taken');
    is(scalar(grep { /shutting down/ } $nginx->messages), 0, 'nginx has not been asked to quit');

    like($websocket->message(10) // '', qr/^close \x03\xe9/, 'then the WebSocket gets its Close');
    cmp_ok(time - $begin, '>', 2.9, 'after the delay');
    $websocket->frame(type => 'close', buffer => "\x03\xe9");
    is(status_of($nginx), 0, 'it ends with the status of nginx');
    ok($nginx->logs(qr/signal 3 \(SIGQUIT\).*shutting down/), 'which was asked by SIGQUIT');
    return;
}

sub skips_the_wait {
    my (@options) = @_;
    for my $second (qw(QUIT TERM)) {
        my $nginx = Shipped->start(@options, DRAIN_DELAY => 3600);
        my $master = $nginx->master;
        signal($nginx, 'QUIT');
        ok(wait_until(sub { children($nginx->{pid}) == 2 }), 'it waits');
        my ($timer) = grep { $_ != $master } children($nginx->{pid});
        ok(is_running($master), 'with nginx running');
        signal($nginx, $second);
        is(status_of($nginx), 0, "$second ends it at once");
        ok($nginx->logs(qr/signal 3 \(SIGQUIT\).*shutting down/), 'and nginx by SIGQUIT');
        ok(wait_until(sub { !is_running($timer) }), 'nobody waits any longer');
    }
    for my $time (1 .. 5) {
        my $nginx = Shipped->start(@options, DRAIN_DELAY => 3600);
        signal($nginx, $_) for qw(HUP USR1 QUIT HUP TERM);
        is(status_of($nginx), 0, 'all in a row end it at once, too');
    }
    return;
}

sub ends_it {
    my (@options) = @_;
    my $nginx = Shipped->start(@options, DRAIN_DELAY => 3600);
    kill 'TERM', $nginx->master;
    is(status_of($nginx), 0, 'ends it');

    $nginx = Shipped->start(@options, DRAIN_DELAY => 3600);
    signal($nginx, 'QUIT');
    ok(wait_until(sub { children($nginx->{pid}) == 2 }), 'it waits');
    kill 'TERM', $nginx->master;
    is(status_of($nginx), 0, 'ends it while it waits, too');

    $nginx =
        Shipped->start(@options, DRAIN_DELAY => 3600, -g => 'daemon off; master_process off;');
    kill 'KILL', $nginx->master;
    is(status_of($nginx), 137, 'by a signal: its status says which');

    $nginx = Shipped->new(@options, DRAIN_DELAY => 3600, LISTEN_ON => 'nowhere');
    $nginx->asks_for(qr/"LISTEN_ON" has invalid value/);
    $nginx->{pid} = $nginx->run;
    is(status_of($nginx), 1, 'by a fault: with its status');
    return;
}

finish();
