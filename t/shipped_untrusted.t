# The shipped configuration: a PROXY header of an untrusted peer is reported once a minute, with the
# variable to set; and a CDN before the load balancer sends the client's address.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use ProxyHeader;
use Shipped;

my $application = Application->start;

sub notices {
    my ($nginx) = @_;
    return map { /\[notice\] \S+ \*\d+ (a PROXY header .*)/ ? $1 : () } $nginx->messages;
}

sub client {
    my ($nginx, %option) = @_;
    my ($client) = get($nginx->address, '/', %option)->{body} =~ /^X-Real-IP: (.*)\r$/m;
    return $client;
}

subtest 'a peer that is not trusted' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port, TRUSTED_PROXIES => '10.0.0.0/8');
    is(client($nginx), '127.0.0.1', 'is the client itself') for 1 .. 3;
    is_deeply([notices($nginx)], [
        'a PROXY header that names client 192.0.2.1 is not believed, as its peer 127.0.0.1 is not in '
            . 'environment variable "TRUSTED_PROXIES": add the network of the load balancer there, '
            . 'if 127.0.0.1 is one',
    ], 'which is reported once');
};

subtest 'nothing to report' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port);
    is(client($nginx), '192.0.2.1', 'of a peer that is trusted');
    is_deeply([notices($nginx)], [], 'there is none');

    $nginx = Shipped->start(DESTINATION_PORT => $application->port, TRUSTED_PROXIES => 'none');
    is(client($nginx), '127.0.0.1', 'where nobody is to be trusted');
    is_deeply([notices($nginx)], [], 'there is none');

    $nginx = Shipped->start(DESTINATION_PORT => $application->port, TRUSTED_PROXIES => '10.0.0.0/8');
    my $same = ProxyHeader::v2('127.0.0.1', '192.0.2.2', 1, 443);
    is(client($nginx, proxy => $same), '127.0.0.1', 'behind a balancer that keeps the address');
    client($nginx, proxy => ProxyHeader::v2_local());
    is_deeply([notices($nginx)], [], 'there is none');
};

subtest 'CLIENT_ADDRESS_HEADER' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port,
        TRUSTED_PROXIES => '127.0.0.0/8 198.51.100.0/24',
        CLIENT_ADDRESS_HEADER => 'CloudFront-Viewer-Address');
    my $edge = ProxyHeader::v2('198.51.100.7', '192.0.2.2', 1, 443);
    my $headers = "CloudFront-Viewer-Address: 2001:db8::9:46532\r\nX-Real-IP: 203.0.113.1\r\n";
    is(client($nginx, proxy => $edge, headers => $headers), '2001:db8::9',
        'the application sees the client of the CDN');
    is(client($nginx, headers => $headers), '192.0.2.1', 'and a client that goes past it as itself');
    is(client($nginx, proxy => $edge), '198.51.100.7', 'or the CDN, where that does not say');
    # the requests of one connection may have different clients
    my $client = Client->connect($nginx->address, $edge);
    my @clients;
    for my $address ('203.0.113.1:1', '203.0.113.2:2') {
        $client->send("GET / HTTP/1.1\r\nHost: app.example\r\n"
            . "CloudFront-Viewer-Address: $address\r\n\r\n");
        push @clients, $client->answer->{body} =~ /^X-Real-IP: (.*)\r$/m;
    }
    is_deeply(\@clients, ['203.0.113.1', '203.0.113.2'], 'in each request of a connection');
    $client->send("GET /ws HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        . "CloudFront-Viewer-Address: 203.0.113.3:3\r\n\r\n");
    is($client->answer->{status}, 101, 'a WebSocket of that connection is opened');
    ok($client->reads(qr/X-Real-IP: 203\.0\.113\.3\r\n/), 'with its own');
    $client->send("\x88\x80\0\0\0\0");
    ok(Process::wait_until(sub {
        scalar grep { /^203\.0\.113\.3 / } $nginx->accesses
    }), 'and is in the logs with it');
};

finish();
