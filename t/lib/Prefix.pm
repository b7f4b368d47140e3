package Prefix;

# The nginx prefix under test: NGINX_PREFIX, by default "build". To be used before Test::Nginx, as
# it sets the paths of the binary and the module for it. It removes all environment variables except
# those that programs need: any other variable might be a setting of nginx.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Spec;

our $Root = abs_path(dirname(__FILE__) . '/../..');
our $Path = File::Spec->rel2abs($ENV{NGINX_PREFIX} || 'build', $Root);
our $Nginx = "$Path/sbin/nginx";
our $Module = "$Path/modules/ngx_http_elb_websocket_module.so";

-x $Nginx && -e $Module or die "no nginx and module in $Path: run \"make build\"\n";

delete @ENV{
    grep { !/^(?:PATH|HOME|TMPDIR|LANG|LC_\w+|LD_\w+|PERL\w*|HARNESS\w*|TEST_\w+|\w+SAN_OPTIONS)$/ }
        keys %ENV };

$ENV{TEST_NGINX_BINARY} = $Nginx;
# an nginx built without some of its own modules has them in the folder of ours
$ENV{TEST_NGINX_LOAD_MODULES} = join ' ', $Module, grep { $_ ne $Module } glob "$Path/modules/*.so";

our ($Version) = `$Nginx -v 2>&1` =~ m{nginx/([\d.]+)} or die "$Nginx does not tell its version\n";

# Unless a test expects them, no log may have such messages, a panic or a sanitizer's report.
our $Loud = qr/\[(?:emerg|alert|crit)\]|panicked at|Sanitizer/;

# Whether the binary is at least of this version.
sub since {
    my ($version) = @_;
    my ($have, $want) = map { sprintf '%03d%03d%03d', split /\./ } $Version, $version;
    return $have >= $want;
}

# Whether the binary has the mail module, or the prefix brings it along.
sub has_mail {
    return -e "$Path/modules/ngx_mail_module.so" || `$Nginx -V 2>&1` =~ /--with-mail\b(?!=)/;
}

# Whether a destination's name can be looked up while nginx runs.
sub resolves { return since('1.27.3') }

1;
