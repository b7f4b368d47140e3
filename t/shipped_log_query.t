# The shipped configuration: query strings, where browsers put tokens, stay out of all logs with
# LOG_QUERY=off.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use Application;
use Client;
use Process qw(free_port wait_until);
use Shipped;
use WebSocketClient;

my $application = Application->start;
my @working = (DESTINATION_PORT => $application->port);

# The log lines of a WebSocket, a request to the application and a malformed request, each with a
# secret wherever a query may be.
sub lines {
    my (%variables) = @_;
    my $nginx = Shipped->start(@working, %variables);
    my $client = WebSocketClient->open($nginx->address, '/chat?token=secret');
    $client->message;
    undef $client;
    wait_until(sub { ($nginx->accesses) == 2 });
    my $headers = "Referer: https://app.example/b?token=secret\r\n";
    like(get($nginx->address, '/a?token=secret', headers => $headers)->{body},
        qr{^GET /a\?token=secret .*^Referer: https://app.example/b\?token=secret\r$}ms,
        'the application gets the query');
    wait_until(sub { ($nginx->accesses) == 3 });
    $client = Client->connect($nginx->address);
    $client->send("GET /c?token=secret\x01 secret HTTP/1.1\r\nHost: app.example\r\n\r\n");
    is($client->answer->{status}, 400, 'a malformed request is refused');
    undef $client;
    wait_until(sub { ($nginx->accesses) == 4 });
    return $nginx->accesses;
}

subtest 'on' => sub {
    my @lines = lines();
    like($lines[0], qr{"GET /chat\?token=secret HTTP/1.1" 101 }, 'a handshake');
    like($lines[1], qr{ "/chat\?token=secret" }, 'a WebSocket');
    like($lines[2],
        qr{"GET /a\?token=secret HTTP/1.1" 200 \d+ "https://app.example/b\?token=secret"},
        'a request');
};

subtest 'off' => sub {
    my @lines = lines(LOG_QUERY => 'off');
    like($lines[0], qr{"GET /chat HTTP/1.1" 101 \d+ "-"}, 'a handshake');
    like($lines[1], qr{ "/chat" }, 'a WebSocket');
    like($lines[2], qr{"GET /a HTTP/1.1" 200 \d+ "https://app.example/b"}, 'a request');
    like($lines[3], qr{"GET /c HTTP/1.1" 400 }, 'a malformed one');
    unlike(join("\n", @lines), qr/secret|token/, 'no query is anywhere');
};

subtest 'off, as JSON' => sub {
    my @lines = lines(LOG_QUERY => 'off', LOG_FORMAT => 'json');
    unlike(join("\n", @lines), qr/secret|token/, 'no query is anywhere');
    my @parsed = map { decode_json($_) } @lines;
    is_deeply([map { $_->{uri} } @parsed[0 .. 2]], ['/chat', '/chat', '/a'], 'the paths are');
    is($parsed[2]{referer}, 'https://app.example/b', 'so is the page before');
};

for ([on => '?token=secret'], [off => '']) {
    my ($word, $query) = @$_;
    subtest "$word, in the error log" => sub {
        my $nginx = Shipped->start(DESTINATION_PORT => free_port(), LOG_QUERY => $word);
        my $headers = "Referer: https://app.example/b?token=secret\r\n";
        is(get($nginx->address, '/a?token=secret', headers => $headers)->{status}, 502,
            'the application does not answer');
        ok($nginx->logs(qr/\[error\] /), 'that is logged');
        my ($line) = grep { /\[error\] / } $nginx->messages;
        my $port = $nginx->{env}{DESTINATION_PORT};
        like($line,
            qr{, request: "GET /a\Q$query\E HTTP/1.1", upstream: "http://127.0.0.1:$port/a\Q$query\E", host: "app.example", referrer: "https://app.example/b\Q$query\E"$},
            'of the request, for the application and the page before');
    };
}

finish();
