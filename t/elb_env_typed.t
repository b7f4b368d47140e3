# elb_env: variables with a declared type are checked before nginx uses their values.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

# what the message expects of a variable, and an invalid value
our @TYPED = (
    [LISTEN_ON => 'a port from 1 to 65535 or address:port, several of them separated by commas, or "off"', '81 ssl'],
    [LISTEN_ON_TLS => 'a port from 1 to 65535 or address:port, or several of them separated by commas', 'localhost:81'],
    [STATUS_LISTEN_ON => 'a port from 1 to 65535 or address:port, several of them separated by commas, or "off"', 'on'],
    [DESTINATION_HOSTNAME => 'a host name or an IP address', 'app:80'],
    [DESTINATION_PORT => 'a port from 1 to 65535', '0'],
    [DESTINATIONS =>
        'a JSON list such as [{"hostname":"app-1","port":45490}]: expected value at line 1 column 1',
        'app'],
    [PROXY_PROTOCOL => '"on" or "off"', 'yes'],
    [TRUSTED_PROXIES =>
        '"none" or a list of addresses and CIDR blocks, as in "10.0.0.0/8, 192.168.1.7"', 'all'],
    [CLIENT_ADDRESS_HEADER => 'the name of a header with one address, as in "CloudFront-Viewer-Address" or "CF-Connecting-IP"', 'X-Forwarded-For'],
    [HTTPS_PORT => 'a port from 1 to 65535', '65536'],
    [FORWARDED_PROTO => '"http" or "https"', 'HTTPS'],
    [REDIRECT_STATUS => '301, 302, 307 or 308', '200'],
    [RESOLVER_TIMEOUT => 'a time above 0, as in "60s"', '0'],
    [WORKER_PROCESSES => 'a number from 1 to 500 or "auto"', '0'],
    [WORKER_CONNECTIONS => 'a number from 10 to 1048576', '2147483648'],
    [LARGE_CLIENT_HEADER_BUFFERS => 'a number from 1 to 64 and a size from 1k to 1m, as in "4 16k"', '16k'],
    [PROXY_BUFFER_SIZE => 'a size from 1k to 1m, as in "16k"', '2m'],
    [PROXY_CONNECT_TIMEOUT => 'a time above 0, as in "60s"', '0'],
    [PROXY_READ_TIMEOUT => 'a time above 0, as in "60s"', '0s'],
    [PROXY_SEND_TIMEOUT => 'a time above 0, as in "60s"', '0'],
    [PING_PATH => 'a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping"', '/a b'],
    [READY_PATH => 'a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping"', 'ready'],
    [PING_MODE => '"alive" or "ready"', 'on'],
    [LOG_QUERY => '"on" or "off"', 'none'],
    [DRAIN_DELAY => 'a number of seconds from 0 to 3600, as in "15" or "15s"', '3601'],
);

run_tests();

__DATA__

=== each fault, all in one run
--- config eval
CORE::join '', map { "elb_env return 200 \${$_->[0]:-x};\n" } @::TYPED
--- env eval
CORE::join "\n", map { "$_->[0]=$_->[2]" } @::TYPED
--- faults eval
CORE::join "\n", map {
    qq(environment variable "$_->[0]" has invalid value "$_->[2]", it must be $_->[1], )
        . 'required by "elb_env" directive'
} @::TYPED



=== a value that fits
--- config
    elb_env return 200 "${HTTPS_PORT:-443} ${REDIRECT_STATUS:-301} ${DESTINATION_HOSTNAME}\n";
--- env
HTTPS_PORT=8443
DESTINATION_HOSTNAME=app.example
--- request
GET /
--- response_body
8443 301 app.example
