# elb_trusted_proxies: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== no address
--- http_config
    elb_trusted_proxies;
--- env
TRUSTED_PROXIES=10.0.0.0/8, vpc
--- faults
environment variable "TRUSTED_PROXIES" has invalid value "10.0.0.0/8, vpc", it must be "none" or a list of addresses and CIDR blocks, as in "10.0.0.0/8, 192.168.1.7", required by "elb_trusted_proxies" directive



=== a prefix that is too long
--- http_config
    elb_trusted_proxies;
--- env
TRUSTED_PROXIES=10.0.0.0/33
--- faults
environment variable "TRUSTED_PROXIES" has invalid value "10.0.0.0/33", it must be "none" or a list of addresses and CIDR blocks, as in "10.0.0.0/8, 192.168.1.7", required by "elb_trusted_proxies" directive



=== none beside an address
--- http_config
    elb_trusted_proxies;
--- env
TRUSTED_PROXIES=none, 10.0.0.0/8
--- faults
environment variable "TRUSTED_PROXIES" has invalid value "none, 10.0.0.0/8", it must be "none" or a list of addresses and CIDR blocks, as in "10.0.0.0/8, 192.168.1.7", required by "elb_trusted_proxies" directive



=== separators alone
--- http_config
    elb_trusted_proxies;
--- env
TRUSTED_PROXIES=,
--- faults
environment variable "TRUSTED_PROXIES" has invalid value ",", it must be "none" or a list of addresses and CIDR blocks, as in "10.0.0.0/8, 192.168.1.7", required by "elb_trusted_proxies" directive



=== a directive of nginx
--- http_config
    elb_trusted_proxies;
--- env
TRUSTED_PROXIES=10.0.0.0/8; real_ip_header X-Anything
--- faults
environment variable "TRUSTED_PROXIES" has invalid value "10.0.0.0/8; real_ip_header X-Anything", it must be "none" or a list of addresses and CIDR blocks, as in "10.0.0.0/8, 192.168.1.7", required by "elb_trusted_proxies" directive



=== PROXY_PROTOCOL that is neither on nor off
--- http_config
    elb_trusted_proxies;
--- env
PROXY_PROTOCOL=ON
--- faults
environment variable "PROXY_PROTOCOL" has invalid value "ON", it must be "on" or "off", required by "elb_trusted_proxies" directive



=== twice
--- http_config
    elb_trusted_proxies;
    elb_trusted_proxies;
--- faults
"elb_trusted_proxies" directive is duplicate



=== beside a header of the configuration's own
--- http_config
    real_ip_header X-Real-IP;
    elb_trusted_proxies;
--- faults
"real_ip_header" directive is duplicate



=== an argument
--- http_config
    elb_trusted_proxies 10.0.0.0/8;
--- faults
invalid number of arguments in "elb_trusted_proxies" directive



=== in a location
--- config
    location / { elb_trusted_proxies; }
--- faults
"elb_trusted_proxies" directive is not allowed here



=== a header with a list
--- http_config
    elb_trusted_proxies;
--- env
CLIENT_ADDRESS_HEADER=X-Forwarded-For
--- faults
environment variable "CLIENT_ADDRESS_HEADER" has invalid value "X-Forwarded-For", it must be the name of a header with one address, as in "CloudFront-Viewer-Address" or "CF-Connecting-IP", required by "elb_trusted_proxies" directive
