# A destination whose name does not resolve at start: nginx stays up and finds it later.

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
my @variables = (-g => $Namespace::Main, DESTINATION_HOSTNAME => 'app.example',
    DESTINATION_PORT => $application->port);

sub comes_within {
    my ($nginx, $time) = @_;
    return wait_until(sub { get($nginx->address, '/')->{status} == 200 }, $time);
}

if (Prefix::resolves()) {
    my $nameserver = Nameserver->start;
    my $nginx = Shipped->start(@variables);
    is(get($nginx->address, '/')->{status}, 502, 'there is no such name');
    is(get($nginx->address, '/ping')->{status}, 200, 'nginx is up');
    $nameserver->set('app.example' => '127.0.0.2');
    ok(comes_within($nginx, 10), 'there is one: it is found within 10 seconds');
    $nameserver->stop;

    $nginx = Shipped->start(@variables);
    is(get($nginx->address, '/')->{status}, 502, 'there is no nameserver');
    $nameserver = Nameserver->start('app.example' => '127.0.0.2');
    ok(comes_within($nginx, 10), 'there is one: the name is found within 10 seconds');

    $nameserver->set('app.example' => 'SERVFAIL');
    $nginx = Shipped->start(@variables);
    is(get($nginx->address, '/')->{status}, 502, 'the nameserver fails');
    $nameserver->set('app.example' => '127.0.0.2');
    ok(comes_within($nginx, 10), 'it recovers: the name is found within 10 seconds');
}
else {
    my ($status, @messages) = Shipped->check(@variables);
    # this version has no keepalive_min_timeout either, and reports that as well
    @messages = grep { !/keepalive_min_timeout/ } @messages;
    is($status, 1, 'an older nginx does not start');
    like($messages[0], $Namespace::OldNginx, 'it says what it does');
    like($messages[1], qr/\[emerg\] .*: host not found in upstream "app\.example:\d+" in /,
        'and why');
    my $nameserver = Nameserver->start('app.example' => '127.0.0.2');
    my $nginx = Shipped->start(@variables);
    ok(comes_within($nginx, 1), 'it does with the name');
}

finish();
