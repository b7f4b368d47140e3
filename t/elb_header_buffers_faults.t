# elb_header_buffers: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== one argument
--- http_config
    elb_header_buffers "4 16k";
--- faults
invalid number of arguments in "elb_header_buffers" directive



=== a size alone
--- http_config
    elb_header_buffers 16k 16k;
--- faults
invalid value "16k" in "elb_header_buffers" directive, it must be a number from 1 to 64 and a size from 1k to 1m, as in "4 16k"



=== too many buffers
--- http_config
    elb_header_buffers "65 16k" 16k;
--- faults
invalid value "65 16k" in "elb_header_buffers" directive, it must be a number from 1 to 64 and a size from 1k to 1m, as in "4 16k"



=== a size that is too small
--- http_config
    elb_header_buffers "4 16k" 512;
--- faults
invalid value "512" in "elb_header_buffers" directive, it must be a size from 1k to 1m, as in "16k"



=== from variables
--- http_config
    elb_env elb_header_buffers "${LARGE_CLIENT_HEADER_BUFFERS:-4 16k}" ${PROXY_BUFFER_SIZE:-16k};
--- env
LARGE_CLIENT_HEADER_BUFFERS=4
PROXY_BUFFER_SIZE=16 k
--- faults
environment variable "LARGE_CLIENT_HEADER_BUFFERS" has invalid value "4", it must be a number from 1 to 64 and a size from 1k to 1m, as in "4 16k", required by "elb_env" directive



=== the other from a variable
--- http_config
    elb_env elb_header_buffers "${LARGE_CLIENT_HEADER_BUFFERS:-4 16k}" ${PROXY_BUFFER_SIZE:-16k};
--- env
PROXY_BUFFER_SIZE=16 k
--- faults
environment variable "PROXY_BUFFER_SIZE" has invalid value "16 k", it must be a size from 1k to 1m, as in "16k", required by "elb_env" directive



=== twice
--- http_config
    elb_header_buffers "4 16k" 16k;
    elb_header_buffers "4 16k" 16k;
--- faults
"elb_header_buffers" directive is duplicate



=== beside nginx's own
--- http_config
    large_client_header_buffers 4 8k;
    elb_header_buffers "4 16k" 16k;
--- faults
"large_client_header_buffers" directive is duplicate



=== in a location
--- config
    location / { elb_header_buffers "4 16k" 16k; }
--- faults
"elb_header_buffers" directive is not allowed here
