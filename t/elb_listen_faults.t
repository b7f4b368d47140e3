# elb_listen: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== a missing variable
--- http_config
    server { elb_listen LISTEN_ON proxy_protocol; }
--- faults
environment variable "LISTEN_ON" is not set, it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive



=== names that no variable has
--- http_config
    server { elb_listen A=B; }
--- faults
invalid value "A=B" in "elb_listen" directive, it must be the name of a variable, of capitals, digits and "_"



=== no name
--- http_config
    server { elb_listen "" default=81; }
--- faults
invalid value "" in "elb_listen" directive, it must be the name of a variable, of capitals, digits and "_"



=== a name that elb_env would not take
--- http_config
    server { elb_listen 1ST_PORT default=81; }
--- faults
invalid value "1ST_PORT" in "elb_listen" directive, it must be the name of a variable, of capitals, digits and "_"



=== an empty variable
--- http_config
    server { elb_listen LISTEN_ON; }
--- env
LISTEN_ON=
--- faults
environment variable "LISTEN_ON" is not set, it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive



=== no port
--- http_config
    server { elb_listen LISTEN_ON; }
--- env
LISTEN_ON=80a
--- faults
environment variable "LISTEN_ON" has invalid value "80a", it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive



=== parameters in the value
--- http_config
    server { elb_listen LISTEN_ON; }
