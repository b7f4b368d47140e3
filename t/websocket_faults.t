# The directives websocket_*: configurations that they refuse, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== websocket_tunnel maybe
--- config
    websocket_tunnel maybe;
--- faults
invalid value "maybe" in "websocket_tunnel" directive, it must be "on" or "off"



=== websocket_tunnel without a value
--- config
    websocket_tunnel;
--- faults
invalid number of arguments in "websocket_tunnel" directive



=== websocket_tunnel twice
--- config
    websocket_tunnel on;
    websocket_tunnel off;
--- faults
"websocket_tunnel" directive is duplicate



=== websocket_tunnel in an if
--- config
    location / {
        if ($arg_a) { websocket_tunnel on; }
    }
--- faults
"websocket_tunnel" directive is not allowed here



=== websocket_tunnel in main
--- main_config
    websocket_tunnel on;
--- faults
"websocket_tunnel" directive is not allowed here



=== websocket_ping no time
--- config
    websocket_ping soon;
--- faults
invalid value "soon" in "websocket_ping" directive, it must be a time such as "25s"



=== websocket_ping an unknown unit
--- config
    websocket_ping 25x;
--- faults
invalid value "25x" in "websocket_ping" directive, it must be a time such as "25s"



=== websocket_ping less than nothing
--- config
    websocket_ping -5s;
--- faults
invalid value "-5s" in "websocket_ping" directive, it must be a time such as "25s"



=== websocket_ping longer than nginx can count
--- config
    websocket_ping 999999999999999999y;
--- faults
invalid value "999999999999999999y" in "websocket_ping" directive, it must be a time such as "25s"



=== websocket_ping nothing
--- config
    websocket_ping 0;
--- faults
invalid value "0" in "websocket_ping" directive, it must be a time above 0 or "off"



=== websocket_ping empty
--- config
    websocket_ping "";
--- faults
invalid value "" in "websocket_ping" directive, it must be a time such as "25s"



=== websocket_ping two times
--- config
    websocket_ping 25s 30s;
--- faults
invalid number of arguments in "websocket_ping" directive



=== websocket_ping twice
--- config
    websocket_ping 25s;
    websocket_ping off;
--- faults
"websocket_ping" directive is duplicate



=== websocket_pong_timeout
--- config
    websocket_pong_timeout 0s;
--- faults
invalid value "0s" in "websocket_pong_timeout" directive, it must be a time above 0 or "off"



=== websocket_pong_timeout an unknown parameter
--- config
    websocket_pong_timeout 10s client=5s;
--- faults
invalid value "client=5s" in "websocket_pong_timeout" directive, it must be "destination=" with a time or "off"



=== websocket_pong_timeout no time for the destination
--- config
    websocket_pong_timeout 10s destination=soon;
--- faults
invalid value "soon" in "websocket_pong_timeout" directive, it must be a time such as "25s"



=== websocket_pong_timeout nothing for the destination
--- config
    websocket_pong_timeout 10s destination=0;
--- faults
invalid value "0" in "websocket_pong_timeout" directive, it must be a time above 0 or "off"



=== websocket_idle_timeout
--- config
    websocket_idle_timeout never;
--- faults
invalid value "never" in "websocket_idle_timeout" directive, it must be a time such as "25s"



=== websocket_send_timeout
--- config
    websocket_send_timeout 1s;
    websocket_send_timeout 1s;
--- faults
"websocket_send_timeout" directive is duplicate



=== websocket_max_age nothing
--- config
    websocket_max_age 0;
--- faults
invalid value "0" in "websocket_max_age" directive, it must be a time above 0 or "off"



=== websocket_max_age more than all
--- config
    websocket_max_age 1h jitter=101%;
--- faults
invalid value "jitter=101%" in "websocket_max_age" directive, it must be "jitter=" with 0% to 100%



=== websocket_max_age jitter without a percent sign
--- config
    websocket_max_age 1h jitter=10;
--- faults
invalid value "jitter=10" in "websocket_max_age" directive, it must be "jitter=" with 0% to 100%



