# elb_env: a malformed reference is an error in the configuration file.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== no closing brace
--- config
    elb_env return 200 "${TEXT";
--- faults
invalid reference "${TEXT", it must be "${NAME}", "${NAME:-default}" or "${NAME:+word}", in "elb_env" directive



=== no closing brace after a default
--- config
    elb_env return 200 "${TEXT:-${OTHER}";
--- faults
invalid reference "${TEXT:-${OTHER}", it must be "${NAME}", "${NAME:-default}" or "${NAME:+word}", in "elb_env" directive



=== a default as other shells have it
--- config
    elb_env return 200 "${TEXT-x}";
--- faults
invalid reference "${TEXT-x}", it must be "${NAME}", "${NAME:-default}" or "${NAME:+word}", in "elb_env" directive



=== an error message as other shells have it
--- config
    elb_env return 200 "${TEXT:?x}";
--- env
TEXT=x
--- faults
invalid reference "${TEXT:?x}", it must be "${NAME}", "${NAME:-default}" or "${NAME:+word}", in "elb_env" directive



=== no operator
--- config
    elb_env return 200 "${TEXT:}";
--- faults
invalid reference "${TEXT:}", it must be "${NAME}", "${NAME:-default}" or "${NAME:+word}", in "elb_env" directive
