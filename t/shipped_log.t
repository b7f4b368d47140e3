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

# One request of each kind; the lines that they leave.
sub lines {
    my (%variables) = @_;
    my $nginx = Shipped->start(DESTINATION_PORT => $port, %variables);
    get($nginx->address, '/a?b=%22c',
        headers => qq(User-Agent: "quoted" \\ \t\xc3\xa4\r\nReferer: https://app.example/\r\n));
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
        . qq("\\x22quoted\\x22 \\x5C \\x09\\xC3\\xA4" 0.001 "127.0.0.1:$port" 0.001),
        'a proxied request');
    is($lines[1] =~ s/\[[^]]+\]/[time]/r,
        '192.0.2.1 - - [time] "GET /plain HTTP/1.1" 301 162 "-" "-" 0.000 "-" -',
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
        upstream_status => '200',
    }, 'a proxied request');
    is_deeply([@$redirected{qw(remote_addr status uri upstream_addr)}],
        ['192.0.2.1', 301, '/plain', ''], 'a redirected one');
};

finish();
