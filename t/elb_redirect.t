# elb_redirect: to https on the same host, with the URI as the client sent it.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== permanent by default
--- config
    elb_redirect https;
--- request
GET /
--- error_code: 301
--- raw_response_headers_like
^HTTP/1\.1 301 Moved Permanently\r
(.*\r\n)*Location: https://localhost/\r$



=== REDIRECT_STATUS 301
--- config
    elb_redirect https;
--- env
REDIRECT_STATUS=301
--- request
GET /
--- error_code: 301
--- response_headers
Location: https://localhost/



=== REDIRECT_STATUS 302
--- config
    elb_redirect https;
--- env
REDIRECT_STATUS=302
--- request
GET /
--- error_code: 302
--- response_headers
Location: https://localhost/



=== REDIRECT_STATUS 307
--- config
    elb_redirect https;
--- env
REDIRECT_STATUS=307
--- request
POST /form
a=1
--- error_code: 307
--- response_headers
Location: https://localhost/form



=== REDIRECT_STATUS 308
--- config
    elb_redirect https;
--- env
REDIRECT_STATUS=308
--- request
POST /form
a=1
--- error_code: 308
--- response_headers
Location: https://localhost/form



=== HTTPS_PORT
--- config
    elb_redirect https;
--- env
HTTPS_PORT=8443
--- request
GET /a
--- error_code: 301
--- response_headers
Location: https://localhost:8443/a



=== HTTPS_PORT 443 is left out
--- config
    elb_redirect https;
--- env
HTTPS_PORT=0443
--- request
GET /a
--- error_code: 301
--- response_headers
Location: https://localhost/a



=== a POST
--- config
    elb_redirect https;
--- request
POST /form
a=1
--- error_code: 301
--- response_headers
Location: https://localhost/form



=== a HEAD
--- config
    elb_redirect https;
--- request
HEAD /page
--- error_code: 301
--- response_headers
Location: https://localhost/page
--- response_body



=== before locations
--- config
    elb_redirect https;
    location / { deny all; }
    location = /a { return 200 "not redirected"; }
--- request
GET /a
--- error_code: 301



=== in a location, and in those within it
--- config
    location /old {
        elb_redirect https;
        location /old/inner { deny all; }
    }
    location / { return 200 "plain\n"; }
--- request eval
["GET /old/page?a=b", "GET /old/inner", "GET /new"]
--- error_code eval
[301, 301, 200]
--- response_headers eval
["Location: https://localhost/old/page?a=b", "Location: https://localhost/old/inner", "!Location"]



=== HTTPS_PORT and REDIRECT_STATUS have no effect on other servers
--- http_config
    server {
        listen $TEST_NGINX_PORT_1;
        return 200 "plain\n";
    }
--- config
    elb_redirect https;
--- env
HTTPS_PORT=8443
REDIRECT_STATUS=308
--- port: 1
--- request
GET /
--- error_code: 200
--- response_body
plain
