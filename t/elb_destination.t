# elb_destination: the servers of an upstream block, from the environment.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

our $Applications = <<'CONF';
    upstream app {
        elb_destination;
    }
    server {
        listen $TEST_NGINX_PORT_1;
        listen [::1]:$TEST_NGINX_PORT_1;
        return 200 "1 $http_host\n";
    }
    server {
        listen $TEST_NGINX_PORT_2;
        return 200 "2\n";
    }
CONF

our $Proxy = <<'CONF';
    location / {
        proxy_pass http://app;
    }
CONF

run_tests();

__DATA__

=== an address
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATION_HOSTNAME=127.0.0.1
DESTINATION_PORT=$TEST_NGINX_PORT_1
--- request
GET /
--- response_body
1 app



=== an IPv6 address
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATION_HOSTNAME=::1
DESTINATION_PORT=$TEST_NGINX_PORT_1
--- request
GET /
--- response_body
1 app



=== an IPv6 address in brackets
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATION_HOSTNAME=[::1]
DESTINATION_PORT=$TEST_NGINX_PORT_1
--- request
GET /
--- response_body
1 app



=== a name of /etc/hosts
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATION_HOSTNAME=LocalHost
DESTINATION_PORT=$TEST_NGINX_PORT_1
--- request
GET /
--- response_body
1 app
--- no_error_log
looked up



=== from files
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- user_files
>>> host
127.0.0.1
>>> port
$TEST_NGINX_PORT_2
--- env
DESTINATION_HOSTNAME_FILE=$TEST_NGINX_SERVER_ROOT/html/host
DESTINATION_PORT_FILE=$TEST_NGINX_SERVER_ROOT/html/port
--- request
GET /
--- response_body
2



=== a list, in turn
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATIONS=[{"hostname":"127.0.0.1","port":$TEST_NGINX_PORT_1},{"hostname":"127.0.0.1","port":$TEST_NGINX_PORT_2}]
--- request eval
[("GET /") x 4]
--- response_body eval
["1 app\n", "2\n", "1 app\n", "2\n"]



=== a list from a file, on several lines
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- user_files
>>> destinations
[
    {
        "hostname": "127.0.0.1",
        "port": $TEST_NGINX_PORT_2
    }
]
--- env
DESTINATIONS_FILE=$TEST_NGINX_SERVER_ROOT/html/destinations
--- request
GET /
--- response_body
2



=== by weight
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATIONS=[{"hostname":"127.0.0.1","port":$TEST_NGINX_PORT_1,"weight":3},{"hostname":"127.0.0.1","port":$TEST_NGINX_PORT_2}]
--- request eval
[("GET /") x 8]
--- response_body eval
[("1 app\n", "1 app\n", "2\n", "1 app\n") x 2]



=== a backup is not asked while the others are there
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATIONS=[{"hostname":"127.0.0.1","port":$TEST_NGINX_PORT_1,"backup":true},{"hostname":"127.0.0.1","port":$TEST_NGINX_PORT_2,"backup":false}]
--- request eval
[("GET /") x 4]
--- response_body eval
[("2\n") x 4]



=== a backup is asked while no other is there
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATIONS=[{"hostname":"127.0.0.1","port":$TEST_NGINX_PORT_1,"backup":true},{"hostname":"127.0.0.1","port":1}]
--- request eval
[("GET /") x 2]
--- response_body eval
[("1 app\n") x 2]



=== the parameters of server
--- http_config
    upstream app {
        elb_destination down max_fails=3;
        server 127.0.0.1:$TEST_NGINX_PORT_2 backup;
    }
    server {
        listen $TEST_NGINX_PORT_1;
        return 200 "1\n";
    }
    server {
        listen $TEST_NGINX_PORT_2;
        return 200 "2\n";
    }
--- config eval: $::Proxy
--- env
DESTINATION_HOSTNAME=127.0.0.1
DESTINATION_PORT=$TEST_NGINX_PORT_1
--- request
GET /
--- response_body
2



=== in several upstream blocks, with the balancer of each
--- http_config
    upstream app {
        least_conn;
        elb_destination;
        keepalive 2;
    }
    upstream other {
        zone other 64k;
        elb_destination weight=2;
    }
    server {
        listen $TEST_NGINX_PORT_1;
        return 200 "$http_host\n";
    }
--- config
    location / { proxy_pass http://app; }
    location /other { proxy_pass http://other; }
--- env
DESTINATION_HOSTNAME=127.0.0.1
DESTINATION_PORT=$TEST_NGINX_PORT_1
--- request eval
["GET /", "GET /other"]
--- response_body eval
["app\n", "other\n"]



=== a destination that is not there
--- http_config eval: $::Applications
--- config eval: $::Proxy
--- env
DESTINATION_HOSTNAME=127.0.0.1
DESTINATION_PORT=1
--- request
GET /
--- error_code: 502
--- error_log
connect() failed (111: Connection refused) while connecting to upstream
