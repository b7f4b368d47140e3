# The shipped configuration: the access log, with the client's address, as text and as JSON.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use Application;
use Client;
use Process qw(wait_until);
use Shipped;

my $application = Application->start;
my $port = $application->port;

# Sends one request of each kind; returns their lines in the access log.
sub lines {
    my (%variables) = @_;
    my $nginx = Shipped->start(DESTINATION_PORT => $port, %variables);
    get($nginx->address, '/a?b=%22c',
        headers => qq(User-Agent: "quoted" \\ \t\xc3\xa4\r\nReferer: https://app.example/\r\n)
            . "X-Request-Id: the-id\r\n");
    get($nginx->address($_), '/ping') for qw(LISTEN_ON LISTEN_ON_TLS);
    get($nginx->address('LISTEN_ON'), '/plain');
    wait_until(sub { ($nginx->accesses) >= 2 });
    return $nginx->accesses;
}

subtest 'text' => sub {
    my @lines = lines();
    is(@lines, 2, 'pings are not logged');
    is($lines[0] =~ s/\[[^]]+\]/[time]/r =~ s/\d+\.\d{3}(?= |$)/0.001/gr =~ s/ 200 \d+/ 200 1/r,
        '192.0.2.1 - - [time] "GET /a?b=%22c HTTP/1.1" 200 1 "https://app.example/" '
        . qq("\\x22quoted\\x22 \\x5C \\x09\\xC3\\xA4" 0.001 "127.0.0.1:$port" 0.001 the-id -),
        'a proxied request');
    is($lines[1] =~ s/\[[^]]+\]/[time]/r =~ s/ [0-9a-f]{32} / id /r,
        '192.0.2.1 - - [time] "GET /plain HTTP/1.1" 301 162 "-" "-" 0.000 "-" - id -',
        'a redirected one');
};

subtest 'JSON' => sub {
    my @lines = map { decode_json($_) } lines(LOG_FORMAT => 'json');
    is(@lines, 2, 'pings are not logged');
    my ($proxied, $redirected) = @lines;
    like(delete $proxied->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/, 'the time');
    like(delete $proxied->{bytes_sent}, qr{^\d+$}, 'bytes_sent');
    like(delete $proxied->{$_}, qr/^\d+(\.\d+)?$/, $_) for qw(request_time upstream_response_time);
    is_deeply($proxied, {
        remote_addr => '192.0.2.1', host => 'app.example', method => 'GET', uri => '/a?b=%22c',
        protocol => 'HTTP/1.1', status => 200, upgrade => '', referer => 'https://app.example/',
        user_agent => qq("quoted" \\ \t\xe4), upstream_addr => "127.0.0.1:$port",
        upstream_status => '200', request_id => 'the-id', websocket_state => '',
        websocket_protocol => '', websocket_extensions => '', websocket_active => 0,
    }, 'a proxied request');
    is_deeply([@$redirected{qw(remote_addr status uri upstream_addr)}],
        ['192.0.2.1', 301, '/plain', ''], 'a redirected one');
    like($redirected->{request_id}, qr/^[0-9a-f]{32}$/, 'with an id of its own');
};

# For a request with this header: the id that the application received, and the id in the log.
sub ids {
    my ($nginx, $header) = @_;
    my $before = $nginx->accesses;
    my $answer = get($nginx->address, '/', headers => $header);
    my ($passed) = $answer->{body} =~ /^X-Request-Id: (.*)\r$/m;
    wait_until(sub { ($nginx->accesses) > $before });
    return $passed, decode_json(($nginx->accesses)[-1])->{request_id};
}

subtest 'the request id' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $port, LOG_FORMAT => 'json');
    for my $id ('a', '6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'Zm9v+/=._-', 'x' x 128) {
        is_deeply([ids($nginx, "X-Request-Id: $id\r\n")], [$id, $id], "$id is kept");
    }
    for my $id ('', 'x' x 129, 'a b', '"', '\\', 'a;b', "a\x01", "\xc3\xa4", "\xff", '$host') {
        my ($passed, $logged) = ids($nginx, "X-Request-Id: $id\r\n");
        my $name = $id =~ s/([^ -~])/sprintf '\x%02x', ord $1/egr;
        like($passed, qr/^[0-9a-f]{32}$/, "<$name> is replaced");
        is($logged, $passed, 'by the one in the log');
    }
    my ($passed, $logged) = ids($nginx, "X-Request-Id: a\r\nX-Request-Id: b\r\n");
    is($logged, $passed, 'of two, one is passed on');
};

subtest 'JSON of hostile requests' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $port, LOG_FORMAT => 'json');
    my $evil = qq("},{\\\x01\t\xff\xe2\x82 \xc3\xa4);
    my $client = Client->connect($nginx->address);
    # nginx 1.29.4 and later refuse such a host
    my ($host, $logged) = ("\xff.example", "\x{fffd}.example");
    ($host, $logged) = ('example') x 2 if Prefix::since('1.29.4');
    $client->send("GET /\xff\"\\ HTTP/1.1\r\nHost: $host\r\nUser-Agent: $evil\r\n"
        . "Referer: $evil\r\nX-Request-Id: $evil\r\nConnection: close\r\n\r\n");
    is($client->answer->{status}, 200, 'it is answered');
    wait_until(sub { ($nginx->accesses) >= 1 });
    my @lines = $nginx->accesses;
    is(@lines, 1, 'it has one line');
    my $line = decode_json($lines[0]);
    my $text = qq("},{\\\x01\t\x{fffd}\x{fffd} \xe4);
    is_deeply([@$line{qw(uri host user_agent referer)}],
        ["/\x{fffd}\"\\", $logged, $text, $text], 'that says what there was');
    like($line->{request_id}, qr/^[0-9a-f]{32}$/, 'with an id of its own');

    $client = Client->connect($nginx->address);
    $client->send("\xff\x00\"\r\n\r\n");
    is($client->answer->{status}, 400, 'what is no request is refused');
    undef $client; # otherwise nginx waits for further bytes
    wait_until(sub { ($nginx->accesses) >= 2 });
    $line = decode_json(($nginx->accesses)[1]);
    is_deeply([@$line{qw(status method uri)}], [400, '', ''], 'and has a line');
};

subtest 'a WebSocket' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $port, LOG_FORMAT => 'json');
    my $client = Client->connect($nginx->address);
    $client->send("GET /chat HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\n"
        . "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\nX-Request-Id: the-id\r\n"
        . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    is($client->answer->{status}, 101, 'the handshake succeeds');
    ok($client->reads(qr/X-Request-Id: the-id\r\n/), 'the application gets the id');
    wait_until(sub { ($nginx->accesses) >= 1 });
    my $begin = decode_json(($nginx->accesses)[0]);
    is_deeply([@$begin{qw(status upgrade websocket_state request_id)}],
        [101, 'websocket', 'tunnelled', 'the-id'], 'the access log has it');
    undef $client;
    wait_until(sub { ($nginx->accesses) >= 2 });
    my $end = decode_json(($nginx->accesses)[1]);
    is_deeply([@$end{qw(close_reason request_id)}], ['client', 'the-id'], 'so has the other');
};

finish();
