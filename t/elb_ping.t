# elb_ping: the health check is answered, whatever else the configuration says.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== a GET
--- config
    elb_ping /ping;
--- request
GET /ping
--- error_code: 200
--- response_headers
Content-Type: text/plain
Content-Length: 2
--- response_body chomp
ok



=== a HEAD
--- config
    elb_ping /ping;
--- request
HEAD /ping
--- error_code: 200
--- response_headers
Content-Type: text/plain
Content-Length: 2
--- response_body chomp



=== with a query
--- config
    elb_ping /ping;
--- request
GET /ping?from=elb
--- response_body chomp
ok



=== with a body, which is read past
--- config
    elb_ping /ping;
--- pipelined_requests eval
["GET /ping\nsome body", "GET /ping"]
--- response_body eval
["ok", "ok"]



=== HTTP/1.0 without Host
--- config
    elb_ping /ping;
--- raw_request eval
"GET /ping HTTP/1.0\r\n\r\n"
--- response_body chomp
ok



=== any Host
--- config
    server_name app.example;
    elb_ping /ping;
--- request
GET /ping
--- more_headers
Host: 10.0.0.7:81
--- response_body chomp
ok



=== a whole URL
--- config
    elb_ping /ping;
--- request
GET http://app.example/ping
--- response_body chomp
ok



=== no other path
--- config
    elb_ping /ping;
    location / { return 404; }
--- request eval
["GET /pingpong", "GET /ping/", "GET /", "GET /Ping", "GET //ping", "GET /%70ing", "GET /a/../ping", "GET /pin"]
--- error_code eval
[(404) x 8]



=== no other method
--- config
    elb_ping /ping;
    location / { return 404; }
--- request eval
["POST /ping\na=b", "PUT /ping\na=b", "DELETE /ping", "OPTIONS /ping"]
--- error_code eval
[(404) x 4]



=== never logged
--- config
    elb_ping /ping;
    location / { return 404; }
--- request eval
["POST /ping?b\na=b", "GET /ping?a", "HEAD /ping?c"]
--- error_code eval
[404, 200, 200]
--- access_log
POST /ping?b
--- no_access_log
GET /ping?a
HEAD /ping?c



=== before locations
--- config
    elb_ping /ping;
    location / { deny all; }
    location = /ping { return 500; }
--- request
GET /ping
--- response_body chomp
ok



=== before everything else in the server
--- config
    deny all;
    auth_basic "closed";
    auth_basic_user_file /nowhere;
    rewrite ^ /other;
    elb_ping /ping;
    elb_redirect https;
    return 500;
--- request
GET /ping
--- response_body chomp
ok



=== another path
--- config
    elb_ping /health/%20live;
    location / { return 404; }
--- request eval
["GET /health/%20live", "GET /ping", "GET /health/"]
--- error_code eval
[200, 404, 404]



=== a path from the environment
--- config
    elb_env elb_ping ${PING_PATH:-/ping};
    location / { return 404; }
--- env
PING_PATH=/health
--- request eval
["GET /health", "GET /ping"]
--- error_code eval
[200, 404]



=== in http, for all servers
--- http_config
    elb_ping /ping;
    server {
        listen $TEST_NGINX_PORT_1;
        return 500;
    }
--- config
--- port: 1
--- request
GET /ping
--- response_body chomp
ok



=== a server's own instead
--- http_config
    elb_ping /ping;
--- config
    elb_ping /health;
    location / { return 404; }
--- request eval
["GET /health", "GET /ping"]
--- error_code eval
[200, 404]



=== not in a server without it
--- http_config
    server {
        listen $TEST_NGINX_PORT_1;
        elb_ping /ping;
        return 500;
    }
--- config
    location / { return 404; }
--- request
GET /ping
--- error_code: 404
