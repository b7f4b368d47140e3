# The shipped configuration: what each of the two ports answers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(free_port);
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

subtest 'both families' => sub {
    my ($port, $tls, $status) = map { free_port() } 1 .. 3;
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port,
        LISTEN_ON => "$port,[::]:$port", LISTEN_ON_TLS => "$tls, [::]:$tls",
        STATUS_LISTEN_ON => "$status,[::]:$status");
    for my $host ('127.0.0.1', '[::1]') {
        for my $proxy ('', ProxyHeader::v2_local()) {
            is(get("$host:$status", '/ping', proxy => $proxy)->{status}, 200,
                'the operator is served, with a PROXY header or without');
        }
        is(get("$host:$port", '/a')->{headers}{location}, 'https://app.example/a',
            "$host is redirected, with a PROXY header");
        my $answer = get("$host:$tls", '/', proxy => ProxyHeader::v1('2001:db8::1', '::1', 1, 2));
        like($answer->{body}, qr/^X-Real-IP: 2001:db8::1\r$/m, 'and proxied, with its client');
    }
};

subtest 'LISTEN_ON=off' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port, LISTEN_ON => 'off');
    is(get($nginx->address, '/')->{status}, 200, 'the other one serves');
    is(get($nginx->address, '/ping')->{status}, 200, 'with its health check');
    my $master = $nginx->master;
    my @sockets = map { readlink() =~ /socket:\[(\d+)\]/ } glob "/proc/$master/fd/*";
    my %is_own = map { $_ => 1 } @sockets;
    my @listening = grep { $is_own{ (split)[9] } && (split)[3] eq '0A' }
        map { Process::lines_of("/proc/net/$_") } qw(tcp tcp6);
    is(scalar @listening, 2, 'nginx listens for TLS traffic and the operator alone');
};

finish();
