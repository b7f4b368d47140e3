# The shipped configuration: DESTINATION_CHECK and the variables beside it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(free_port);
use Shipped;

sub words { return grep { / destination \S+ of upstream / } @_ }

subtest 'off by default' => sub {
    my $application = Application->start;
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port);
    sleep 1;
    is(get($nginx->address, '/')->{headers}{'x-connection'}, 1, 'the application was let alone');
    $application->stop;
    is(get($nginx->address, '/')->{status}, 502, 'it is gone');
    is(words($nginx->messages), 0, 'which nothing has told but the request');
};

subtest 'by a connection' => sub {
    my $port = free_port();
    my $nginx = Shipped->start(DESTINATION_PORT => $port, DESTINATION_CHECK => '200ms',
        DESTINATION_CHECK_RISE => 1, DESTINATION_CHECK_FALL => 2, WORKER_PROCESSES => 2);
    my $name = qr/destination 127\.0\.0\.1:$port of upstream "destination"/;
    ok($nginx->logs(qr/\[warn\] \S+ $name is down: connect: Connection refused$/),
        'it is down at start');
    is(get($nginx->address, '/')->{status}, 502, 'a request gets 502');
    is(get($nginx->address, '/ping')->{status}, 200, 'nginx is up');
    is(scalar(grep { /connect\(\) failed/ } $nginx->messages), 0, 'nothing was sent to it');

    my $application = Application->start(port => $port);
    ok($nginx->logs(qr/\[notice\] \S+ $name is up$/), 'it comes up');
    my $answer = get($nginx->address, '/');
    is($answer->{status}, 200, 'and gets requests');
    is($answer->{headers}{'x-request'}, 1, 'this is the first');
    $application->stop;
};

subtest 'by a request' => sub {
    my @applications = map { Application->start } 1 .. 2;
    my $list = join ',', map { '{"hostname":"127.0.0.1","port":' . $_->port . '}' } @applications;
    my $nginx = Shipped->start(DESTINATION_HOSTNAME => undef, DESTINATIONS => "[$list]",
        DESTINATION_CHECK => '300ms', DESTINATION_CHECK_PATH => '/health?full=1',
        DESTINATION_CHECK_FALL => 1);
    my @numbers = map { get($nginx->address, '/')->{headers}{'x-request'} } 1, 2;
    sleep 1;
    cmp_ok(get($nginx->address, '/')->{headers}{'x-request'}, '>', $_ + 1, 'there are others')
        for @numbers;
    is(words($nginx->messages), 0, 'all is well');

    my ($dead, $live) = @applications;
    $dead->stop;
    my $port = $dead->port;
    ok($nginx->logs(qr/\[warn\] \S+ destination \S+:$port of \S+ "destination" is down: connect: /),
        'one dies');
    is(get($nginx->address, '/')->{status}, 200, 'the other answers') for 1 .. 4;
    $live->stop;
};

subtest 'an answer that is not expected' => sub {
    my $application = Application->start;
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port, DESTINATION_CHECK => '300ms',
        DESTINATION_CHECK_PATH => '/health', DESTINATION_CHECK_STATUS => '204,300-399');
    ok($nginx->logs(qr/\[warn\] .* is down: status 200$/), 'DESTINATION_CHECK_STATUS');
    $application->stop;
};

subtest 'an answer that is late' => sub {
    my $application = Application->start;
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port, DESTINATION_CHECK => '300ms',
        DESTINATION_CHECK_PATH => '/slow/30', DESTINATION_CHECK_TIMEOUT => '500ms');
    ok($nginx->logs(qr/\[warn\] .* is down: timed out after 500ms$/), 'DESTINATION_CHECK_TIMEOUT');
    $application->stop;
};

my %faults = (
    DESTINATION_CHECK         => 'yes',
    DESTINATION_CHECK_TIMEOUT => '0',
    DESTINATION_CHECK_RISE    => 'two',
    DESTINATION_CHECK_FALL    => '-1',
    DESTINATION_CHECK_STATUS  => 'ok',
    DESTINATION_CHECK_PATH    => 'health',
);
for my $name (sort keys %faults) {
    my ($status, @messages) = Shipped->check(DESTINATION_PORT => 80, $name => $faults{$name});
    is($status, 1, "$name=$faults{$name} does not start");
    my @emergencies = grep { /\[emerg\]/ } @messages;
    is(@emergencies, 1, 'for one reason');
    like($emergencies[0] // '', qr/invalid value "[^"]*\Q$faults{$name}\E" in "elb_check" directive, it must be .*"$name"/,
        'that names it');
}

finish();
