# The shipped configuration: malformed requests are refused, never reach the application, and harm
# no worker.

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
my $nginx = Shipped->start(DESTINATION_PORT => $application->port);
my @workers = $nginx->workers;

my $request = "GET /never HTTP/1.1\r\nHost: app.example\r\n\r\n";
my $v2 = ProxyHeader::v2('192.0.2.1', '192.0.2.2', 1111, 443);

my %headers = (
    'no PROXY header'             => '',
    'a word too many'             => "PROXY TCP4 192.0.2.1 192.0.2.2 1111 443 1\r\n",
    'an address too few'          => "PROXY TCP4 192.0.2.1 1111 443\r\n",
    'no address'                  => "PROXY TCP4 localhost 192.0.2.2 1111 443\r\n",
    'no family'                   => "PROXY TCP5 192.0.2.1 192.0.2.2 1111 443\r\n",
    'no port'                     => "PROXY TCP4 192.0.2.1 192.0.2.2 port 443\r\n",
    'no end of line'              => 'PROXY TCP4 192.0.2.1 192.0.2.2 1111 443 ',
    'an endless line'             => 'PROXY TCP4 ' . '1' x 200 . "\r\n",
    'lower case'                  => "proxy TCP4 192.0.2.1 192.0.2.2 1111 443\r\n",
    'version 3'                   => substr($v2, 0, 12) . "\x31" . substr($v2, 13),
    'addresses that are cut off'  => substr($v2, 0, 14) . "\0\4\xc0\0\2\1",
    'a length beyond the request' => substr($v2, 0, 14) . "\xff\xff" . substr($v2, 16),
    'the signature alone'         => substr($v2, 0, 12),
    'TLS'                         => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . "\0" x 32,
);
for my $name (sort keys %headers) {
    my $client = Client->connect($nginx->address, $headers{$name});
    $client->send($request);
    ok($client->is_closed, "$name: closed without an answer");
}

# request line, headers, body
my %requests = (
    'two lengths'           => ['POST /', "Content-Length: 1\r\nContent-Length: 2\r\n", 'ab'],
    'a length and chunks'   => ['POST /',
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"],
    'an unknown coding'     => ['POST /', "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"],
    'a negative length'     => ['POST /', "Content-Length: -1\r\n"],
    'a second Host'         => ['GET /', "Host: b\r\n"],
    'a NUL'                 => ['GET /', "X-A: b\0c\r\n"],
    'a header without name' => ['GET /', ": b\r\n"],
    'a path above the root' => ['GET /../a'],
    'no method'             => ['/'],
    'a PROXY header again'  => [$v2 . 'GET /'],
);
for my $name (sort keys %requests) {
    my ($line, $headers, $body) = (@{ $requests{$name} }, '', '');
    my $client = Client->connect($nginx->address);
    $client->send("$line HTTP/1.1\r\nHost: a\r\n$headers\r\n$body");
    is($client->answer->{status}, $name eq 'an unknown coding' ? 501 : 400, "$name: refused");
}
for my $request ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
    my $client = Client->connect($nginx->address);
    $client->send($request);
    is($client->answer->{status}, 400, $request =~ s/\r\n/, /gr . 'refused');
}

my $answer = get($nginx->address, '/');
is($answer->{status}, 200, 'a good request afterwards');
is($answer->{headers}{'x-request'}, 1, 'is the first to reach the application');
is_deeply([$nginx->workers], \@workers, 'the worker is the same');

finish();
