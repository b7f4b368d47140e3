# The shipped configuration: with an invalid environment nginx never starts, and it reports all
# errors at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Prefix;
use Shipped;

# The configuration test's messages at [emerg], without positions that are those of our directives.
sub faults {
    my (@messages) = @_;
    open my $file, '<', "$Prefix::Root/nginx/nginx.conf" or die;
    my @conf = <$file>;
    my @faults;
    for (@messages) {
        my ($message) = /\[emerg\] \d+#\d+: (.*)/ or next;
        $message =~ s{ in \S+/nginx\.conf:(\d+)}{$conf[$1 - 1] =~ /\belb_/ ? '' : $&}e;
        push @faults, $message;
    }
    return \@faults;
}

my ($status, @messages) = Shipped->check(DESTINATION_PORT => 80);
is($status, 0, 'a sound environment passes the test');
like($messages[-1], qr/test is successful$/, 'which says so');

($status, @messages) = Shipped->check(
    LISTEN_ON => undef, LISTEN_ON_TLS => undef, DESTINATION_HOSTNAME => undef);
is($status, 1, 'an empty environment does not');
is_deeply(faults(@messages), [
    'environment variable "DESTINATION_HOSTNAME" is not set, it must be a host name or an IP address, required by "elb_destination" directive',
    'environment variable "DESTINATION_PORT" is not set, it must be a port from 1 to 65535, required by "elb_destination" directive',
    'environment variable "LISTEN_ON" is not set, it must be a port from 1 to 65535 or address:port, several of them separated by commas, or "off", required by "elb_listen" directive',
    'environment variable "LISTEN_ON_TLS" is not set, it must be a port from 1 to 65535 or address:port, or several of them separated by commas, required by "elb_listen" directive',
], 'it is told what is missing');
like($messages[-1], qr/test failed$/, 'that it failed comes last');

($status, @messages) = Shipped->check(
    LISTEN_ON => 80, LISTEN_ON_TLS => '*:80', DESTINATION_HOSTNAME => 'app:80',
    DESTINATION_PORT => 65536, PROXY_PROTOCOL => 'v2', TRUSTED_PROXIES => '10.0.0.0/a',
    HTTPS_PORT => 'https', REDIRECT_STATUS => 303, PING_PATH => 'ping',
    WORKER_PROCESSES => 'all', WORKER_CONNECTIONS => 'many', CLIENT_MAX_BODY_SIZE => '1x',
    PROXY_READ_TIMEOUT => 'long', LOG_LEVEL => 'loud', LOG_FORMAT => 'xml', ERROR_LOG => 'a$b');
is($status, 1, 'nor does one that is all wrong');
my %named = map { (/environment variables? "(\w+)"/ ? $1 : $_) => 1 } @{ faults(@messages) };
is_deeply([sort keys %named], [sort qw(
    CLIENT_MAX_BODY_SIZE DESTINATION_HOSTNAME DESTINATION_PORT ERROR_LOG HTTPS_PORT LISTEN_ON_TLS
    LOG_FORMAT PING_PATH PROXY_PROTOCOL PROXY_READ_TIMEOUT REDIRECT_STATUS TRUSTED_PROXIES
    WORKER_CONNECTIONS WORKER_PROCESSES)], 'each variable is named');

# with these values nginx would start but could serve no client
for ([WORKER_PROCESSES => 0, 100000], [WORKER_CONNECTIONS => 0, 5, 4294967295],
    [PROXY_CONNECT_TIMEOUT => '0'], [PROXY_READ_TIMEOUT => '0s'], [PROXY_SEND_TIMEOUT => '0h 0s'])
{
    my ($name, @values) = @$_;
    for my $value (@values) {
        ($status, @messages) = Shipped->check(DESTINATION_PORT => 80, $name => $value);
        is($status, 1, "$name=$value does not start");
        like(join("\n", @{ faults(@messages) }),
            qr/^environment variable "$name" has invalid value "$value", it must be a [^\n]*$/,
            'that is told, and nothing else');
    }
}

finish();