--- env
LISTEN_ON=81 default_server; } server { listen 82
--- faults
environment variable "LISTEN_ON" has invalid value "81 default_server; } server { listen 82", it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive



=== a value that is longer than a message shows
--- http_config
    server { elb_listen LISTEN_ON; }
--- env eval
"LISTEN_ON=" . "1" x 121
--- faults eval
'environment variable "LISTEN_ON" has invalid value "' . "1" x 120 . '...", it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive'



=== a value that is not UTF-8
--- http_config
    server { elb_listen LISTEN_ON; }
--- env eval
"LISTEN_ON=\xff"
--- faults
environment variable "LISTEN_ON" is not UTF-8 text, required by "elb_listen" directive



=== a variable and its file
--- http_config
    server { elb_listen LISTEN_ON; }
--- env
LISTEN_ON=81
LISTEN_ON_FILE=/dev/null
--- faults
environment variables "LISTEN_ON" and "LISTEN_ON_FILE" are both set, there must be only one of them, required by "elb_listen" directive



=== a file that is not there
--- http_config
    server { elb_listen LISTEN_ON; }
--- env
LISTEN_ON_FILE=/nowhere/port
--- faults
environment variable "LISTEN_ON_FILE" names file "/nowhere/port" that cannot be read: No such file or directory (os error 2), required by "elb_listen" directive



=== the value of a file may be secret
--- http_config
    server { elb_listen LISTEN_ON; }
--- user_files
>>> port
hunter2
--- env
LISTEN_ON_FILE=$TEST_NGINX_SERVER_ROOT/html/port
--- faults
environment variable "LISTEN_ON_FILE" names a file with an invalid value, it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive
--- no_error_log
hunter2



=== an empty file
--- http_config
    server { elb_listen LISTEN_ON; }
--- user_files
>>> port
--- env
LISTEN_ON_FILE=$TEST_NGINX_SERVER_ROOT/html/port
--- faults
environment variable "LISTEN_ON" is not set, it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive



=== a file that is too long
--- http_config
    server { elb_listen LISTEN_ON; }
--- user_files eval
">>> port\n" . "1" x 4097
--- env
LISTEN_ON_FILE=$TEST_NGINX_SERVER_ROOT/html/port
--- faults
environment variable "LISTEN_ON_FILE" is too long, it must have at most 4096 bytes, required by "elb_listen" directive



=== a file with a NUL character
--- http_config
    server { elb_listen LISTEN_ON; }
--- user_files eval
">>> port\n8\0"
--- env
LISTEN_ON_FILE=$TEST_NGINX_SERVER_ROOT/html/port
--- faults
environment variable "LISTEN_ON_FILE" contains a NUL character, required by "elb_listen" directive



=== PROXY_PROTOCOL that is neither on nor off
--- http_config
    server { elb_listen LISTEN_ON proxy_protocol; }
--- env
LISTEN_ON=$TEST_NGINX_PORT_1
PROXY_PROTOCOL=yes
--- faults
environment variable "PROXY_PROTOCOL" has invalid value "yes", it must be "on" or "off", required by "elb_listen" directive



=== both listeners are the same one
--- http_config
    server { elb_listen LISTEN_ON; }
    server { elb_listen LISTEN_ON_TLS; }
--- env
LISTEN_ON=*:81
LISTEN_ON_TLS=81
--- faults
environment variable "LISTEN_ON_TLS" has invalid value "81", it must have no address in common with "LISTEN_ON", required by "elb_listen" directive



=== the lists of both have one in common
--- http_config
    server { elb_listen LISTEN_ON; }
    server { elb_listen LISTEN_ON_TLS; }
--- env
LISTEN_ON=81,[::]:81
LISTEN_ON_TLS=[::]:82,[0::0]:81
--- faults
environment variable "LISTEN_ON_TLS" has invalid value "[::]:82,[0::0]:81", it must have no address in common with "LISTEN_ON", required by "elb_listen" directive



=== an address twice in a list
--- http_config
    server { elb_listen LISTEN_ON; }
    server { elb_listen LISTEN_ON_TLS; }
--- env
LISTEN_ON=81,82,*:81
LISTEN_ON_TLS=83,84,84
--- faults
environment variable "LISTEN_ON" has invalid value "81,82,*:81", it must name no address twice, required by "elb_listen" directive
environment variable "LISTEN_ON_TLS" has invalid value "83,84,84", it must name no address twice, required by "elb_listen" directive



=== LISTEN_ON_TLS is never off
--- http_config
    server { elb_listen LISTEN_ON_TLS; }
--- env
LISTEN_ON_TLS=off
--- faults
environment variable "LISTEN_ON_TLS" has invalid value "off", it must be a port from 1 to 65535 or address:port, or several of them separated by commas, required by "elb_listen" directive



=== each fault once, all in one run
--- http_config
    server { elb_listen LISTEN_ON proxy_protocol; }
    server { elb_listen LISTEN_ON_TLS proxy_protocol; }
--- env
LISTEN_ON=x
PROXY_PROTOCOL=yes
--- faults
environment variable "LISTEN_ON" has invalid value "x", it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive
environment variable "PROXY_PROTOCOL" has invalid value "yes", it must be "on" or "off", required by "elb_listen" directive
environment variable "LISTEN_ON_TLS" is not set, it must be a port from 1 to 65535 or address:port, or several of them separated by commas, required by "elb_listen" directive



=== the status listener is one of the others
--- http_config
    server { elb_listen LISTEN_ON; }
    server { elb_listen LISTEN_ON_TLS; }
    server { elb_listen STATUS_LISTEN_ON default=127.0.0.1:9145; }
--- env
LISTEN_ON=81
LISTEN_ON_TLS=82
STATUS_LISTEN_ON=0.0.0.0:82
--- faults
environment variable "STATUS_LISTEN_ON" has invalid value "0.0.0.0:82", it must have no address in common with "LISTEN_ON_TLS", required by "elb_listen" directive



=== the default of the status listener is one of the others
--- http_config
    server { elb_listen LISTEN_ON; }
    server { elb_listen STATUS_LISTEN_ON default=127.0.0.1:9145; }
--- env
LISTEN_ON=127.0.0.1:9145
--- faults
environment variable "LISTEN_ON" has invalid value "127.0.0.1:9145", it must not have "127.0.0.1:9145", the default of "STATUS_LISTEN_ON", required by "elb_listen" directive



=== a variable beside a default
--- http_config
    server { elb_listen STATUS_LISTEN_ON default=off; }
--- env
STATUS_LISTEN_ON=on
--- faults
environment variable "STATUS_LISTEN_ON" has invalid value "on", it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive



=== off without a default
--- http_config
    server { elb_listen MY_PORT; }
--- env
MY_PORT=off
--- faults
environment variable "MY_PORT" has invalid value "off", it must be a port from 1 to 65535 or address:port, or several of them separated by commas, required by "elb_listen" directive



=== a default that is no address
--- http_config
    server { elb_listen STATUS_LISTEN_ON default=localhost:9145; }
--- faults
invalid default "localhost:9145" in "elb_listen" directive, it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off"



=== two defaults
--- http_config
    server { elb_listen STATUS_LISTEN_ON default=81 default=82; }
--- faults
"elb_listen" directive has a duplicate "default" parameter



=== proxy_protocol that is not optional
--- http_config
    server { elb_listen LISTEN_ON proxy_protocol=on; }
--- env
LISTEN_ON=81
--- faults
invalid parameter "proxy_protocol=on" in "elb_listen" directive, it must be "proxy_protocol" or "proxy_protocol=optional"



=== proxy_protocol=optional with ssl
--- http_config
    server { elb_listen LISTEN_ON ssl proxy_protocol=optional; }
--- env
LISTEN_ON=81
--- faults
"proxy_protocol=optional" parameter of "elb_listen" directive is incompatible with "ssl"



=== proxy_protocol=optional with quic
--- http_config
    server { elb_listen LISTEN_ON quic proxy_protocol=optional; }
--- env
LISTEN_ON=81
--- faults
"proxy_protocol=optional" parameter of "elb_listen" directive is incompatible with "quic"



=== proxy_protocol=optional with deferred
--- http_config
    server { elb_listen LISTEN_ON deferred proxy_protocol=optional; }
--- env
LISTEN_ON=81
--- faults
"proxy_protocol=optional" parameter of "elb_listen" directive is incompatible with "deferred"



=== proxy_protocol=optional with an accept filter
--- http_config
    server { elb_listen LISTEN_ON accept_filter=dataready proxy_protocol=optional; }
--- env
LISTEN_ON=81
--- faults
"proxy_protocol=optional" parameter of "elb_listen" directive is incompatible with "accept_filter=dataready"



=== proxy_protocol=optional with itself
--- http_config
    server { elb_listen LISTEN_ON proxy_protocol proxy_protocol=optional; }
--- env
LISTEN_ON=81
--- faults
"proxy_protocol=optional" parameter of "elb_listen" directive is incompatible with "proxy_protocol"



=== proxy_protocol=optional where another server listens
--- http_config
    server { listen 127.0.0.1:81; }
    server { elb_listen LISTEN_ON proxy_protocol=optional; }
--- env
LISTEN_ON=127.0.0.1:81
OTHER=127.0.0.1:81
--- faults
another server listens at "127.0.0.1:81" without "proxy_protocol=optional": this parameter needs an address that no server has without it



=== proxy_protocol=optional before another server listens
--- http_config
    server { elb_listen LISTEN_ON proxy_protocol=optional; }
    server { listen 127.0.0.1:81 proxy_protocol; }
--- env
LISTEN_ON=127.0.0.1:81
OTHER=127.0.0.1:81
--- faults
another server listens at "127.0.0.1:81" without "proxy_protocol=optional": this parameter needs an address that no server has without it



=== proxy_protocol=optional of one elb_listen alone
--- http_config
    server { elb_listen OTHER; }
    server { elb_listen LISTEN_ON proxy_protocol=optional; }
--- env
LISTEN_ON=127.0.0.1:81
OTHER=127.0.0.1:81
--- faults
another server listens at "127.0.0.1:81" without "proxy_protocol=optional": this parameter needs an address that no server has without it



=== an unknown parameter
--- http_config
    server { elb_listen LISTEN_ON defer; }
--- env
LISTEN_ON=81
--- faults
invalid parameter "defer", from environment variable "LISTEN_ON"



=== the same listener twice in a server
--- http_config
    server { elb_listen LISTEN_ON; elb_listen LISTEN_ON; }
--- env
LISTEN_ON=81
--- faults
a duplicate listen 0.0.0.0:81, from environment variable "LISTEN_ON"



=== no argument
--- http_config
    server { elb_listen; }
--- faults
invalid number of arguments in "elb_listen" directive



=== outside of a server
--- http_config
    elb_listen LISTEN_ON;
--- faults
"elb_listen" directive is not allowed here
