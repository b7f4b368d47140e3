# The shipped configuration: the status listener, with and without the PROXY protocol.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Test::More;

use Application;
use Client;
use Process qw(free_port);
use ProxyHeader;
use Shipped;

my $application = Application->start;

my @headers = ('', ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1, 80),
    ProxyHeader::v2('192.0.2.3', '192.0.2.2', 1, 443, [0x04, "\0" x 8]), ProxyHeader::v2_local());

for my $protocol (qw(on off)) {
    subtest "PROXY_PROTOCOL=$protocol" => sub {
        my $nginx = Shipped->start(DESTINATION_PORT => $application->port,
            PROXY_PROTOCOL => $protocol, PING_PATH => '/health');
        my $status = $nginx->address('STATUS_LISTEN_ON');
        for my $proxy (@headers) {
            my $answer = get($status, '/health', proxy => $proxy);
            is("$answer->{status} $answer->{body}", '200 ok', 'the health check');
            is(get($status, '/', proxy => $proxy)->{status}, 404,
                'neither proxied nor redirected');
        }
        is($nginx->accesses, 0, 'nothing is in the access log');
        my $wrong = $protocol eq 'on' ? '' : $headers[1];
        is(get($nginx->address, '/', proxy => $wrong)->{status}, $protocol eq 'on' ? undef : 400,
            'a public listener takes one form only');
    };
}

subtest 'off' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port, STATUS_LISTEN_ON => 'off');
    is(get($nginx->address, '/')->{status}, 200, 'the others serve');
};

subtest 'its default' => sub {
    # it does not matter whether the first nginx or another process has the default address
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port, STATUS_LISTEN_ON => undef);
    my $second = Shipped->start(DESTINATION_PORT => $application->port, STATUS_LISTEN_ON => undef);
    is(get($second->address, '/')->{status}, 200, 'two instances start');
    like(join("\n", $second->messages),
        qr/\[warn\] .*default address "127.0.0.1:9145" of environment variable "STATUS_LISTEN_ON"/,
        'the second does without');
};

my $address = '127.0.0.1:' . free_port();
my ($status, @messages) = Shipped->check(
    DESTINATION_PORT => 80, LISTEN_ON_TLS => $address, STATUS_LISTEN_ON => $address);
is($status, 1, 'an address that is taken by another listener is refused');
my $fault = "environment variable \"STATUS_LISTEN_ON\" has invalid value \"$address\", "
    . 'it must have no address in common with "LISTEN_ON_TLS"';
like((grep { /\[emerg\]/ } @messages)[0], qr/\Q$fault\E/, 'both are named');

finish();
