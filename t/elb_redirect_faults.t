# elb_redirect: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== a status that is no redirect to the same method and URI
--- config
    elb_redirect https;
--- env
REDIRECT_STATUS=303
--- faults
environment variable "REDIRECT_STATUS" has invalid value "303", it must be 301, 302, 307 or 308, required by "elb_redirect" directive



=== no port
--- config
    elb_redirect https;
--- env
HTTPS_PORT=https
--- faults
environment variable "HTTPS_PORT" has invalid value "https", it must be a port from 1 to 65535, required by "elb_redirect" directive



=== both in one run, once each
--- config
    location /a { elb_redirect https; }
    location /b { elb_redirect https; }
--- env
HTTPS_PORT=0
REDIRECT_STATUS=0301
--- faults
environment variable "REDIRECT_STATUS" has invalid value "0301", it must be 301, 302, 307 or 308, required by "elb_redirect" directive
environment variable "HTTPS_PORT" has invalid value "0", it must be a port from 1 to 65535, required by "elb_redirect" directive



=== a file with an invalid value
--- config
    elb_redirect https;
--- user_files
>>> port
65536
--- env
HTTPS_PORT_FILE=$TEST_NGINX_SERVER_ROOT/html/port
--- faults
environment variable "HTTPS_PORT_FILE" names a file with an invalid value, it must be a port from 1 to 65535, required by "elb_redirect" directive



=== another scheme
--- config
    elb_redirect http;
--- faults
invalid value "http" in "elb_redirect" directive, it must be "https"



=== no scheme
--- config
    elb_redirect;
--- faults
invalid number of arguments in "elb_redirect" directive



=== twice
--- config
    elb_redirect https;
    elb_redirect https;
--- faults
"elb_redirect" directive is duplicate



=== in http
--- http_config
    elb_redirect https;
--- faults
"elb_redirect" directive is not allowed here
