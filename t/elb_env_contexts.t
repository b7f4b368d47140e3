# elb_env: in every context of the configuration.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== main
--- main_config
    elb_env error_log ${LOG} ${LEVEL:-notice};
--- config
    location / { root $TEST_NGINX_SERVER_ROOT/logs; }
--- env
LOG=$TEST_NGINX_SERVER_ROOT/logs/second.log
--- request
GET /second.log
--- response_body_like: using the "\w+" event method



=== http, with a log format
--- http_config
    elb_env log_format words '${FIRST} "$request" ${SECOND:-second}';
    elb_env add_header X-Http ${FIRST} always;
--- config
    access_log $TEST_NGINX_SERVER_ROOT/logs/access.log words;
    location / { return 200; }
--- env
FIRST=one
--- request
GET /a
--- response_headers
X-Http: one
--- access_log
one "GET /a HTTP/1.1" second



=== server
--- config
    elb_env return ${STATUS} "${TEXT}\n";
--- env
STATUS=201
TEXT=a text
--- request
GET /
--- error_code: 201
--- response_body
a text



=== location
--- config
    location / {
        elb_env client_max_body_size ${SIZE};
        proxy_pass http://127.0.0.1:1;
    }
--- env
SIZE=4
--- request
POST /
12345
--- error_code: 413



=== if
--- config
    location / {
        set $answer no;
        if ($arg_a) {
            elb_env set $answer ${ANSWER};
        }
        return 200 "$answer\n";
    }
--- env
ANSWER=yes
--- request eval
["GET /", "GET /?a=1"]
--- response_body eval
["no\n", "yes\n"]



=== if in a location
--- config
    location / {
        if ($arg_a) {
            elb_env add_header X-Answer ${ANSWER} always;
            return 200;
        }
        return 204;
    }
--- env
ANSWER=yes
--- request
GET /?a=1
--- response_headers
X-Answer: yes



=== limit_except
--- config
    location / {
        limit_except GET {
            elb_env deny ${DENIED};
        }
        empty_gif;
    }
--- env
DENIED=all
--- request eval
["GET /", "POST /\na"]
--- error_code eval
[200, 403]



=== upstream
--- http_config
    upstream app {
        elb_env server 127.0.0.1:${PORT} max_fails=${MAX_FAILS:-0};
        elb_env keepalive ${KEEPALIVE:-2};
    }
    server {
        listen $TEST_NGINX_PORT_1;
        return 200 "application\n";
    }
--- config
    location / { proxy_pass http://app; }
--- env
PORT=$TEST_NGINX_PORT_1
--- request
GET /
--- response_body
application



=== stream
--- main_config
    stream {
        elb_env proxy_timeout ${TIMEOUT:-2s};
        upstream app {
            elb_env server 127.0.0.1:${TARGET};
        }
        server {
            elb_env listen ${PORT};
            proxy_pass app;
        }
    }
--- config
    return 200 "through stream\n";
--- env
PORT=$TEST_NGINX_PORT_1
TARGET=$TEST_NGINX_SERVER_PORT
--- port: 1
--- request
GET /
--- response_body
through stream



=== an included file
--- config
    elb_env include ${FOLDER}/*.inc;
--- user_files
>>> own.inc
elb_env return 200 "${TEXT}\n";
--- env
FOLDER=$TEST_NGINX_SERVER_ROOT/html
TEXT=from the file
--- request
GET /
--- response_body
from the file



=== an include that matches nothing
--- config
    elb_env include ${FOLDER:-/nowhere}/*.conf;
    return 204;
--- request
GET /
--- error_code: 204
