# elb_destination: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

our $Upstream = 'upstream app { elb_destination; }';

run_tests();

__DATA__

=== nothing is set
--- http_config eval: $::Upstream
--- faults
environment variable "DESTINATION_HOSTNAME" is not set, it must be a host name or an IP address, required by "elb_destination" directive
environment variable "DESTINATION_PORT" is not set, it must be a port from 1 to 65535, required by "elb_destination" directive



=== no host, no port
--- http_config eval: $::Upstream
--- env
DESTINATION_HOSTNAME=http://app
DESTINATION_PORT=http
--- faults
environment variable "DESTINATION_HOSTNAME" has invalid value "http://app", it must be a host name or an IP address, required by "elb_destination" directive
environment variable "DESTINATION_PORT" has invalid value "http", it must be a port from 1 to 65535, required by "elb_destination" directive



=== a mistyped address
--- http_config eval: $::Upstream
--- env
DESTINATION_HOSTNAME=127.0.0.256
DESTINATION_PORT=80
--- faults
environment variable "DESTINATION_HOSTNAME" has invalid value "127.0.0.256", it must be a host name or an IP address, required by "elb_destination" directive



=== a list beside a host and a port
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[{"hostname":"127.0.0.1","port":80}]
DESTINATION_HOSTNAME=127.0.0.1
DESTINATION_PORT=80
--- faults
environment variables "DESTINATIONS" and "DESTINATION_HOSTNAME" are both set, there must be only one of them, required by "elb_destination" directive
environment variables "DESTINATIONS" and "DESTINATION_PORT" are both set, there must be only one of them, required by "elb_destination" directive



=== no JSON
--- http_config eval: $::Upstream
--- env
DESTINATIONS=app-1:80
--- faults
environment variable "DESTINATIONS" has invalid value "app-1:80", it must be a JSON list such as [{"hostname":"app-1","port":45490}]: expected value at line 1 column 1, required by "elb_destination" directive



=== no list
--- http_config eval: $::Upstream
--- env
DESTINATIONS={"hostname":"app-1","port":80}
--- faults
environment variable "DESTINATIONS" has invalid value "{\"hostname\":\"app-1\",\"port\":80}", it must be a JSON list such as [{"hostname":"app-1","port":45490}]: invalid type: map, expected a sequence at line 1 column 0, required by "elb_destination" directive



=== no port
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[{"hostname":"app-1"}]
--- faults
environment variable "DESTINATIONS" has invalid value "[{\"hostname\":\"app-1\"}]", it must be a JSON list such as [{"hostname":"app-1","port":45490}]: missing field `port` at line 1 column 21, required by "elb_destination" directive



=== a port that is text
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[{"hostname":"app-1","port":"80"}]
--- faults
environment variable "DESTINATIONS" has invalid value "[{\"hostname\":\"app-1\",\"port\":\"80\"}]", it must be a JSON list such as [{"hostname":"app-1","port":45490}]: invalid type: string "80", expected u32 at line 1 column 32, required by "elb_destination" directive



=== an unknown key
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[{"hostname":"app-1","port":80,"max":1}]
--- faults
environment variable "DESTINATIONS" has invalid value "[{\"hostname\":\"app-1\",\"port\":80,\"max\":1}]", it must be a JSON list such as [{"hostname":"app-1","port":45490}]: unknown field `max`, expected one of `hostname`, `port`, `weight`, `backup` at line 1 column 36, required by "elb_destination" directive



=== an entry with an invalid hostname
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[{"hostname":"app-1","port":80},{"hostname":"a b","port":80}]
--- faults
environment variable "DESTINATIONS" has invalid value "[{\"hostname\":\"app-1\",\"port\":80},{\"hostname\":\"a b\",\"port\":80}]", it must be a JSON list such as [{"hostname":"app-1","port":45490}]: entry 1: "hostname" must be a host name or an IP address, required by "elb_destination" directive



=== an entry with an invalid port
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[{"hostname":"app-1","port":65536}]
--- faults
environment variable "DESTINATIONS" has invalid value "[{\"hostname\":\"app-1\",\"port\":65536}]", it must be a JSON list such as [{"hostname":"app-1","port":45490}]: entry 0: "port" must be a port from 1 to 65535, required by "elb_destination" directive



=== an entry with an invalid weight
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[{"hostname":"app-1","port":80,"weight":0}]
--- faults
environment variable "DESTINATIONS" has invalid value "[{\"hostname\":\"app-1\",\"port\":80,\"weight\":0}]", it must be a JSON list such as [{"hostname":"app-1","port":45490}]: entry 0: "weight" must be a number from 1 to 65535, required by "elb_destination" directive



