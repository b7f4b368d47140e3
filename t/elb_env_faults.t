# elb_env: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== a required variable is missing
--- config
    elb_env return 200 "${TEXT}";
--- faults
environment variable "TEXT" is not set and has no default, required by "elb_env" directive



=== it is empty
--- config
    elb_env return 200 "${TEXT}";
--- env
TEXT=
--- faults
environment variable "TEXT" is not set and has no default, required by "elb_env" directive



=== it is missing in a default and in a word
--- config
    elb_env return 200 "${UNSET:-${ONE}}";
    elb_env return 200 "${SET:+${OTHER}}";
--- env
SET=x
--- faults
environment variable "ONE" is not set and has no default, required by "elb_env" directive
environment variable "OTHER" is not set and has no default, required by "elb_env" directive



=== each fault is told once
--- config
    elb_env return 200 "${TEXT}";
    elb_env return 200 "${TEXT}";
--- faults
environment variable "TEXT" is not set and has no default, required by "elb_env" directive



=== a dollar
--- config
    elb_env return 200 "${TEXT}";
--- env
TEXT=$host
--- faults
environment variable "TEXT" contains "$", which nginx would take for the start of a variable, required by "elb_env" directive



=== a newline
--- config
    elb_env return 200 "${TEXT}";
--- env eval
"TEXT=a\tb"
--- faults
environment variable "TEXT" contains a control character, it must be one line of text, required by "elb_env" directive



=== a newline in a file
--- config
    elb_env return 200 "${TEXT}";
--- user_files
>>> text
two
lines
--- env
TEXT_FILE=$TEST_NGINX_SERVER_ROOT/html/text
--- faults
environment variable "TEXT" contains a control character, it must be one line of text, required by "elb_env" directive



=== a variable and its file
--- config
    elb_env return 200 "${TEXT:-x}";
--- env
TEXT=a
TEXT_FILE=/dev/null
--- faults
environment variables "TEXT" and "TEXT_FILE" are both set, there must be only one of them, required by "elb_env" directive



=== a file that is not there
--- config
    elb_env return 200 "${TEXT:-x}";
--- env
TEXT_FILE=/nowhere/text
--- faults
environment variable "TEXT_FILE" names file "/nowhere/text" that cannot be read: No such file or directory (os error 2), required by "elb_env" directive



=== nginx refuses the value: it names the variable
--- config
    elb_env return ${STATUS:-200};
--- env
STATUS=ok
--- faults
invalid return code "ok", from environment variable "STATUS"



=== nginx refuses the value of several variables
--- config
    elb_env return ${STATUS:-200}${MORE:-} ${TEXT:-x};
--- env
STATUS=2
MORE=x
--- faults
invalid return code "2x", from environment variables "MORE", "STATUS"



=== nginx refuses the value, and what follows is read all the same
--- config
    elb_env return ${STATUS:-200};
    elb_env client_body_timeout ${TIMEOUT:-5s};
    elb_env return 200 "${TEXT}";
--- env
STATUS=ok
TIMEOUT=soon
--- faults
invalid return code "ok", from environment variable "STATUS"
"client_body_timeout" directive invalid value, from environment variable "TIMEOUT"
environment variable "TEXT" is not set and has no default, required by "elb_env" directive



=== nginx refuses the default
--- config
    elb_env return ${STATUS:-ok};
--- faults
invalid return code "ok"



=== nginx refuses the value in http
--- http_config
    elb_env send_timeout ${SEND_TIMEOUT:-75s};
--- env
SEND_TIMEOUT=75 minutes
--- faults
"send_timeout" directive invalid value, from environment variable "SEND_TIMEOUT"



=== a directive that does not belong there
--- config
    elb_env worker_processes ${WORKERS:-1};
--- env
WORKERS=2
--- faults
"worker_processes" directive is not allowed here, from environment variable "WORKERS"



=== an unknown directive
--- config
    elb_env retrun ${STATUS:-200};
--- faults
unknown directive "retrun"



=== too many arguments
--- config
    elb_env sendfile ${SENDFILE:-on} off;
--- faults
invalid number of arguments in "sendfile" directive



=== no argument left
--- config
    elb_env sendfile ${SENDFILE:-};
--- faults
invalid number of arguments in "sendfile" directive



=== a block
--- config
    elb_env location ${WHERE:-/} { return 200; }
--- faults
directive "elb_env" is not terminated by ";"



=== a block without its block
--- config
    elb_env location ${WHERE:-/};
--- faults
directive "location" has no opening "{"



=== within itself
--- config
    elb_env elb_env return ${STATUS:-200};
--- faults
"elb_env" directive cannot be nested



=== no directive
--- config
    elb_env;
--- faults
invalid number of arguments in "elb_env" directive
