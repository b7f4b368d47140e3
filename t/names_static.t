# Names of /etc/hosts and address literals need no nameserver.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Namespace;
use Test::More;

use Application;
use Client;
use Nameserver;
use Shipped;

my $application = Application->start(host => '127.0.0.2');
my $nameserver = Nameserver->start;
Namespace::put('/etc/hosts', "127.0.0.1 localhost\n127.0.0.2 App-1.internal app # linked\n");
# a lookup at the nameserver would also try names with this suffix
Namespace::put('/etc/resolv.conf', "nameserver 127.0.0.1\nsearch example\noptions ndots:5\n");

for my $name (qw(app APP app-1.internal app. 127.0.0.2)) {
    my $nginx = Shipped->start(-g => $Namespace::Main,
        DESTINATION_HOSTNAME => $name, DESTINATION_PORT => $application->port);
    is(get($nginx->address, '/')->{status}, 200, "$name is there");
    is(scalar(grep { /\[notice\] .* (?:destination|names) / } $nginx->messages), 0,
        'nginx has nothing to say of it');
}
is_deeply([$nameserver->queries], [], 'nobody asked the nameserver');

finish();
