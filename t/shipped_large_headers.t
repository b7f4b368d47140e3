# The shipped configuration: large headers pass in both directions, and one that is too large is
# reported with the variable to raise.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Test::More;

use Application;
use Client;
use Process qw(run_child stop_process);
use Shipped;

# An application that answers each handshake with the requested protocol, or with a protocol whose
# length is in the path, and then sends a message.
my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 16) or die "listen: $@\n";
my $server = run_child(sub {
    local $/ = "\r\n\r\n";
    while (my $socket = $listener->accept) {
        my $head = <$socket> // next;
        if ($head =~ m{^GET /(4\d\d) }) {
            print $socket "HTTP/1.1 $1 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            next;
        }
        my ($protocol) = $head =~ /^Sec-WebSocket-Protocol: (.*)\r$/m;
        $protocol = 'x' x $1 if $head =~ m{^GET /answer/(\d+) };
        print $socket "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            . "Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n"
            . "Sec-WebSocket-Protocol: $protocol\r\n\r\n\x81\x05hello\x88\x02\x03\xe8";
        $socket->flush;
        <$socket>;
    }
});
my $application = Application->start;

sub token { return join '', map { chr(ord('a') + $_ % 26) } 1 .. $_[0] }

# Sends a handshake; returns the client and the response.
sub open_websocket {
    my ($nginx, $path, $protocol) = @_;
    my $client = Client->connect($nginx->address);
    $client->send("GET $path HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\n"
        . "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        . "Sec-WebSocket-Protocol: $protocol\r\n\r\n");
    return ($client, $client->answer);
}

# nginx's notices about sizes.
sub notices {
    my ($nginx) = @_;
    return map { /\[notice\] \S+ (?:\*\d+ )?((?:client|destination) .* got .*)/ ? $1 : () }
        $nginx->messages;
}

my $token = token(9000);

subtest 'as large as people need' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $application->port);
    my $answer = get($nginx->address, "/?token=$token");
    is($answer->{status}, 200, 'a token of 9 kB in the URL passes');
    like($answer->{body}, qr{^GET /\?token=$token HTTP}, 'unchanged');
    $answer = get($nginx->address, '/', headers => "Cookie: token=$token\r\n");
    like($answer->{body}, qr/^Cookie: token=$token\r$/m, 'and so does one in a cookie');
    $answer = get($nginx->address('LISTEN_ON'), "/?token=$token");
    is($answer->{headers}{location}, "https://app.example/?token=$token", 'or in a redirect');
    is_deeply([notices($nginx)], [], 'there is nothing to report');
};

subtest 'WebSockets' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $listener->sockport);
    my ($client, $answer) = open_websocket($nginx, "/?token=$token", "v1, $token");
    is($answer->{status}, 101, 'a handshake with such a protocol is answered');
    is($answer->{headers}{'sec-websocket-protocol'}, "v1, $token", 'with the same');
    ok($client->reads(qr/\x81\x05hello/), 'and is a tunnel');
};

subtest 'too large' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $listener->sockport);
    my $large = token(17000);
    my $raise = 'environment variable "LARGE_CLIENT_HEADER_BUFFERS" ("4 16k")';
    my @cases = (
        ['a request line', 414, [get => "/?token=$large"],
            "client 192.0.2.1 sent a request line longer than 16k and got 414, raise the size in $raise"],
        ['a field', 400, [get => '/', "Cookie: $large\r\n"],
            'client 192.0.2.1 sent a request header with a field longer than 16k, or too long in all, '
                . "and got 400, raise $raise"],
        ['many fields', 400, [get => '/', "Cookie: $token\r\n" x 8],
            'client 192.0.2.1 sent a request header with a field longer than 16k, or too long in all, '
                . "and got 400, raise $raise"],
        ['a response', 502, [websocket => '/answer/17000'],
            'destination 127.0.0.1:' . $listener->sockport . ' sent a response header longer than '
                . '16k and client 192.0.2.1 got 502, raise environment variable "PROXY_BUFFER_SIZE"'],
    );
    my @expected;
    for (@cases) {
        my ($name, $status, $request, $notice) = @$_;
        my ($kind, $path, $headers) = @$request;
        # the client closes at once, so that nginx does not wait for the rest of the request
        my $answer = $kind eq 'get' ? get($nginx->address, $path, headers => $headers)
            : (open_websocket($nginx, $path, 'v1'))[1];
        is($answer->{status}, $status, "$name is refused");
        # the balancer's address: nginx refuses the request before the PROXY header takes effect
        $notice =~ s/192\.0\.2\.1/127.0.0.1 ("192.0.2.1" in its PROXY header)/ if $status == 414 || $status == 400;
        push @expected, $notice;
        ok($nginx->logs(qr/\Q$notice\E$/, 20), 'which is reported') or diag join "\n", $nginx->messages;
    }
    is_deeply([notices($nginx)], \@expected, 'each once');
    # refused for other reasons
    my $client = Client->connect($nginx->address);
    $client->send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    is($client->answer->{status}, 400, 'a request that is malformed is refused');
    is(get($nginx->address, "/$_")->{status}, $_, "the application answers with $_") for 400, 414;
    is(scalar notices($nginx), scalar @expected, 'that is no matter of size');
};

subtest 'raised' => sub {
    my $nginx = Shipped->start(DESTINATION_PORT => $listener->sockport,
        LARGE_CLIENT_HEADER_BUFFERS => '2 32k', PROXY_BUFFER_SIZE => '40000');
    my $large = token(17000);
    my ($client, $answer) = open_websocket($nginx, "/?token=$large", $large);
    is($answer->{status}, 101, 'what was too large passes');
    is($answer->{headers}{'sec-websocket-protocol'}, $large, 'unchanged');
    ok($client->reads(qr/\x81\x05hello/), 'in a tunnel');
};

# nginx has rules about its buffers, which no value of the variable may violate
for my $size (qw(1k 1025 4k 16k 100k 1m)) {
    my ($status, @messages) = Shipped->check(DESTINATION_PORT => 80, PROXY_BUFFER_SIZE => $size,
        LARGE_CLIENT_HEADER_BUFFERS => "2 $size");
    is($status, 0, "nginx takes a size of $size") or diag join "\n", @messages;
}

subtest 'a location may have sizes of its own' => sub {
    my $folder = Process::folder();
    mkdir "$folder/http" or die;
    Process::write_file("$folder/large.conf",
        "location /a { proxy_buffer_size 20k; proxy_pass http://destination; }\n"
        . "location /b { proxy_buffers 4 64k; proxy_pass http://destination; }\n");
    my ($status, @messages) =
        Shipped->check(DESTINATION_PORT => 80, CONFIG_OVERRIDES => $folder);
    is($status, 0, 'as before') or diag join "\n", @messages;
};

stop_process($server, 'TERM', 5);
finish();
