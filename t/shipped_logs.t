# The shipped configuration: where the logs go, and the messages about a log that cannot be opened.
# shipped_log.t tests the lines of the logs, src/settings/paths.rs all messages.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(folder lines_of wait_until);
use Shipped;
use WebSocketClient;

my $application = Application->start;
my @destination = (DESTINATION_PORT => $application->port);

# Makes a request, and a WebSocket that ends.
sub leave_lines {
    my ($nginx) = @_;
    my $client = WebSocketClient->open($nginx->address, '/chat');
    $client->message;
    undef $client;
    get($nginx->address, '/request');
    return;
}

# The number of lines of each log in a stream.
sub lines_in {
    my ($nginx, $stream) = @_;
    my @lines = lines_of($nginx->path($stream));
    return {
        access    => scalar(grep { m{"GET /request HTTP} } @lines),
        websocket => scalar(grep { m{"/chat" \S+ \d+\.\d{3} client } } @lines),
        # messages while the configuration is read go to stderr in any case
        error     => scalar(grep { /\[notice\] .*start worker process / } @lines) ? 1 : 0,
    };
}

for (
    [[], { access => 1, websocket => 1, error => 0 }, { access => 0, websocket => 0, error => 1 }],
    [[ACCESS_LOG => 'stderr', WEBSOCKET_LOG => 'stderr', ERROR_LOG => 'stdout'],
        { access => 0, websocket => 0, error => 1 }, { access => 1, websocket => 1, error => 0 }],
    [[ACCESS_LOG => 'off', LOG_FORMAT => 'text'],
        { access => 0, websocket => 1, error => 0 }, { access => 0, websocket => 0, error => 1 }],
    [[WEBSOCKET_LOG => 'off', ERROR_LOG => 'stderr'],
        { access => 1, websocket => 0, error => 0 }, { access => 0, websocket => 0, error => 1 }],
    )
{
    my ($variables, $stdout, $stderr) = @$_;
    subtest join(' ', @$variables) || 'by default' => sub {
        my $nginx = Shipped->start(@destination, @$variables);
        leave_lines($nginx);
        wait_until(sub {
            my @found = map { lines_in($nginx, $_) } qw(stdout stderr);
            for my $log (qw(access websocket)) {
                return if $found[0]{$log} < $stdout->{$log} || $found[1]{$log} < $stderr->{$log};
            }
            return 1;
        });
        is_deeply(lines_in($nginx, 'stdout'), $stdout, 'stdout');
        is_deeply(lines_in($nginx, 'stderr'), $stderr, 'stderr');
    };
}

# A command whose streams are sockets, as under systemd; their bytes are copied to files.
my $sockets = ['perl', '-MSocket', '-e', <<'PERL'];
for my $stream (\*STDOUT, \*STDERR) {
    socketpair my $ours, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die;
    # forks twice: a direct child would be a child of nginx, which the test takes for a worker
    my $child = fork;
    if (!$child) {
        exit if fork;
        close $its;
        syswrite $stream, $bytes while sysread $ours, $bytes, 4096;
        exit;
    }
    waitpid $child, 0;
    open $stream, '>&', $its or die;
}
exec @ARGV;
PERL

subtest 'a stream that is a socket' => sub {
    my $nginx = Shipped->start(@destination, ERROR_LOG => '/dev/stderr', -w => $sockets);
    my $count = 0;
    my $writes = sub {
        my ($when) = @_;
        leave_lines($nginx);
        $count++;
        my $all = sub {
            my $found = lines_in($nginx, 'stdout');
            return $found->{access} == $count && $found->{websocket} == $count;
        };
        ok(wait_until($all), "is written to $when");
    };
    $writes->('from the start');
    ok(lines_in($nginx, 'stderr')->{error}, 'so is that of errors');
    my ($worker) = $nginx->workers;
    $nginx->signal('HUP');
    ok($nginx->logs(qr/process $worker exited/), 'a reload');
    $writes->('after a reload');
    $nginx->signal('USR1');
    ok($nginx->logs(qr/reopening logs/), 'a request to open the logs again');
    $writes->('after that');
};

sub emergencies {
    return [map { /\[emerg\] \d+#\d+: (.*)/ ? $1 : () } @_];
}

subtest 'faults' => sub {
    my $folder = folder();
    my @wrong = (ACCESS_LOG => '/nowhere/access', WEBSOCKET_LOG => $folder,
        ERROR_LOG => '/nowhere/error', TEMP_PATH => '/nowhere/temp');
    my ($status, @messages) = Shipped->check(@destination, @wrong, PING_PATH => 'ping');
    is($status, 1, 'nginx does not start');
    my $missing = 'No such file or directory; create the folder that it is in';
    my $streams = 'to "stdout" or "stderr"';
    is_deeply([grep { !/PING_PATH/ } @{ emergencies(@messages) }], [
        qq(environment variable "ERROR_LOG": log "/nowhere/error" cannot be opened: )
            . "$missing, or set ERROR_LOG $streams",
        qq(environment variable "ACCESS_LOG": log "/nowhere/access" cannot be opened: )
            . "$missing, or set ACCESS_LOG $streams",
        'environment variable "TEMP_PATH": folder "/nowhere/temp/client_body" cannot be made: '
            . "$missing, as docker run --tmpfs /tmp does for the default",
        qq(environment variable "WEBSOCKET_LOG": log "$folder" cannot be opened: Is a directory; )
            . "name a file in that folder, or set WEBSOCKET_LOG $streams",
    ], 'each variable is named, with what to do');
    is(scalar(grep { /PING_PATH/ } @messages), 1, 'beside other faults');

    ($status, @messages) = Shipped->check(@destination, ERROR_LOG => 'off');
    is($status, 1, 'an error log cannot be off');
    like(emergencies(@messages)->[0], qr/^invalid value "off" in "error_log" directive, it must be /,
        'it says what it can be');
    like(emergencies(@messages)->[0], qr/, from environment variable "ERROR_LOG"$/, 'with its name');
};

subtest 'a folder that cannot be given to the user of the workers' => sub {
    plan skip_all => 'only root gives folders away' if $> != 0;
    my ($status, @messages) = Shipped->check(@destination,
        -w => ['setpriv', '--bounding-set', '-chown']);
    is($status, 1, 'is a fault');
    is(@{ emergencies(@messages) }, 1, 'one');
    like(emergencies(@messages)->[0],
        qr{^environment variable "TEMP_PATH": "\S+/client_body" cannot be given to user \d+, .*: Operation not permitted; start nginx as that user },
        'that says what to do');
};

finish();
