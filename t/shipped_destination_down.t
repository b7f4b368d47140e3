# The shipped configuration: an application that starts late, stops and starts again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Test::More;

use Application;
use Client;
use Process qw(free_port);
use Shipped;

my $port = free_port();
my $nginx = Shipped->start(DESTINATION_PORT => $port);
is(get($nginx->address, '/')->{status}, 502, 'the application is down at start');
is(get($nginx->address, '/ping')->{status}, 200, 'nginx is up');

for my $time ('comes up', 'comes back') {
    my $application = Application->start(port => $port);
    is(get($nginx->address, '/')->{status}, 200, "it $time");
    is(get($nginx->address, '/')->{headers}{'x-connection'}, 1, 'with its connection kept');
    $application->stop;
    is(get($nginx->address, '/')->{status}, 502, 'it goes down');
}

# an application with a list of permitted hosts refuses checks with another host
my @cases = (
    [qr/^Host: 127\.0\.0\.1:\d+\r$/m],
    [qr/^Host: app\.example\r$/m, DESTINATION_CHECK_HOST => 'app.example'],
);
for (@cases) {
    my ($expected, @variables) = @$_;
    my $application = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1) or die $@;
    my $checking = Shipped->start(DESTINATION_PORT => $application->sockport,
        DESTINATION_CHECK => '1h', DESTINATION_CHECK_PATH => '/health', @variables);
    my $check = $application->accept or die "accept: $!";
    local $/ = "\r\n\r\n";
    like(scalar <$check>, $expected, "a check names the host (@variables)");
}

finish();
