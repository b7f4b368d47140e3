# elb_trusted_proxies with CLIENT_ADDRESS_HEADER: a CDN before the load balancer sends the client's
# address, which counts if each address on the way is trusted.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use ProxyHeader;
use Test::Nginx::Socket 'no_plan';

our $Servers = <<'CONF';
    elb_trusted_proxies;
    server {
        listen $TEST_NGINX_PORT_1 proxy_protocol;
        return 200 "$remote_addr $remote_port $realip_remote_addr $http_x_real_ip\n";
    }
CONF

# The load balancer is 127.0.0.1, and an edge of the CDN is in 198.51.100.0/24.
our $Env = "TRUSTED_PROXIES=127.0.0.0/8, 198.51.100.0/24\nCLIENT_ADDRESS_HEADER=";
our $Edge = ProxyHeader::v1('198.51.100.7', '192.0.2.2', 1111, 80);
our $Other = ProxyHeader::v2('192.0.2.1', '192.0.2.2', 2222, 80);

# A request with these headers.
sub with {
    my ($proxy, @headers) = @_;
    return $proxy . CORE::join "\r\n", 'GET / HTTP/1.0', @headers, '', '';
}

run_tests();

__DATA__

=== CloudFront, IPv4
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CloudFront-Viewer-Address'
--- port: 1
--- raw_request eval
::with($::Edge, 'CloudFront-Viewer-Address: 203.0.113.9:46532', 'X-Forwarded-For: 203.0.113.9')
--- response_body eval
"203.0.113.9 46532 127.0.0.1 \n"



=== CloudFront, IPv6 without brackets
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CloudFront-Viewer-Address'
--- port: 1
--- raw_request eval
::with($::Edge, 'cloudfront-viewer-address: 2001:db8::1:46532')
--- response_body eval
"2001:db8::1 46532 127.0.0.1 \n"



=== Cloudflare
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
::with($::Edge, 'CF-Connecting-IP: 2001:db8::1')
--- response_body_like: ^2001:db8::1 \d* 127\.0\.0\.1 $



=== past the CDN: the client is whom the PROXY header names
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
::with($::Other, 'CF-Connecting-IP: 203.0.113.9')
--- response_body eval
"192.0.2.1 2222 127.0.0.1 \n"



=== the CDN does not say
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
::with($::Edge, 'X-Forwarded-For: 203.0.113.9')
--- response_body eval
"198.51.100.7 1111 127.0.0.1 \n"



=== no address
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
::with($::Edge, 'CF-Connecting-IP: localhost')
--- response_body eval
"198.51.100.7 1111 127.0.0.1 \n"



=== the header twice
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
::with($::Edge, 'CF-Connecting-IP: 203.0.113.9', 'CF-Connecting-IP: 203.0.113.8')
--- response_body eval
"198.51.100.7 1111 127.0.0.1 \n"



=== a load balancer that speaks for itself
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
::with(ProxyHeader::v2_local(), 'CF-Connecting-IP: 203.0.113.9')
--- response_body_like: ^127\.0\.0\.1 \d+ 127\.0\.0\.1 $



=== a peer that is not trusted
--- http_config eval: $::Servers
--- config
--- env
TRUSTED_PROXIES=10.0.0.0/8, 198.51.100.0/24
CLIENT_ADDRESS_HEADER=CF-Connecting-IP
--- port: 1
--- raw_request eval
::with($::Edge, 'CF-Connecting-IP: 203.0.113.9')
--- response_body_like: ^127\.0\.0\.1 \d+ 127\.0\.0\.1 $



=== a client's X-Real-IP names nobody
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
[::with(ProxyHeader::v2_local(), 'X-Real-IP: 203.0.113.9')]
--- response_body_like: ^127\.0\.0\.1 \d+ 127\.0\.0\.1 203\.0\.113\.9$



=== nor does it beside the header of the CDN
--- http_config eval: $::Servers
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
::with($::Other, 'X-Real-IP: 203.0.113.9', 'CF-Connecting-IP: 203.0.113.8')
--- response_body eval
"192.0.2.1 2222 127.0.0.1 203.0.113.9\n"



=== without the PROXY protocol, behind an application load balancer
--- http_config
    elb_trusted_proxies;
--- config
    return 200 "$remote_addr\n";
--- env eval: "PROXY_PROTOCOL=off\n" . $::Env . 'CF-Connecting-IP'
--- request eval
[("GET /") x 6]
--- more_headers eval
[
    "CF-Connecting-IP: 203.0.113.9\nX-Forwarded-For: 203.0.113.9, 198.51.100.7",
    # a client that bypasses the CDN
    "CF-Connecting-IP: 203.0.113.9\nX-Forwarded-For: 192.0.2.1",
    "CF-Connecting-IP: 203.0.113.9\nX-Forwarded-For: 198.51.100.7, 192.0.2.1",
    # the CDN connects directly
    "CF-Connecting-IP: 203.0.113.9",
    # without the CDN's header
    "X-Forwarded-For: 192.0.2.1, 198.51.100.7",
    "X-Real-IP: 203.0.113.9",
]
--- response_body eval
["203.0.113.9\n", "192.0.2.1\n", "192.0.2.1\n", "203.0.113.9\n", "192.0.2.1\n", "127.0.0.1\n"]



=== TRUSTED_PROXIES=none trusts no CDN
--- http_config eval: $::Servers
--- config
--- env
TRUSTED_PROXIES=none
CLIENT_ADDRESS_HEADER=CF-Connecting-IP
--- port: 1
--- raw_request eval
::with($::Edge, 'CF-Connecting-IP: 203.0.113.9')
--- response_body_like: ^127\.0\.0\.1 \d+ 127\.0\.0\.1 $



=== in a server
--- http_config
    server {
        listen $TEST_NGINX_PORT_1 proxy_protocol;
        elb_trusted_proxies;
        return 200 "$remote_addr\n";
    }
--- config
--- env eval: $::Env . 'CF-Connecting-IP'
--- port: 1
--- raw_request eval
::with($::Edge, 'CF-Connecting-IP: 203.0.113.9')
--- response_body
203.0.113.9
