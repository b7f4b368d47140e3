# elb_redirect: the host of the request, in whatever form the client writes it.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

# Host as the client sends it, and in Location
our @HOSTS = (
    ['app.example', 'app.example'],
    ['app.example:80', 'app.example'],
    ['APP.Example', 'app.example'],
    ['app.example.', 'app.example'],
    ['192.0.2.1:81', '192.0.2.1'],
    ['[2001:db8::1]', '[2001:db8::1]'],
    ['[2001:db8::1]:81', '[2001:db8::1]'],
    ['my_app', 'my_app'],
);
our @REFUSED = ('app..example', "app\x01", 'a/b', 'a b');


run_tests();

__DATA__

=== the host without its port
--- config
    elb_redirect https;
--- request eval
[map { "GET /a" } @::HOSTS]
--- more_headers eval
[map { "Host: $_->[0]" } @::HOSTS]
--- error_code eval
[map { 301 } @::HOSTS]
--- response_headers eval
[map { "Location: https://$_->[1]/a" } @::HOSTS]



=== the host with the port of https
--- config
    elb_redirect https;
--- env
HTTPS_PORT=8443
--- request eval
[map { "GET /a" } @::HOSTS]
--- more_headers eval
[map { "Host: $_->[0]" } @::HOSTS]
--- error_code eval
[map { 301 } @::HOSTS]
--- response_headers eval
[map { "Location: https://$_->[1]:8443/a" } @::HOSTS]



=== an invalid host is refused
--- config
    elb_redirect https;
--- request eval
[map { "GET /a" } @::REFUSED]
--- more_headers eval
[map { "Host: $_" } @::REFUSED]
--- error_code eval
[map { 400 } @::REFUSED]
--- response_headers eval
[map { '!Location' } @::REFUSED]



=== two hosts are refused
--- config
    elb_redirect https;
--- request
GET /a
--- more_headers
Host: a.example
Host: b.example
--- error_code: 400
--- response_headers
! Location



=== no host at all, HTTP/1.1
--- config
    elb_redirect https;
--- raw_request eval
"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n"
--- error_code: 400
--- response_headers
! Location



=== no host at all, HTTP/1.0
--- config
    elb_redirect https;
--- raw_request eval
"GET /a HTTP/1.0\r\n\r\n"
--- error_code: 400
--- response_headers
! Location



=== an empty host
--- config
    elb_redirect https;
--- raw_request eval
"GET /a HTTP/1.0\r\nHost:\r\n\r\n"
--- error_code: 400
--- response_headers
! Location



=== the host of the request line counts, not Host
--- config
    elb_redirect https;
--- request
GET http://App.example:81/a
--- more_headers
Host: evil.example
--- error_code: 301
--- response_headers
Location: https://app.example/a



=== the name of the server does not
--- config
    server_name app.example;
    server_name_in_redirect on;
    elb_redirect https;
--- request
GET /a
--- more_headers
Host: other.example
--- error_code: 301
--- response_headers
Location: https://other.example/a
