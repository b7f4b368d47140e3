# elb_redirect: Location has the URI byte for byte, and the URI never changes the host.

use FindBin;
use lib "$FindBin::Bin/lib";
use Directives;
use Test::Nginx::Socket 'no_plan';

our @URIS = (
    '/?a=b&c', '/a?', '/a?b?c=//d', '//evil.example', '//evil.example/%2f..', '/\\evil.example',
    '/@evil.example', '/a/%2e%2e/b', '/a/../b', '/a//b', '/./', '/%41', "/\xc3\xa4", '/%C3%A4',
    '/a;b=c', '/a+b', '/%0d%0aSet-Cookie:%20a=b', '/a"b<c>{d}|^`', '/a#b', '/$host',
);
our @REFUSED = ('/%2e%2e/', '/a%zz', '/a%00', '/../a', "/a\x01b", "/a\x00b", 'a', '*');

run_tests();

__DATA__

=== no part of the URI is decoded, merged or resolved
--- config
    elb_redirect https;
--- request eval
[map { "GET $_" } @::URIS]
--- error_code eval
[map { 301 } @::URIS]
--- response_headers eval
[map { "Location: https://localhost$_" } @::URIS]



=== a malformed URI is refused
--- config
    elb_redirect https;
--- request eval
[map { "GET $_" } @::REFUSED]
--- error_code eval
[map { 400 } @::REFUSED]
--- response_headers eval
[map { '!Location' } @::REFUSED]



=== as long a URI as nginx takes
--- config
    elb_redirect https;
--- request eval
"GET /" . "a" x 8170
--- error_code: 301
--- response_headers eval
"Location: https://localhost/" . "a" x 8170



=== a longer one
--- config
    elb_redirect https;
--- request eval
"GET /" . "a" x 8192
--- error_code: 414



=== a request line with a whole URL
--- config
    elb_redirect https;
--- request
GET http://app.example/a?b=c
--- error_code: 301
--- response_headers
Location: https://app.example/a?b=c



=== a request line with a URL that has no path
--- config
    elb_redirect https;
--- request
GET http://app.example
--- error_code: 301
--- response_headers
Location: https://app.example/



=== a request line with a URL that has only a query
--- config
    elb_redirect https;
--- request
GET http://app.example?a=b
--- error_code: 301
--- response_headers
Location: https://app.example/?a=b
