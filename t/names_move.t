# A destination that moves to another address is found there, whatever the TTL of the old one.

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
my $port = $application->port;
my $nameserver = Nameserver->start('app.example' => '127.0.0.2');
my $nginx = Shipped->start(-g => $Namespace::Main,
    DESTINATION_HOSTNAME => 'app.example', DESTINATION_PORT => $port);

sub serves { return get($nginx->address, '/')->{status} == 200 }

ok(wait_until(\&serves, 10), 'the destination is there');

$application->stop;
$nameserver->set('app.example' => '127.0.0.3');
$application = Application->start(host => '127.0.0.3', port => $port);

if (Prefix::resolves()) {
    ok(wait_until(\&serves, 10), 'it moves: it is found within 10 seconds');
}
else {
    ok($nginx->logs($Namespace::OldNginx), 'an older nginx says that it does so at start only');
    ok(!wait_until(\&serves, 7), 'so it does not find it when it moves');
}

finish();
