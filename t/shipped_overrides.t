# The shipped configuration: what the files in the folder of overrides add to it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(folder write_file);
use Shipped;

my $application = Application->start;
my @destination = (DESTINATION_PORT => $application->port);

sub overrides {
    my (%files) = @_;
    my $folder = folder();
    mkdir "$folder/http" or die;
    write_file("$folder/$_", $files{$_}) for keys %files;
    return $folder;
}

subtest 'a location, a variable of http and a server' => sub {
    my $nginx = Shipped->start(@destination, TEXT => 'from the environment',
        CONFIG_OVERRIDES => overrides(
            'location.conf' => 'location /own { elb_env return 200 "${TEXT} $own\n"; }',
            'header.conf'   => 'add_header X-Own $own always;',
            'ping.conf'     => 'location = /ping { return 500; }',
            'not-this.txt'  => 'faulty;',
            'http/map.conf' => 'map $uri $own { default "and a map"; }',
        ));
    my $answer = get($nginx->address, '/own');
    is($answer->{body}, "from the environment and a map\n", 'a location of its own answers');
    $answer = get($nginx->address, '/other');
    like($answer->{body}, qr{^GET /other }, 'the others go to the application');
    is($answer->{headers}{'x-own'}, 'and a map', 'with the header');
    is(get($nginx->address, '/ping')->{status}, 200, 'no location takes the health check over');
    is(get($nginx->address('LISTEN_ON'), '/own')->{status}, 301, 'plain traffic is redirected');
};

subtest 'an empty folder, and none' => sub {
    for my $folder (overrides(), '/nowhere') {
        my ($status) = Shipped->check(@destination, CONFIG_OVERRIDES => $folder);
        is($status, 0, 'is fine');
    }
};

subtest 'a faulty file' => sub {
    my $folder = overrides('http/faulty.conf' => "# one line\nsend_timeout soon;\n");
    my ($status, @messages) = Shipped->check(@destination, CONFIG_OVERRIDES => $folder);
    is($status, 1, 'is refused');
    my $fault = qq("send_timeout" directive invalid value in $folder/http/faulty.conf:2);
    like($messages[0], qr/\[emerg\] \S+ \Q$fault\E/, 'with its line');
};

finish();
