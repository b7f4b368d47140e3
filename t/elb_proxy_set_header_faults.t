# elb_proxy_set_header: configurations that it refuses, and the messages.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== a name that is none
--- config
    elb_proxy_set_header "X Y" value;
--- faults
invalid value "X Y" in "elb_proxy_set_header" directive, it must be the name of a header, then its value



=== no name
--- config
    elb_proxy_set_header "" value;
--- faults
invalid value "" in "elb_proxy_set_header" directive, it must be the name of a header, then its value



=== no value
--- config
    elb_proxy_set_header X-A;
--- faults
invalid number of arguments in "elb_proxy_set_header" directive



=== twice at one level, in any case
--- config
    elb_proxy_set_header X-A one;
    elb_proxy_set_header x-a two;
--- faults
"x-a" in "elb_proxy_set_header" directive is duplicate



=== a variable without a name
--- config
    elb_proxy_set_header X-A "$ b";
--- faults
invalid variable name



=== a variable that is none
--- config
    location / {
        elb_proxy_set_header X-A $no_such_variable;
        proxy_pass http://127.0.0.1:1;
    }
--- faults
unknown "no_such_variable" variable



=== in an if
--- config
    location / {
        if ($arg_a) {
            elb_proxy_set_header X-A one;
        }
    }
--- faults
"elb_proxy_set_header" directive is not allowed here



=== from a variable that is not set
--- config
    elb_env elb_proxy_set_header X-A ${X_A};
--- faults
environment variable "X_A" is not set and has no default, required by "elb_env" directive
