package Image;

# Containers of the image under test, and requests to them. ENGINE and IMAGE are set by
# scripts/image-test. Whatever was started is removed at the end of the test.

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use IO::Socket::INET ();
use Socket qw(inet_aton);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
    engine start start_app start_client remove talk exit_code logs clean_logs address port request get wait_for
    proxy_v1 proxy_v2 folder_of
);

my $engine = $ENV{ENGINE} or die "ENGINE is not set, start the tests with scripts/image-test\n";
my $image = $ENV{IMAGE} or die "IMAGE is not set, start the tests with scripts/image-test\n";
my $network = "elb-test-$$";
my ($count, @started, $has_network) = (0);

# Runs the engine; its exit code and everything it printed.
sub engine {
    open my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', $engine, @_ or die "$engine: $!";
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    return ($? >> 8, $output);
}

# The same; a failure ends the test.
sub must {
    my ($code, $output) = engine(@_);
    BAIL_OUT("$engine @_: $output") if $code;
    chomp $output;
    return $output;
}

# start(OPTION...): a container of the image in the test's own network; its name.
sub start { return run($image, [], '--network', network(), @_) }

# start_app(NAME): the application on port 45490, reached by that name.
sub start_app {
    my ($name) = @_;
    return run("$image-peer", ['serve', 45490], '--network', network(), '--network-alias', $name);
}

# The test's own network, made when it is first asked for.
sub network {
    must('network', 'create', $network) unless $has_network++;
    return $network;
}

sub run {
    my ($of, $arguments, @options) = @_;
    my $name = "$network-" . $count++;
    push @started, $name;
    must('run', '-d', '--name', $name, @options, $of, @$arguments);
    return $name;
}

# Removes a container at once.
sub remove {
    my ($name) = @_;
    must('rm', '-f', '-t', '0', $name);
    @started = grep { $_ ne $name } @started;
}

# talk(PORT, HEADER): the output of the WebSocket client, connected to the proxy at that port of
# this machine.
sub talk {
    my ($port, $header) = @_;
    my ($code, $output) = engine('run', '--rm', '--network', 'host', "$image-peer",
        'talk', '127.0.0.1', $port, unpack('H*', $header));
    return $output;
}

# start_client(PORT, HEADER): a client that waits for the end of its WebSocket and logs it.
sub start_client {
    my ($port, $header) = @_;
    my @arguments = ('hold', '127.0.0.1', $port, unpack('H*', $header));
    return run("$image-peer", \@arguments, '--network', 'host');
}

# The exit code of a container that has ended, once it has.
sub exit_code { return must('wait', shift) }

sub logs { return must('logs', shift) }

# No worker crashed, and nginx logged no serious error.
sub clean_logs {
    my ($name) = @_;
    unlike(logs($name), qr/\[(alert|crit|emerg)\]/, 'a clean log');
}

# The address of a container in the test's network.
sub address {
    my ($name) = @_;
    return must('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', $name);
}

# The port of this machine that leads to a port of the container.
sub port {
    my ($name, $inside) = @_;
    my ($port) = must('port', $name, "$inside/tcp") =~ /:(\d+)$/m;
    return $port;
}

# wait_for(SECONDS, CODE): the first true value of CODE, or its last one.
sub wait_for {
    my ($seconds, $code) = @_;
    my $end = time + $seconds;
    my $value;
    while (!($value = $code->()) && time < $end) {
        sleep 0.1;
    }
    return $value;
}

# request(PORT, BYTES): the proxy's response, up to the end of the connection; empty without one.
sub request {
    my ($port, $bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 5) or return '';
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{ALRM} = sub { die "no answer from port $port within 15 seconds\n" };
    alarm 15;
    print {$socket} $bytes;
    my $answer = do { local $/; <$socket> } // '';
    alarm 0;
    return $answer;
}

# get(PORT, URI, HEADER): the answer to a GET behind a PROXY header.
sub get {
    my ($port, $uri, $header) = @_;
    return request($port,
        ($header // '') . "GET $uri HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
}

# A PROXY protocol header for a client at this IPv4 address.
sub proxy_v1 { return "PROXY TCP4 $_[0] 198.51.100.1 51234 443\r\n" }

sub proxy_v2 {
    return "\r\n\r\n\0\r\nQUIT\n" . pack('CCn a4 a4 n n',
        0x21, 0x11, 12, inet_aton($_[0]), inet_aton('198.51.100.1'), 51234, 443);
}

# folder_of(NAME => TEXT, ...): a folder with these files, which everybody may read.
sub folder_of {
    my %files = @_;
    my $folder = File::Temp->newdir;
    chmod 0755, "$folder";
    while (my ($name, $text) = each %files) {
        open my $file, '>', "$folder/$name" or die "$folder/$name: $!";
        print {$file} $text;
        close $file or die "$folder/$name: $!";
    }
    return $folder;
}

END {
    my $status = $?;
    if (@started && !Test::More->builder->is_passing) {
        diag("log of $_:\n", (engine('logs', $_))[1]) for @started;
    }
    engine('rm', '-f', '-t', '0', $_) for @started;
    engine('network', 'rm', $network) if $has_network;
    $? = $status;
}

1;
