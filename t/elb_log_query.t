# elb_log_query: variables for logs, with queries and without. The logs of the shipped configuration
# are in shipped_log_query.t.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

our $config = 'location / { return 200 "$elb_log_request|$elb_log_uri|$elb_log_referer\n"; }';

run_tests();

__DATA__

=== on
--- http_config
    elb_log_query on;
--- config eval: $::config
--- request
GET /a?b=c?d
--- more_headers
Referer: http://app.example/?e
--- response_body
GET /a?b=c?d HTTP/1.1|/a?b=c?d|http://app.example/?e



=== not set
--- config eval: $::config
--- request
GET /a?b=c
--- response_body
GET /a?b=c HTTP/1.1|/a?b=c|



=== off
--- http_config
    elb_log_query off;
--- config eval: $::config
--- request
GET /a?b=c?d
--- more_headers
Referer: http://app.example/?e
--- response_body
GET /a HTTP/1.1|/a|http://app.example/



=== off, and nothing to leave out
--- http_config
    elb_log_query off;
--- config eval: $::config
--- request
GET /a
--- more_headers
Referer: http://app.example/
--- response_body
GET /a HTTP/1.1|/a|http://app.example/



=== off, and a subrequest that fails
--- http_config
    elb_log_query off;
    proxy_connect_timeout 1s;
--- config
    location / {
        mirror /check;
        root html;
    }
    location = /check {
        proxy_pass http://127.0.0.1:1/?secret=check;
    }
--- request
GET /a?secret=d
--- error_code: 404
--- wait: 0.5
--- error_log eval
qr{, request: "GET /a HTTP/1.1", subrequest: "/check", upstream: "http://127.0.0.1:1/", host: }
--- no_error_log eval
qr{, (?:request|subrequest|upstream|referrer): "[^"]*secret}



=== twice
--- http_config
    elb_log_query off;
    elb_log_query off;
--- faults
"elb_log_query" directive is duplicate



=== neither
--- http_config
    elb_log_query yes;
--- faults
invalid value "yes" in "elb_log_query" directive, it must be "on" or "off"
