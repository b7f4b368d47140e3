# A binary upgrade (USR2): the new nginx has the environment of the old one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(folder is_running wait_until write_file);
use Shipped;

my $application = Application->start;
my $folder = folder();
mkdir "$folder/http" or die;
write_file("$folder/own.conf",
    'location = /own { elb_env return 200 "${OWN_TEXT} ${OTHER_TEXT:-and a default} $pid"; }');
write_file("$folder/text", 'from a file');

# nginx accepts the signal only after its parent has exited
my $nginx = Shipped->start(-g => 'daemon on;', DESTINATION_PORT => $application->port,
    CONFIG_OVERRIDES => $folder, OWN_TEXT_FILE => "$folder/text", PING_PATH => '/health');
my ($old, $old_worker) = ($nginx->master, $nginx->workers);

# The text of the location, once a worker of the new nginx returns it.
sub own_text {
    my ($expected) = @_;
    my $body;
    wait_until(sub {
        $body = get($nginx->address, '/own')->{body};
        $body !~ / $old_worker$/ && $body =~ /^\Q$expected\E \d+$/;
    });
    return $body =~ s/ \d+$//r;
}

my $slow = Client->connect($nginx->address);
$slow->send("GET /slow/1 HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n");

$nginx->signal('USR2');
ok(wait_until(sub { $nginx->master != $old && $nginx->workers }), 'a new nginx starts');
my $new = $nginx->master;
kill 'WINCH', $old;
is(own_text('from a file and a default'), 'from a file and a default',
    'it has the variables that directives ask for');
is(get($nginx->address, '/health')->{body}, 'ok', 'and those of the table');
is(get($nginx->address, '/')->{status}, 200, 'it serves');
is($slow->answer->{status}, 200, 'the old one answers what is under way');
kill 'QUIT', $old;
ok(wait_until(sub { !is_running($old) }), 'and ends');

write_file("$folder/text", 'again');
$nginx->signal('HUP');
is(own_text('again and a default'), 'again and a default', 'the new one can be reloaded');
is($nginx->master, $new, 'and stays');

finish();