=== an empty list
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[]
--- faults
environment variable "DESTINATIONS" has invalid value "[]", it must name at least one destination that is not a backup, required by "elb_destination" directive



=== backups alone
--- http_config eval: $::Upstream
--- env
DESTINATIONS=[{"hostname":"app-1","port":80,"backup":true}]
--- faults
environment variable "DESTINATIONS" has invalid value "[{\"hostname\":\"app-1\",\"port\":80,\"backup\":true}]", it must name at least one destination that is not a backup, required by "elb_destination" directive



=== a file may be secret
--- http_config eval: $::Upstream
--- user_files
>>> destinations
hunter2
--- env
DESTINATIONS_FILE=$TEST_NGINX_SERVER_ROOT/html/destinations
--- faults
environment variable "DESTINATIONS_FILE" names a file with an invalid value, it must be a JSON list such as [{"hostname":"app-1","port":45490}]: expected value at line 1 column 1, required by "elb_destination" directive
--- no_error_log
hunter2



=== a parameter that server does not know
--- http_config
    upstream app { elb_destination wieght=2; }
--- env
DESTINATION_HOSTNAME=127.0.0.1
DESTINATION_PORT=80
--- faults
invalid parameter "wieght=2"



=== a balancer that knows no backup
--- http_config
    upstream app { ip_hash; elb_destination; }
--- env
DESTINATIONS=[{"hostname":"127.0.0.1","port":1},{"hostname":"127.0.0.1","port":2,"backup":true}]
--- faults
balancing method does not support parameter "backup", from environment variable "DESTINATIONS"



=== twice
--- http_config
    upstream app { elb_destination; elb_destination; }
--- env
DESTINATION_HOSTNAME=127.0.0.1
DESTINATION_PORT=80
--- faults
"elb_destination" directive is duplicate



=== outside of an upstream block
--- config
    elb_destination;
--- faults
"elb_destination" directive is not allowed here



=== with everything else, all in one run
--- http_config
    elb_trusted_proxies;
    elb_env keepalive_requests ${KEEPALIVE_REQUESTS:-1000};
    upstream app { elb_destination; }
    upstream other { elb_destination; }
    server {
        elb_listen LISTEN_ON proxy_protocol;
        elb_redirect https;
    }
    server {
        elb_listen LISTEN_ON_TLS proxy_protocol;
        elb_env elb_ping ${PING_PATH:-/ping};
        elb_env return ${STATUS} ${TEXT:-text};
    }
--- env
DESTINATIONS=[]
DESTINATION_PORT=80
HTTPS_PORT=0
KEEPALIVE_REQUESTS=many
LISTEN_ON=80a
LISTEN_ON_TLS=
PING_PATH=ping
PROXY_PROTOCOL=yes
REDIRECT_STATUS=200
TRUSTED_PROXIES=10.0.0.0/33
--- faults
environment variable "TRUSTED_PROXIES" has invalid value "10.0.0.0/33", it must be "none" or a list of addresses and CIDR blocks, as in "10.0.0.0/8, 192.168.1.7", required by "elb_trusted_proxies" directive
environment variable "PROXY_PROTOCOL" has invalid value "yes", it must be "on" or "off", required by "elb_trusted_proxies" directive
"keepalive_requests" directive invalid number, from environment variable "KEEPALIVE_REQUESTS"
environment variables "DESTINATIONS" and "DESTINATION_PORT" are both set, there must be only one of them, required by "elb_destination" directive
environment variable "DESTINATIONS" has invalid value "[]", it must name at least one destination that is not a backup, required by "elb_destination" directive
environment variable "LISTEN_ON" has invalid value "80a", it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive
environment variable "REDIRECT_STATUS" has invalid value "200", it must be 301, 302, 307 or 308, required by "elb_redirect" directive
environment variable "HTTPS_PORT" has invalid value "0", it must be a port from 1 to 65535, required by "elb_redirect" directive
environment variable "LISTEN_ON_TLS" is not set, it must be a port from 1 to 65535 or address:port, or several of them separated by commas, required by "elb_listen" directive
environment variable "PING_PATH" has invalid value "ping", it must be a path of visible characters that begins with "/" and has none of ?#{}"\$; as in "/ping", required by "elb_env" directive
environment variable "STATUS" is not set and has no default, required by "elb_env" directive
