# elb_trusted_proxies: with PROXY_PROTOCOL=off the client is the last address in X-Forwarded-For
# that is no trusted proxy, as behind an application load balancer.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== no header
--- http_config
    elb_trusted_proxies;
--- config
    return 200 "$remote_addr\n";
--- env
PROXY_PROTOCOL=off
--- request
GET /
--- response_body
127.0.0.1



=== the addresses of a chain
--- http_config
    elb_trusted_proxies;
--- config
    return 200 "$remote_addr\n";
--- env
PROXY_PROTOCOL=off
--- request eval
[("GET /") x 6]
--- more_headers eval
[
    'X-Forwarded-For: 192.0.2.1',
    'X-Forwarded-For: 192.0.2.1, 10.0.0.1',
    'X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.0.0.1, 172.16.0.1',
    'X-Forwarded-For: 203.0.113.9, garbage',
    'X-Forwarded-For: 2001:db8::1',
    'X-Forwarded-For: 10.0.0.2, 10.0.0.1',
]
--- response_body eval
["192.0.2.1\n", "192.0.2.1\n", "192.0.2.1\n", "127.0.0.1\n", "2001:db8::1\n", "10.0.0.2\n"]



=== several headers
--- http_config
    elb_trusted_proxies;
--- config
    return 200 "$remote_addr\n";
--- env
PROXY_PROTOCOL=off
--- request
GET /
--- more_headers
X-Forwarded-For: 203.0.113.9
X-Forwarded-For: 192.0.2.1
--- response_body
192.0.2.1



=== a peer outside of TRUSTED_PROXIES names nobody
--- http_config
    elb_trusted_proxies;
--- config
    return 200 "$remote_addr\n";
--- env
PROXY_PROTOCOL=off
TRUSTED_PROXIES=10.0.0.0/8
--- request
GET /
--- more_headers
X-Forwarded-For: 192.0.2.1
--- response_body
127.0.0.1



=== TRUSTED_PROXIES=none trusts nobody
--- http_config
    elb_trusted_proxies;
--- config
    return 200 "$remote_addr\n";
--- env
PROXY_PROTOCOL=off
TRUSTED_PROXIES=none
--- request
GET /
--- more_headers
X-Forwarded-For: 192.0.2.1
--- response_body
127.0.0.1
