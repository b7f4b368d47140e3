# elb_check: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

sub upstream {
    my ($arguments) = @_;
    return "upstream app { server 127.0.0.1:1; elb_check $arguments; }";
}

run_tests();

__DATA__

=== no arguments
--- http_config
    upstream app { server 127.0.0.1:1; elb_check; }
--- faults
invalid number of arguments in "elb_check" directive



=== no time
--- http_config eval: ::upstream('often')
--- faults
invalid value "often" in "elb_check" directive, it must be a time such as "25s"



=== no time at all
--- http_config eval: ::upstream('0')
--- faults
invalid value "0" in "elb_check" directive, it must be a time above 0 or "off"



=== a timeout that is none
--- http_config eval: ::upstream('5s timeout=soon')
--- faults
invalid value "soon" in "elb_check" directive, it must be a time such as "25s"



=== a timeout of nothing
--- http_config eval: ::upstream('5s timeout=0')
--- faults
invalid value "timeout=0" in "elb_check" directive, it must be "timeout=" with a time above 0



=== a rise of nothing
--- http_config eval: ::upstream('5s rise=0')
--- faults
invalid value "rise=0" in "elb_check" directive, it must be "rise=" with a number above 0



=== a fall that is no number
--- http_config eval: ::upstream('5s fall=+3')
--- faults
invalid value "fall=+3" in "elb_check" directive, it must be "fall=" with a number above 0



=== a status that is none
--- http_config eval: ::upstream('5s path=/ status=2xx')
--- faults
invalid value "status=2xx" in "elb_check" directive, it must be "status=" with statuses from 100 to 599 and ranges of them, as in "status=200-299,304"



=== a path that is none
--- http_config eval: ::upstream('5s path=health')
--- faults
invalid value "path=health" in "elb_check" directive, it must be "path=" with a path of visible characters that begins with "/" and has no #



=== a path with a space
--- http_config eval: ::upstream('5s "path=/ HTTP/1.1"')
--- faults
invalid value "path=/ HTTP/1.1" in "elb_check" directive, it must be "path=" with a path of visible characters that begins with "/" and has no #



=== a host that is none
--- http_config eval: ::upstream('5s path=/ host=https://app.example')
--- faults
invalid value "host=https://app.example" in "elb_check" directive, it must be "host=" with a host name or an IP address, and a port behind it if need be



=== an unknown parameter
--- http_config eval: ::upstream('5s jitter=10%')
--- faults
invalid value "jitter=10%" in "elb_check" directive, it must be "timeout=", "rise=", "fall=", "path=", "host=" or "status=" with a value



=== a parameter beside off
--- http_config eval: ::upstream('off fall=0')
--- faults
invalid value "fall=0" in "elb_check" directive, it must be "fall=" with a number above 0



=== twice
--- http_config
    upstream app { server 127.0.0.1:1; elb_check off; elb_check 5s; }
--- faults
"elb_check" directive is duplicate



=== outside of an upstream block
--- http_config
    elb_check 5s;
--- faults
"elb_check" directive is not allowed here



=== from a variable
--- http_config
    upstream app { server 127.0.0.1:1; elb_env elb_check ${CHECK} status=${STATUS:-200}; }
--- env
CHECK=5x
--- faults
invalid value "5x" in "elb_check" directive, it must be a time such as "25s", from environment variable "CHECK"



=== all parameters, in any order, and a zone of its own
--- http_config
    upstream app {
        elb_check 1h status=200,204 path=/check?a=1 host=app.example:80 fall=1 rise=1 timeout=500ms;
        zone app 64k;
        server 127.0.0.1:$TEST_NGINX_PORT_1;
    }
    upstream other {
        server 127.0.0.1:$TEST_NGINX_PORT_1;
        elb_check off timeout=2s rise=2 fall=3 status=200-399 path= host=;
    }
    server { listen $TEST_NGINX_PORT_1; return 204; }
--- config
    location / { proxy_pass http://app; }
    location /other { proxy_pass http://other; }
--- request eval
["GET /", "GET /other"]
--- error_code eval
[204, 204]
