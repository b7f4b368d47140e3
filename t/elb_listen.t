# elb_listen: core's "listen" with the port, or address and port, of a variable.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== a port
--- http_config
    server {
        elb_listen LISTEN_ON;
        return 200 "$server_addr:$server_port\n";
    }
--- config
--- env
LISTEN_ON=$TEST_NGINX_PORT_1
--- port: 1
--- request
GET /
--- response_body eval
"127.0.0.1:$ENV{TEST_NGINX_PORT_1}\n"



=== a port of all addresses
--- http_config
    server {
        elb_listen LISTEN_ON;
        return 200 "$server_addr\n";
    }
--- config
--- env
LISTEN_ON=*:$TEST_NGINX_PORT_1
--- port: 1
--- server_addr_for_client: 127.0.0.2
--- request
GET /
--- response_body
127.0.0.2



=== an address and a port
--- http_config
    server {
        elb_listen LISTEN_ON;
        return 200 "$server_addr\n";
    }
    server {
        elb_listen LISTEN_ON_TLS;
        return 200 "tls $server_addr\n";
    }
--- config
--- env
LISTEN_ON=127.0.0.1:$TEST_NGINX_PORT_1
LISTEN_ON_TLS=127.0.0.2:$TEST_NGINX_PORT_1
--- port: 1
--- server_addr_for_client: 127.0.0.2
--- request
GET /
--- response_body
tls 127.0.0.2



=== an IPv6 address
--- http_config
    server {
        elb_listen LISTEN_ON;
        return 200 "$server_addr\n";
    }
--- config
    location / {
        proxy_pass http://[::1]:$TEST_NGINX_PORT_1;
    }
--- env
LISTEN_ON=[::1]:$TEST_NGINX_PORT_1
--- request
GET /
--- response_body
::1



=== several addresses
--- http_config
    server {
        elb_listen LISTEN_ON;
        return 200 "$server_addr:$server_port\n";
    }
--- config
    location / {
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_1;
    }
    location /other {
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_2;
    }
    location /six {
        proxy_pass http://[::1]:$TEST_NGINX_PORT_1;
    }
--- env
LISTEN_ON=$TEST_NGINX_PORT_1, [::]:$TEST_NGINX_PORT_1,127.0.0.1:$TEST_NGINX_PORT_2
--- request eval
['GET /', 'GET /other', 'GET /six']
--- response_body eval
["127.0.0.1:$ENV{TEST_NGINX_PORT_1}\n", "127.0.0.1:$ENV{TEST_NGINX_PORT_2}\n",
    "::1:$ENV{TEST_NGINX_PORT_1}\n"]



=== parameters are those of each address
--- http_config
    server {
        elb_listen LISTEN_ON proxy_protocol;
        return 200 "$proxy_protocol_addr\n";
    }
--- config
--- env
LISTEN_ON=127.0.0.3:$TEST_NGINX_PORT_1,$TEST_NGINX_PORT_2
--- port: 2
--- raw_request eval
"PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\nGET / HTTP/1.0\r\n\r\n"
--- response_body
192.0.2.1



=== parameters are those of the first address too
--- http_config
    server {
        elb_listen LISTEN_ON proxy_protocol;
        return 200 "$proxy_protocol_addr\n";
    }
--- config
--- env
LISTEN_ON=127.0.0.1:$TEST_NGINX_PORT_1,[::1]:$TEST_NGINX_PORT_1
--- port: 1
--- raw_request eval
"PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\nGET / HTTP/1.0\r\n\r\n"
--- response_body
192.0.2.1



=== any variable, from the environment or from a file
--- http_config
    server {
        elb_listen MY_PORT;
        return 200 "from a file\n";
    }
--- config
--- user_files
>>> port
$TEST_NGINX_PORT_1
--- env
MY_PORT_FILE=$TEST_NGINX_SERVER_ROOT/html/port
--- port: 1
--- request
GET /
--- response_body
from a file



=== an empty variable beside a file counts as not set
--- http_config
    server {
        elb_listen LISTEN_ON;
        return 200 "from a file\n";
    }
--- config
--- user_files
>>> port
$TEST_NGINX_PORT_1
--- env
LISTEN_ON=
LISTEN_ON_FILE=$TEST_NGINX_SERVER_ROOT/html/port
--- port: 1
--- request
GET /
--- response_body
from a file



=== the parameters of listen
--- http_config
    server {
        listen $TEST_NGINX_PORT_1;
        server_name first.example;
        return 200 "first\n";
    }
    server {
        elb_listen LISTEN_ON default_server so_keepalive=30m::10 rcvbuf=64k backlog=17 deferred;
        return 200 "default server\n";
    }
--- config
--- env
LISTEN_ON=$TEST_NGINX_PORT_1
--- port: 1
--- request
GET /
--- response_body
default server



=== proxy_protocol
--- http_config
    server {
        elb_listen LISTEN_ON proxy_protocol;
        return 200 "$proxy_protocol_addr\n";
    }
--- config
--- env
LISTEN_ON=$TEST_NGINX_PORT_1
--- port: 1
--- raw_request eval
"PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\nGET / HTTP/1.0\r\n\r\n"
--- response_body
192.0.2.1



=== PROXY_PROTOCOL=on is the default
--- http_config
    server {
        elb_listen LISTEN_ON proxy_protocol;
        return 200 "$proxy_protocol_addr\n";
    }
--- config
--- env
LISTEN_ON=$TEST_NGINX_PORT_1
PROXY_PROTOCOL=on
--- port: 1
--- raw_request eval
"PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\nGET / HTTP/1.0\r\n\r\n"
--- response_body
192.0.2.1



=== PROXY_PROTOCOL=off drops proxy_protocol alone
--- http_config
    server {
        listen $TEST_NGINX_PORT_1;
        server_name first.example;
        return 200 "first\n";
    }
    server {
        elb_listen LISTEN_ON proxy_protocol default_server;
        return 200 "plain default server\n";
    }
--- config
--- env
LISTEN_ON=$TEST_NGINX_PORT_1
PROXY_PROTOCOL=off
--- port: 1
--- request
GET /
--- response_body
plain default server



=== beside listen
--- http_config
    server {
        listen $TEST_NGINX_PORT_2;
        elb_listen LISTEN_ON;
        return 200 "$server_port\n";
    }
--- config
--- env
LISTEN_ON=$TEST_NGINX_PORT_1
--- port: 2
--- request
GET /
--- response_body eval
"$ENV{TEST_NGINX_PORT_2}\n"
