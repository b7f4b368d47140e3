package Shipped;

# The shipped nginx.conf, started from the prefix under test as a user would, with files and ports
# of its own:
#
#     my $nginx = Shipped->start(DESTINATION_PORT => $application->port);
#     ...
#     finish();
#
# finish() stops it and fails if error.log has an [emerg], [alert] or [crit] that the test does not
# expect.

use strict;
use warnings;

use Exporter qw(import);
use Test::More;

use Prefix;
use Process qw(folder free_port lines_of run_child stop_process wait_for wait_until);

our @EXPORT = qw(finish);

my @started;

# Variables that a test does not set; all paths are in the folder of this nginx.
sub defaults {
    my ($folder) = @_;
    return (
        LISTEN_ON            => '127.0.0.1:' . free_port(),
        LISTEN_ON_TLS        => '127.0.0.1:' . free_port(),
        STATUS_LISTEN_ON     => '127.0.0.1:' . free_port(),
        DESTINATION_HOSTNAME => '127.0.0.1',
        NGINX_PID            => "$folder/nginx.pid",
        TEMP_PATH            => $folder,
        DRAIN_FILE           => "$folder/drain",
        CONFIG_OVERRIDES     => "$folder/overrides",
        WORKER_PROCESSES     => 1,
        WORKER_CONNECTIONS   => 512,
    );
}

# The variables to set, where undef leaves one unset; -g as on nginx's command line, and -w for the
# words of a command that starts nginx.
sub new {
    my ($class, %variables) = @_;
    my $folder = folder();
    mkdir "$folder/$_" or die "$folder/$_: $!\n" for qw(overrides overrides/http);
    my $main = delete $variables{-g} // 'daemon off;';
    # otherwise the new binary of an upgrade would not have it
    $main .= ' env ASAN_OPTIONS;' if $ENV{ASAN_OPTIONS};
    my $wrapper = delete $variables{-w} // [];
    my %env = (defaults($folder), %variables);
    return bless {
        folder => $folder, env => \%env, main => $main, wrapper => $wrapper, asked_for => [],
    }, $class;
}

sub start {
    my ($class, %variables) = @_;
    my $self = $class->new(%variables);
    $self->{pid} = $self->run;
    push @started, $self;
    wait_until(sub { $self->is_ready });
    die join "\n", "nginx did not start:", $self->messages, "" if !$self->is_ready;
    return $self;
}

sub run {
    my ($self, @arguments) = @_;
    return run_child(sub {
        my ($folder, $env) = @$self{qw(folder env)};
        $ENV{$_} = $env->{$_} for grep { defined $env->{$_} } keys %$env;
        open STDIN, '<', '/dev/null' or die;
        open STDOUT, '>>', "$folder/stdout" or die;
        open STDERR, '>>', "$folder/stderr" or die;
        exec @{ $self->{wrapper} }, $Prefix::Nginx, '-p', $Prefix::Path, '-c', "$Prefix::Root/nginx/nginx.conf",
            '-g', $self->{main}, @arguments;
    });
}

# The configuration test: its exit status and its messages.
sub check {
    my ($class, %variables) = @_;
    my $self = $class->new(%variables);
    return wait_for($self->run('-t')), $self->messages;
}

# The address for traffic that came over TLS, or the address in another variable.
sub address {
    my ($self, $variable) = @_;
    return $self->{env}{ $variable // 'LISTEN_ON_TLS' };
}

sub path {
    my ($self, $name) = @_;
    return "$self->{folder}/$name";
}

sub is_ready {
    my ($self) = @_;
    # nginx listens before it writes the file, and starts its workers after that
    return -s $self->path('nginx.pid') && ($self->{main} =~ /master_process off/ || $self->workers);
}

# The master's process id, from nginx's pid file if there is one.
sub master {
    my ($self) = @_;
    my ($pid) = lines_of($self->path('nginx.pid'));
    return $pid // $self->{pid};
}

sub workers {
    my ($self) = @_;
    my $master = $self->master;
    my ($children) = lines_of("/proc/$master/task/$master/children");
    return split ' ', $children // '';
}

sub signal {
    my ($self, $name) = @_;
    return kill $name, $self->master;
}

# The lines of its error log, and of its access log.
sub messages { return lines_of($_[0]->path('stderr')) }
sub accesses { return lines_of($_[0]->path('stdout')) }

# Waits for a line in the error log.
sub logs {
    my ($self, $pattern, $timeout) = @_;
    return wait_until(sub { scalar grep { $_ =~ $pattern } $self->messages }, $timeout);
}

# The test expects messages like this at [emerg], [alert] or [crit].
sub asks_for {
    my ($self, $pattern) = @_;
    push @{ $self->{asked_for} }, $pattern;
    return;
}

sub loud_messages {
    my ($self) = @_;
    my @loud = grep { /$Prefix::Loud/ } $self->messages;
    for my $pattern (@{ $self->{asked_for} }) {
        @loud = grep { $_ !~ $pattern } @loud;
    }
    return @loud;
}

sub stop {
    my ($self) = @_;
    ok(stop_process($self->master, 'QUIT', 10), 'nginx stops');
    return;
}

sub finish {
    for my $nginx (@started) {
        $nginx->stop;
        is(join("\n", $nginx->loud_messages), '', 'no [emerg], [alert] or [crit] in the error log');
    }
    @started = ();
    done_testing();
    return;
}

END {
    local $?;
    # a daemon, or a binary that took over in an upgrade, is not our child
    stop_process($_->master, 'TERM', 2) for @started;
}

1;
