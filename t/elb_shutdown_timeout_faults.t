# elb_shutdown_timeout: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== no time
--- http_config
    elb_shutdown_timeout soon;
--- faults
invalid value "soon" in "elb_shutdown_timeout" directive, it must be a time such as "25s"



=== no time at all
--- http_config
    elb_shutdown_timeout 0;
--- faults
invalid value "0" in "elb_shutdown_timeout" directive, it must be a time above 0 or "off"



=== no time after a reload
--- http_config
    elb_shutdown_timeout 8s reload=later;
--- faults
invalid value "later" in "elb_shutdown_timeout" directive, it must be a time such as "25s"



=== another parameter
--- http_config
    elb_shutdown_timeout 8s grace=1s;
--- faults
invalid value "grace=1s" in "elb_shutdown_timeout" directive, it must be "reload=" with a time or "off"



=== twice
--- http_config
    elb_shutdown_timeout 8s;
    elb_shutdown_timeout off;
--- faults
"elb_shutdown_timeout" directive is duplicate



=== in a server
--- config
    elb_shutdown_timeout 8s;
--- faults
"elb_shutdown_timeout" directive is not allowed here

