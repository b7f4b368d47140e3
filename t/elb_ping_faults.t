# elb_ping: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== no path
--- config
    elb_ping ping;
--- faults
invalid value "ping" in "elb_ping" directive, it must be a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping"



=== a query
--- config
    elb_ping /ping?a=b;
--- faults
invalid value "/ping?a=b" in "elb_ping" directive, it must be a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping"



=== a space
--- config
    elb_ping "/pi ng";
--- faults
invalid value "/pi ng" in "elb_ping" directive, it must be a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping"



=== from the environment
--- config
    elb_env elb_ping ${PING_PATH:-/ping};
--- env
PING_PATH=ping
--- faults
environment variable "PING_PATH" has invalid value "ping", it must be a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping", required by "elb_env" directive



=== no argument
--- config
    elb_ping;
--- faults
invalid number of arguments in "elb_ping" directive



=== twice
--- config
    elb_ping /ping;
    elb_ping /health;
--- faults
"elb_ping" directive is duplicate



=== in a location
--- config
    location / { elb_ping /ping; }
--- faults
"elb_ping" directive is not allowed here
