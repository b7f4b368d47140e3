# elb_ready, elb_drain_file and the mode of elb_ping: configurations that they refuse, and the
# messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== elb_ready without a path
--- config
    elb_ready ready;
--- faults
invalid value "ready" in "elb_ready" directive, it must be a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping"



=== elb_ready from the environment
--- config
    elb_env elb_ready ${READY_PATH:-/ready};
--- env
READY_PATH=ready
--- faults
environment variable "READY_PATH" has invalid value "ready", it must be a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping", required by "elb_env" directive



=== elb_ready without an argument
--- config
    elb_ready;
--- faults
invalid number of arguments in "elb_ready" directive



=== elb_ready twice
--- config
    elb_ready /ready;
    elb_ready /up;
--- faults
"elb_ready" directive is duplicate



=== elb_ready in a location
--- config
    location / { elb_ready /ready; }
--- faults
"elb_ready" directive is not allowed here



=== elb_ping, a mode that is none
--- config
    elb_ping /ping maybe;
--- faults
invalid value "maybe" in "elb_ping" directive, it must be "alive" or "ready"



=== elb_ping, a mode from the environment
--- config
    elb_env elb_ping ${PING_PATH:-/ping} ${PING_MODE:-alive};
--- env
PING_MODE=on
--- faults
environment variable "PING_MODE" has invalid value "on", it must be "alive" or "ready", required by "elb_env" directive



=== elb_ping, more than a mode
--- config
    elb_ping /ping ready alive;
--- faults
invalid number of arguments in "elb_ping" directive



=== elb_drain_file without a path
--- http_config
    elb_drain_file;
--- faults
invalid number of arguments in "elb_drain_file" directive



=== elb_drain_file with an empty one
--- http_config
    elb_drain_file "";
--- faults
invalid value "" in "elb_drain_file" directive, it must be the path of a file



=== elb_drain_file twice
--- http_config
    elb_drain_file /tmp/drain;
    elb_drain_file /tmp/other;
--- faults
"elb_drain_file" directive is duplicate



=== elb_drain_file in a server
--- config
    elb_drain_file /tmp/drain;
--- faults
"elb_drain_file" directive is not allowed here



=== elb_drain_file, another parameter
--- http_config
    elb_drain_file /tmp/drain grace=5s;
--- faults
invalid value "grace=5s" in "elb_drain_file" directive, it must be "delay=" or "stop_timeout=" with a time



=== elb_drain_file, no time
--- http_config
    elb_drain_file /tmp/drain delay=soon;
--- faults
invalid value "soon" in "elb_drain_file" directive, it must be a time such as "25s"



=== elb_drain_file, a parameter twice
--- http_config
    elb_drain_file /tmp/drain delay=1s delay=2s;
--- faults
"delay=2s" in "elb_drain_file" directive is duplicate



=== elb_drain_file, no time to stop at all
--- http_config
    elb_drain_file /tmp/drain stop_timeout=0;
--- faults
invalid value "stop_timeout=0" in "elb_drain_file" directive, it must be a time above 0



=== elb_drain_file, a delay from the environment
--- http_config
    elb_env elb_drain_file ${DRAIN_FILE:-/tmp/drain} delay=${DRAIN_DELAY:-0} stop_timeout=${STOP_TIMEOUT:-10s};
--- env
DRAIN_DELAY=1m
--- faults
environment variable "DRAIN_DELAY" has invalid value "1m", it must be a number of seconds from 0 to 3600, as in "15" or "15s", required by "elb_env" directive



=== elb_drain_file, a stop timeout from the environment
--- http_config
    elb_env elb_drain_file ${DRAIN_FILE:-/tmp/drain} delay=${DRAIN_DELAY:-0} stop_timeout=${STOP_TIMEOUT:-10s};
--- env
STOP_TIMEOUT=long
--- faults
invalid value "long" in "elb_drain_file" directive, it must be a time such as "25s", from environment variable "STOP_TIMEOUT"
