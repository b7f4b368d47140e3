# elb_env: in the mail context.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket;

Prefix::has_mail() ? plan('no_plan') : plan(skip_all => 'this nginx has no mail module');

run_tests();

__DATA__

=== mail
--- main_config
    mail {
        server_name mail.example;
        elb_env auth_http 127.0.0.1:${AUTH_PORT:-1};
        server {
            elb_env listen ${PORT};
            elb_env protocol ${PROTOCOL:-smtp};
            smtp_auth none;
        }
    }
--- config
--- env
PORT=$TEST_NGINX_PORT_1
--- port: 1
--- raw_request eval
"QUIT\r\n"
--- http09
--- response_body eval
"220 mail.example ESMTP ready\r\n221 2.0.0 Bye\r\n"
