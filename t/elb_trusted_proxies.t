# elb_trusted_proxies: the client's address from the PROXY header of a trusted peer.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use ProxyHeader;
use Test::Nginx::Socket 'no_plan';

our $Servers = <<'CONF';
    elb_trusted_proxies;
    server {
        listen $TEST_NGINX_PORT_1 proxy_protocol;
        return 200 "$remote_addr\n";
    }
CONF

our $Request = "GET / HTTP/1.0\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";

run_tests();

__DATA__

=== version 1, IPv4
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
192.0.2.1



=== version 1, IPv6
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v1('2001:db8::1', '2001:db8::2', 1111, 80) . $::Request
--- response_body
2001:db8::1



=== version 1, UNKNOWN names nobody
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
"PROXY UNKNOWN\r\n" . $::Request
--- response_body
127.0.0.1



=== version 1, UNKNOWN with addresses names nobody
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
"PROXY UNKNOWN 2001:db8::1 2001:db8::2 1111 80\r\n" . $::Request
--- response_body
127.0.0.1



=== version 2, IPv4
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v2('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
192.0.2.1



=== version 2, IPv6
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v2('2001:db8::1', '2001:db8::2', 1111, 80) . $::Request
--- response_body
2001:db8::1



=== version 2, with the TLVs of a network load balancer
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v2('192.0.2.1', '192.0.2.2', 1111, 80, [0x03, "\0" x 4], [0x04, "\0" x 32],
    [0xea, "\1vpce-08d2bf15fac5001c9"]) . $::Request
--- response_body
192.0.2.1



=== version 2, LOCAL names nobody
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v2_local() . $::Request
--- response_body
127.0.0.1



=== version 2, a family that is none of IP names nobody
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v2_unspecified() . $::Request
--- response_body
127.0.0.1



=== TRUSTED_PROXIES with the peer in one of its blocks
--- http_config eval: $::Servers
--- config
--- env
TRUSTED_PROXIES=10.0.0.0/8, 127.0.0.1 ,fd00::/8
--- port: 1
--- raw_request eval
ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
192.0.2.1



=== a peer outside of TRUSTED_PROXIES names nobody
--- http_config eval: $::Servers
--- config
--- env
TRUSTED_PROXIES=10.0.0.0/8, 127.0.0.2
--- port: 1
--- raw_request eval
ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
127.0.0.1



=== a peer outside names nobody, version 2
--- http_config eval: $::Servers
--- config
--- env
TRUSTED_PROXIES=10.0.0.0/8
--- port: 1
--- raw_request eval
ProxyHeader::v2('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
127.0.0.1



=== TRUSTED_PROXIES=none trusts nobody
--- http_config eval: $::Servers
--- config
--- env
TRUSTED_PROXIES=none
--- port: 1
--- raw_request eval
ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
127.0.0.1



=== a client that names a trusted address gains nothing
--- http_config eval: $::Servers
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v1('10.0.0.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
10.0.0.1



=== everybody is trusted, and nginx says so
--- http_config eval: $::Servers
--- config
--- suppress_stderr
--- env
TRUSTED_PROXIES=0.0.0.0/0 10.0.0.0/8 ::/0
--- port: 1
--- raw_request eval
ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
192.0.2.1
--- grep_error_log eval
qr/\[warn\] \d+#\d+: \K.* name any address as the client's/
--- grep_error_log_out
"0.0.0.0/0" in environment variable "TRUSTED_PROXIES" lets any peer name any address as the client's
"::/0" in environment variable "TRUSTED_PROXIES" lets any peer name any address as the client's



=== in a server
--- http_config
    server {
        listen $TEST_NGINX_PORT_1 proxy_protocol;
        return 200 "$remote_addr\n";
    }
    server {
        listen $TEST_NGINX_PORT_2 proxy_protocol;
        elb_trusted_proxies;
        return 200 "$remote_addr\n";
    }
--- config
--- port: 2
--- raw_request eval
ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
192.0.2.1



=== not in the server beside it
--- http_config
    server {
        listen $TEST_NGINX_PORT_1 proxy_protocol;
        return 200 "$remote_addr\n";
    }
    server {
        listen $TEST_NGINX_PORT_2 proxy_protocol;
        elb_trusted_proxies;
        return 200 "$remote_addr\n";
    }
--- config
--- port: 1
--- raw_request eval
ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1111, 80) . $::Request
--- response_body
127.0.0.1
