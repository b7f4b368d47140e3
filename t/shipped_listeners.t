# The shipped configuration: what each of the two ports answers.

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

subtest 'with the PROXY protocol' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port);
    for my $proxy (ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1, 80), ProxyHeader::v2_local()) {
        for my $variable (qw(LISTEN_ON LISTEN_ON_TLS)) {
            my $answer = get($nginx->address($variable), '/ping', proxy => $proxy);
            is("$answer->{status} $answer->{body}", '200 ok', "a ping on $variable");
        }
    }
    my $answer = get($nginx->address('LISTEN_ON'), '/a?b=c');
    is($answer->{status}, 301, 'plain traffic is redirected');
    is($answer->{headers}{location}, 'https://app.example/a?b=c', 'to the same place');
    my @addresses = map { get($nginx->address, '/', proxy => $_)->{body} =~ /^X-Real-IP: (.*)\r$/m }
        ProxyHeader::v1('2001:db8::1', '2001:db8::2', 1, 443),
        ProxyHeader::v2('192.0.2.3', '192.0.2.2', 1, 443, [0x04, "\0" x 8]),
        "PROXY UNKNOWN\r\n", ProxyHeader::v2_local();
    is_deeply(\@addresses, ['2001:db8::1', '192.0.2.3', '127.0.0.1', '127.0.0.1'],
        'the client is whom the PROXY header names');
};

subtest 'without it' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port, PROXY_PROTOCOL => 'off',
        HTTPS_PORT => 8443, REDIRECT_STATUS => 308, PING_PATH => '/health');
    for my $variable (qw(LISTEN_ON LISTEN_ON_TLS)) {
        my $answer = get($nginx->address($variable), '/health', proxy => '');
        is("$answer->{status} $answer->{body}", '200 ok', "a ping on $variable");
    }
    my $answer = get($nginx->address('LISTEN_ON'), '/a?b=c', proxy => '');
    is("$answer->{status} $answer->{headers}{location}", '308 https://app.example:8443/a?b=c',
        'plain traffic is redirected as the variables say');
    $answer = get($nginx->address, '/', proxy => '',
        headers => "X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.0.0.1\r\n");
    like($answer->{body}, qr/^X-Forwarded-For: 192\.0\.2\.1\r$/m,
        'the client is whom the load balancer names');
    like($answer->{body}, qr/^X-Forwarded-Port: 8443\r$/m, 'the port is the one that it used');
};

subtest 'from a peer that is not trusted' => sub {
    my $nginx = Shipped->start(
        DESTINATION_PORT => $application->port, TRUSTED_PROXIES => '10.0.0.0/8');
    my $answer = get($nginx->address, '/', headers => "X-Forwarded-For: 203.0.113.9\r\n");
    like($answer->{body}, qr/^X-Real-IP: 127\.0\.0\.1\r\nX-Forwarded-For: 127\.0\.0\.1\r$/m,
        'the client is the peer');
};

finish();
