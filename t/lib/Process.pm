package Process;

# Functions for tests that start their own processes: free ports, waiting, and a cleanup that leaves
# nothing behind.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp qw(tempdir);
use IO::Socket::IP;
use POSIX qw(_exit);
use Time::HiRes qw(sleep time);

our @EXPORT_OK =
    qw(folder free_port is_running lines_of run_child stop_process wait_for
       wait_until write_file);

my %children;
my $self = $$;

# A folder for this test alone, removed at its end; workers of another user can read it.
sub folder {
    my $path = tempdir('elb-test-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $path;
    return $path;
}

# Tests run in parallel: each process has its own range of a hundred ports.
my $ports = 10000 + $$ % 200 * 100;

# The ports returned last, which may not be in use yet.
my @given;

# A TCP port without a listener, below the kernel's range of ephemeral ports.
sub free_port {
    my ($address) = @_;
    for (1 .. 1000) {
        my $port = $ports + int rand 100;
        next if grep { $_ == $port } @given;
        my $socket = IO::Socket::IP->new(
            LocalHost => $address // '127.0.0.1', LocalPort => $port, Listen => 1);
        if ($socket) {
            push @given, $port;
            shift @given if @given > 50;
            return $port;
        }
    }
    die "no free port\n";
}

# Runs code in a child process until it returns or is stopped.
sub run_child {
    my ($code) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid) {
        $children{$pid} = 1;
        return $pid;
    }
    # QUIT as well: processes that a shell starts in the background ignore it
    $SIG{$_} = 'DEFAULT' for qw(INT QUIT TERM);
    eval { $code->(); 1 } or print STDERR $@;
    _exit(1);
}

# Waits for a child to end by itself; its exit status.
sub wait_for {
    my ($pid) = @_;
    waitpid $pid, 0;
    delete $children{$pid};
    return $? >> 8;
}

# Whether a process, a child or not, has not ended yet.
sub is_running {
    my ($pid) = @_;
    my ($stat) = lines_of("/proc/$pid/stat");
    return defined $stat && $stat !~ /\) [ZX] /;
}

# Ends a process with a signal; whether that signal was enough.
sub stop_process {
    my ($pid, $signal, $timeout) = @_;
    kill $signal, $pid;
    my $heeded = wait_until(sub { !is_running($pid) }, $timeout);
    kill 'KILL', $pid if !$heeded;
    waitpid $pid, 0;
    delete $children{$pid};
    return $heeded;
}

# Repeats the code until it returns a true value or the time (by default 5 s) is over; that value.
sub wait_until {
    my ($code, $timeout) = @_;
    my $end = time + ($timeout // 5);
    my $result;
    until ($result = $code->()) {
        return if time > $end;
        sleep 0.02;
    }
    return $result;
}

sub write_file {
    my ($path, $text) = @_;
    # in one step: a reader sees either the old text or the new text
    open my $file, '>', "$path.new" or die "$path.new: $!\n";
    print $file $text;
    close $file or die "$path.new: $!\n";
    rename "$path.new", $path or die "$path: $!\n";
    return $path;
}

sub lines_of {
    my ($path) = @_;
    open my $file, '<', $path or return;
    chomp(my @lines = <$file>);
    return @lines;
}

# so that END below runs
$SIG{$_} = sub { exit 1 } for qw(INT TERM);
# a write to a closed connection returns an error instead
$SIG{PIPE} = 'IGNORE';

END {
    if ($$ == $self) {
        local $?; # waiting must not change how this process ends
        stop_process($_, 'TERM', 2) for keys %children;
    }
}

1;
