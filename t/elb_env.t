# elb_env: ${NAME}, ${NAME:-default} and ${NAME:+word} in the arguments of any directive.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== a variable
--- config
    elb_env return 200 "a ${TEXT} b ${TEXT}\n";
--- env
TEXT=x y
--- request
GET /
--- response_body
a x y b x y



=== a default where it is not set, or empty
--- config
    elb_env return 200 "${UNSET:-one} ${EMPTY:-two} ${TEXT:-three}${UNSET:-}\n";
--- env
EMPTY=
TEXT=x
--- request
GET /
--- response_body
one two x



=== a word where it is set
--- config
    elb_env return 200 "${UNSET:+one}${EMPTY:+two}${TEXT:+three}\n";
--- env
EMPTY=
TEXT=x
--- request
GET /
--- response_body
three



=== references in a default and in a word
--- config
    elb_env return 200 "${UNSET:-${EMPTY:-${TEXT}}} ${TEXT:+<${TEXT}>} ${UNSET:-{\}} ${UNSET:-a:-b}\n";
--- env
EMPTY=
TEXT=x
--- request
GET /
--- response_body
x <x> {\} a:-b



=== an argument that comes to nothing is no argument
--- config
    elb_env return ${STATUS:-204} ${TEXT:-};
--- request
GET /
--- error_code: 204



=== an empty argument without a reference stays
--- config
    elb_env add_header X-Empty "" always;
    elb_env return 200 "";
--- request
GET /
--- response_body chomp



=== a default of several words is one argument
--- config
    elb_env return 200 "${UNSET:-a b; c}\n";
--- request
GET /
--- response_body
a b; c



=== the directive itself
--- config
    elb_env ${DIRECTIVE:-return} 200 "x\n";
--- request
GET /
--- response_body
x



=== the variables of nginx stay nginx's
--- config
    set $A nginx;
    set $name_1 nginx;
    elb_env return 200 "$host ${host} ${name_1} $A ${A} $arg_a\n";
--- env
A=environment
host=environment
--- request
GET /?a=b
--- response_body
localhost localhost nginx nginx environment b



=== what nginx itself would read as syntax is data
--- config
    elb_env return 200 "${TEXT}";
--- env eval
'TEXT=a; return 500; } server { "quoted" \'single\' back\\slash \\n # no comment {}'
--- request
GET /
--- response_body chomp
a; return 500; } server { "quoted" 'single' back\slash \n # no comment {}



=== also in an argument without quotes
--- config
    elb_env return 200 ${TEXT};
--- env
TEXT=a; b "c"
--- request
GET /
--- response_body chomp
a; b "c"



=== a value of many bytes
--- config
    elb_env return 200 ${TEXT};
--- env eval
"TEXT=" . "\xc3\xa4" x 1000
--- request
GET /
--- response_body eval
"\xc3\xa4" x 1000



=== a value from a file, without its last newline
--- config
    elb_env return 200 "<${TEXT}>\n";
--- user_files
>>> text
from a file
--- env
TEXT_FILE=$TEST_NGINX_SERVER_ROOT/html/text
--- request
GET /
--- response_body
<from a file>



=== no variable at all
--- config
    elb_env return 200 "plain\n";
--- request
GET /
--- response_body
plain



=== the names are logged, the values never
--- main_config
    error_log $TEST_NGINX_SERVER_ROOT/logs/error.log info;
--- config
    elb_env return ${STATUS:-200} "${TEXT}\n";
--- user_files
>>> text
hunter2
--- env
TEXT_FILE=$TEST_NGINX_SERVER_ROOT/html/text
--- request
GET /
--- response_body
hunter2
--- error_log eval
qr/\[info\] .* environment variables read: STATUS, STATUS_FILE, TEXT, TEXT_FILE$/
--- no_error_log
hunter2
