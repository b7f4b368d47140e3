# master_process off: one process reads the environment again at each reload.
#
# No request follows a reload: nginx itself, with or without a module, has no connections left for
# them after a reload of a single process ("worker_connections are not enough").

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(folder wait_until write_file);
use Shipped;

my $application = Application->start;
my $folder = folder();
write_file("$folder/path", "/one\n");
my $nginx = Shipped->start(-g => 'daemon off; master_process off;', LOG_LEVEL => 'info',
    DESTINATION_PORT => $application->port, PING_PATH_FILE => "$folder/path");

is($nginx->workers, 0, 'there is one process');
is(get($nginx->address, '/one')->{body}, 'ok', 'it has the variables of the table');
is(get($nginx->address, '/')->{status}, 200, 'and serves');

sub reads { return scalar grep { /environment variables read: / } $nginx->messages }

for my $time (2 .. 3) {
    write_file("$folder/path", "/path-$time");
    $nginx->signal('HUP');
    ok(wait_until(sub { reads() == $time }), 'a reload reads the environment');
}
is(join("\n", $nginx->loud_messages), '', 'where nothing is missing');

write_file("$folder/path", 'four');
$nginx->asks_for(qr/environment variable "PING_PATH_FILE" names a file with an invalid value/);
$nginx->signal('HUP');
ok($nginx->logs(qr/\[emerg\] .*"PING_PATH_FILE" names a file with an invalid value/),
    'a broken one is refused');

write_file("$folder/path", '/five');
$nginx->signal('HUP');
ok(wait_until(sub { reads() == 4 }), 'a mended one is taken');

finish();
