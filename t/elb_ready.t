# elb_ready, and elb_ping with "ready": a health check that reports whether the instance should
# receive traffic. t/elb_drain_file.t tests the drain.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== a GET
--- config
    elb_ready /ready;
--- request
GET /ready
--- error_code: 200
--- response_headers
Content-Type: text/plain
Content-Length: 2
--- response_body chomp
ok



=== a HEAD
--- config
    elb_ready /ready;
--- request
HEAD /ready
--- error_code: 200
--- response_headers
Content-Type: text/plain
Content-Length: 2
--- response_body chomp



=== with a query, and HTTP/1.0 without Host
--- config
    elb_ready /ready;
--- raw_request eval
"GET /ready?from=elb HTTP/1.0\r\n\r\n"
--- response_body chomp
ok



=== while draining
--- http_config
    elb_drain_file html/drain;
--- config
    elb_ready /ready;
    elb_ping /ping;
--- user_files
>>> drain
--- request eval
["GET /ready", "HEAD /ready", "GET /ping"]
--- error_code eval
[503, 503, 200]
--- response_body eval
["draining", "", "ok"]



=== what a draining one answers with
--- http_config
    elb_drain_file html/drain;
--- config
    elb_ready /ready;
    error_page 503 /other;
    location = /other { return 200 other; }
--- user_files
>>> drain
--- request
GET /ready
--- error_code: 503
--- response_headers
Content-Type: text/plain
Content-Length: 8
--- response_body chomp
draining



=== the connection is kept
--- http_config
    elb_drain_file html/drain;
--- config
    elb_ready /ready;
    location / { return 200 served; }
--- user_files
>>> drain
--- pipelined_requests eval
["GET /ready", "GET /", "GET /ready"]
--- error_code eval
[503, 200, 503]
--- response_body eval
["draining", "served", "draining"]



=== no other path, no other method
--- config
    elb_ready /ready;
    location / { return 404; }
--- request eval
["GET /readyness", "GET /ready/", "GET /", "GET /ping", "POST /ready\na=b", "OPTIONS /ready"]
--- error_code eval
[(404) x 6]



=== never logged
--- config
    elb_ready /ready;
    location / { return 404; }
--- request eval
["GET /?b", "GET /ready?a"]
--- error_code eval
[404, 200]
--- access_log
GET /?b
--- no_access_log
GET /ready?a



=== before everything else in the server
--- config
    deny all;
    rewrite ^ /other;
    elb_ready /ready;
    elb_redirect https;
    return 500;
--- request
GET /ready
--- response_body chomp
ok



=== a path from the environment
--- config
    elb_env elb_ready ${READY_PATH:-/ready};
    location / { return 404; }
--- env
READY_PATH=/up
--- request eval
["GET /up", "GET /ready"]
--- error_code eval
[200, 404]



=== in http, for all servers
--- http_config
    elb_ready /ready;
    elb_drain_file html/drain;
    server {
        listen $TEST_NGINX_PORT_1;
        return 500;
    }
--- config
--- user_files
>>> drain
--- port: 1
--- request
GET /ready
--- error_code: 503
--- response_body chomp
draining



=== a server's own instead
--- http_config
    elb_ready /ready;
--- config
    elb_ready /up;
    location / { return 404; }
--- request eval
["GET /up", "GET /ready"]
--- error_code eval
[200, 404]



=== not in a server without it
--- http_config
    server {
        listen $TEST_NGINX_PORT_1;
        elb_ready /ready;
        return 500;
    }
--- config
    location / { return 404; }
--- request
GET /ready
--- error_code: 404



=== elb_ping asked for the same
--- http_config
    elb_drain_file html/drain;
    server {
        listen $TEST_NGINX_PORT_1;
        elb_ping /ping ready;
        return 500;
    }
--- config
--- user_files
>>> drain
--- port: 1
--- request
GET /ping
--- error_code: 503
--- response_body chomp
draining



=== elb_ping asked for the old answer
--- http_config
    elb_drain_file html/drain;
    elb_ping /ping alive;
--- config
--- user_files
>>> drain
--- request
GET /ping
--- response_body chomp
ok



=== elb_ping from the environment
--- http_config
    elb_drain_file html/drain;
--- config
    elb_env elb_ping ${PING_PATH:-/ping} ${PING_MODE:-alive};
--- env
PING_MODE=ready
--- user_files
>>> drain
--- request
GET /ping
--- error_code: 503



=== both on one path: the one that knows more
--- http_config
    elb_drain_file html/drain;
    elb_ping /ping;
--- config
    elb_ready /ping;
--- user_files
>>> drain
--- request
GET /ping
--- error_code: 503