=== websocket_max_age an unknown parameter
--- config
    websocket_max_age 1h grace=1s;
--- faults
invalid value "grace=1s" in "websocket_max_age" directive, it must be "jitter=" with 0% to 100%



=== websocket_max_age too much
--- config
    websocket_max_age 1h jitter=1% jitter=2%;
--- faults
invalid number of arguments in "websocket_max_age" directive



=== websocket_drain no time
--- config
    websocket_drain slowly;
--- faults
invalid value "slowly" in "websocket_drain" directive, it must be a time such as "25s"



=== websocket_drain without a time
--- config
    websocket_drain;
--- faults
invalid number of arguments in "websocket_drain" directive



=== websocket_drain a parameter in the place of the time
--- config
    websocket_drain reload=30s;
--- faults
invalid value "reload=30s" in "websocket_drain" directive, it must be a time such as "25s"



=== websocket_drain an unknown parameter
--- config
    websocket_drain 5s patience=1s;
--- faults
invalid value "patience=1s" in "websocket_drain" directive, it must be "reload=", "grace=" or "handshake=" with a time



=== websocket_drain a parameter without a value
--- config
    websocket_drain 5s reload;
--- faults
invalid value "reload" in "websocket_drain" directive, it must be "reload=", "grace=" or "handshake=" with a time



=== websocket_drain a parameter that is no time
--- config
    websocket_drain 5s grace=long;
--- faults
invalid value "long" in "websocket_drain" directive, it must be a time such as "25s"



=== websocket_drain twice
--- config
    websocket_drain 5s;
    websocket_drain off;
--- faults
"websocket_drain" directive is duplicate



=== websocket_log an unknown format
--- config
    websocket_log logs/websocket.log xml;
--- faults
invalid value "xml" in "websocket_log" directive, it must be "text", "json" or "id=" with a value such as $request_id



=== websocket_log with two formats
--- config
    websocket_log logs/websocket.log text json;
--- faults
invalid value "json" in "websocket_log" directive, it must be "text", "json" or "id=" with a value such as $request_id



=== websocket_log with an empty id
--- config
    websocket_log logs/websocket.log id=;
--- faults
invalid value "id=" in "websocket_log" directive, it must be "text", "json" or "id=" with a value such as $request_id



=== websocket_log with two ids
--- config
    websocket_log logs/websocket.log id=$request_id id=$uri;
--- faults
invalid value "id=$uri" in "websocket_log" directive, it must be "text", "json" or "id=" with a value such as $request_id



=== websocket_log with an id of no variable that there is
--- config
    websocket_log logs/websocket.log id=$nonsense;
--- faults
unknown "nonsense" variable



=== websocket_log without a path
--- config
    websocket_log "";
--- faults
invalid value "" in "websocket_log" directive, it must be a path or "off"



=== websocket_log twice
--- config
    websocket_log logs/a.log;
    websocket_log logs/b.log;
--- faults
"websocket_log" directive is duplicate



=== websocket_log where nothing can be written
--- config
    websocket_log /nonexistent/websocket.log;
--- faults
open() "/nonexistent/websocket.log" failed (2: No such file or directory)



=== a value from the environment
--- config
    elb_env websocket_ping ${WEBSOCKET_PING:-25s};
--- env
WEBSOCKET_PING=often
--- faults
invalid value "often" in "websocket_ping" directive, it must be a time such as "25s", from environment variable "WEBSOCKET_PING"



=== one zone for counts and for limits
--- http_config
    websocket_zone websocket_limit_conn:1792k;
    websocket_limit_conn $remote_addr 1;
--- faults
the shared memory zone "websocket_limit_conn" is already declared for a different use



=== one zone for limits and for counts
--- http_config
    websocket_limit_conn $remote_addr 1;
    websocket_zone websocket_limit_conn:1m;
--- faults
the shared memory zone "websocket_limit_conn" is already declared for a different use



=== a zone of nginx's own for counts
--- http_config
    limit_conn_zone $remote_addr zone=elb:1m;
    websocket_zone elb:1m;
--- faults
the shared memory zone "elb" is already declared for a different use
