# The shipped configuration: an application that is not there yet, comes, goes and comes back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(free_port);
use Shipped;

my $port = free_port();
my $nginx = Shipped->start(DESTINATION_PORT => $port);
is(get($nginx->address, '/')->{status}, 502, 'the application is down at start');
is(get($nginx->address, '/ping')->{status}, 200, 'nginx is up');

for my $time ('comes up', 'comes back') {
    my $application = Application->start(port => $port);
    is(get($nginx->address, '/')->{status}, 200, "it $time");
    is(get($nginx->address, '/')->{headers}{'x-connection'}, 1, 'with its connection kept');
    $application->stop;
    is(get($nginx->address, '/')->{status}, 502, 'it goes down');
}

finish();
