# "search" and "ndots" of /etc/resolv.conf: the name that nginx looks up for a destination.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Namespace;
use Test::More;

use Application;
use Client;
use Nameserver;
use Prefix;
use Process qw(wait_until);
use Shipped;

my $application = Application->start(host => '127.0.0.2');
my $nameserver = Nameserver->start;

sub start {
    my ($name, $resolv_conf, %names) = @_;
    Namespace::put('/etc/resolv.conf', "nameserver 127.0.0.1\n$resolv_conf\n");
    $nameserver->set(%names);
    return Shipped->start(-g => $Namespace::Main, RESOLVER_VALID => '1s',
        DESTINATION_HOSTNAME => $name, DESTINATION_PORT => $application->port);
}

sub serves {
    my ($nginx) = @_;
    return wait_until(sub { get($nginx->address, '/')->{status} == 200 }, 6);
}

# nginx's notices about the name, without prefix and position.
sub notices {
    my ($nginx) = @_;
    return [map { /\[notice\] \S+ (destination ".*") in \S+:\d+/ ? $1 : () } $nginx->messages];
}

# name, resolv.conf, the name that exists, the name in the notice
my @found = (
    ['app', 'search one.example two.example', 'app.two.example', 'app.two.example'],
    ['app', 'search one.example', 'app', undef],
    ['app.one', 'search example', 'app.one', undef],
    ['app.one', 'search example', 'app.one.example', 'app.one.example'],
    ['app.one', "search example\noptions ndots:2", 'app.one.example', 'app.one.example'],
    ['app.one.', 'search example', 'app.one', undef],
    ['app', 'domain example', 'app.example', 'app.example'],
);
for (@found) {
    my ($name, $resolv_conf, $found, $told) = @$_;
    my $nginx = start($name, $resolv_conf, $found => '127.0.0.2');
    my $title = "$name with $resolv_conf" =~ s/\n/, /r;
    ok(serves($nginx), $title);
    my $absolute = $name =~ s/\.\z//r;
    $told = undef if !Prefix::resolves();
    is_deeply(notices($nginx),
        [defined $told ? qq(destination "$absolute" resolves as "$told") : ()], 'its notice');
}

SKIP: {
    skip 'an older nginx does not start without the name: t/names_late.t', 3 if !Prefix::resolves();
    my $nginx = start('app', 'search one.example two.example');
    is(get($nginx->address, '/')->{status}, 502, 'none of the names is there');
    is_deeply(notices($nginx), ['destination "app" does not resolve yet: nginx keeps trying '
        . '"app.one.example", then "app.two.example", then "app"'], 'which is told');
    $nameserver->set('app.two.example' => '127.0.0.2');
    ok(serves($nginx), 'the second is there');
}

finish();
