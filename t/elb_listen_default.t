# elb_listen VARIABLE default=ADDRESS: the address if the variable is not set, unless the address is
# already in use.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Test::More;

use Application;
use Client;
use Process qw(folder free_port is_running wait_until write_file);
use Shipped;

my $application = Application->start;

# The variables for the shipped configuration with an additional server.
sub with_server {
    my ($listen, %variables) = @_;
    my $folder = folder();
    mkdir "$folder/http" or die;
    write_file("$folder/http/server.conf", "server { $listen; return 200 \$pid; }\n");
    return (DESTINATION_PORT => $application->port, CONFIG_OVERRIDES => $folder, %variables);
}

# The process id of the worker that responds at an address, if any.
sub worker_at {
    my ($address) = @_;
    my $answer = eval { get($address, '/', proxy => '') } // {};
    return $answer->{body};
}

# The ports that a process listens on.
sub listens_on {
    my ($pid) = @_;
    my %port;
    for my $line (map { Process::lines_of("/proc/net/$_") } qw(tcp tcp6)) {
        my ($port, $inode) = $line =~ /^ *\d+: \w+:(\w+) \w+:\w+ 0A (?:\S+ +){5}(\d+)/ or next;
        $port{$inode} = hex $port;
    }
    my @inodes = map { readlink($_) =~ /socket:\[(\d+)\]/ } glob "/proc/$pid/fd/*";
    return sort { $a <=> $b } grep { defined } @port{@inodes};
}

sub own_ports {
    my ($nginx) = @_;
    my @ports = map { $nginx->address($_) =~ /:(\d+)$/ } qw(LISTEN_ON LISTEN_ON_TLS STATUS_LISTEN_ON);
    return sort { $a <=> $b } @ports;
}

sub warnings_of {
    my ($nginx) = @_;
    return join "\n", map { s/.*\[warn\] \S+ //r } grep { /\[warn\]/ } $nginx->messages;
}

subtest 'where the variable is not set' => sub {
    my ($default, $other) = map { '127.0.0.1:' . free_port() } 1 .. 2;
    my $nginx = Shipped->start(with_server("elb_listen EXTRA default=$default"));
    is(worker_at($default), ($nginx->workers)[0], 'the server listens at the default');

    $nginx = Shipped->start(with_server("elb_listen EXTRA default=$default", EXTRA => $other));
    is(worker_at($other), ($nginx->workers)[0], 'a variable that is set wins');
    is(warnings_of($nginx), '', 'and nobody asks for the default');
};

subtest 'off' => sub {
    my $default = '127.0.0.1:' . free_port();
    for my $case ([$default, EXTRA => 'off'], ['off']) {
        my ($value, @variables) = @$case;
        my $nginx = Shipped->start(with_server("elb_listen EXTRA default=$value", @variables));
        is_deeply([listens_on($nginx->master)], [own_ports($nginx)],
            "default=$value @variables: the server listens nowhere");
    }
    my $nginx = Shipped->start(
        with_server('elb_listen EXTRA default=off proxy_protocol=optional', EXTRA => $default));
    is(worker_at($default), ($nginx->workers)[0], 'a variable that is set wins');
};

subtest 'in use by something else' => sub {
    my $socket = IO::Socket::IP->new(
        LocalHost => '127.0.0.1', LocalPort => free_port(), Listen => 1, ReuseAddr => 1);
    my $default = '127.0.0.1:' . $socket->sockport;
    my $nginx = Shipped->start(with_server("elb_listen EXTRA default=$default"));
    my $warning = "default address \"$default\" of environment variable \"EXTRA\" is in use by "
        . 'another process, so nginx does not listen there: set "EXTRA" to another';
    like(warnings_of($nginx), qr/^\Q$warning\E in \S+:1,/, 'there is a warning');
    is_deeply([listens_on($nginx->master)], [own_ports($nginx)], 'and no such listener');
    is(get($nginx->address, '/')->{status}, 200, 'the others serve');

    close $socket;
    $nginx->signal('HUP');
    ok(wait_until(sub { worker_at($default) }), 'it listens after a reload, once it is free');
    my ($worker) = $nginx->workers;
    $nginx->signal('HUP');
    ok(wait_until(sub { my $now = worker_at($default); $now && $now != $worker }),
        'and goes on after the next');
    like(warnings_of($nginx), qr/^[^\n]*$/, 'there was one warning in all');
};

subtest 'two instances' => sub {
    my $default = '127.0.0.1:' . free_port();
    my @setting = with_server("elb_listen EXTRA default=$default proxy_protocol=optional");
    my $first = Shipped->start(@setting);
    my $second = Shipped->start(@setting);
    is(worker_at($default), ($first->workers)[0], 'the first has the address');
    is(get($second->address, '/')->{status}, 200, 'the second serves as well');
    like(warnings_of($second), qr/^default address "\Q$default\E" .*does not listen there/, 'and says what it does without');
    is(warnings_of($first), '', 'where the first is content');

    my ($status, @messages) = Shipped->check(@setting);
    is($status, 0, 'the configuration test passes beside it');
    is(scalar(grep { /\[warn\]/ } @messages), 0, 'without a warning');

    $first->signal('QUIT');
    ok(wait_until(sub { !is_running($first->{pid}) }, 10), 'the first ends');
    $second->signal('HUP');
    ok(wait_until(sub { worker_at($default) }), 'the second takes over with a reload');
};

subtest 'a binary upgrade keeps it' => sub {
    my $default = '127.0.0.1:' . free_port();
    my $nginx = Shipped->start(with_server(
        "elb_listen EXTRA default=$default proxy_protocol=optional"), -g => 'daemon on;');
    my ($old, $worker) = ($nginx->master, $nginx->workers);
    $nginx->signal('USR2');
    ok(wait_until(sub { $nginx->master != $old && $nginx->workers }), 'a new nginx starts');
    kill 'QUIT', $old;
    ok(wait_until(sub { !is_running($old) }, 10), 'and the old one ends');
    my ($new) = $nginx->workers;
    is(worker_at($default), $new, 'the new one has the address');
    is(warnings_of($nginx), '', 'there is no warning');
};

subtest 'an address that was asked for is not left out' => sub {
    my $socket = IO::Socket::IP->new(
        LocalHost => '127.0.0.1', LocalPort => free_port(), Listen => 1, ReuseAddr => 1);
    my $taken = '127.0.0.1:' . $socket->sockport;
    my $free = '127.0.0.1:' . free_port();
    my $folder = folder();
    write_file("$folder/address", $free);
    my $nginx = Shipped->start(
        with_server("elb_listen EXTRA default=$free", EXTRA_FILE => "$folder/address"));
    write_file("$folder/address", $taken);
    $nginx->asks_for(qr/bind\(\) to \Q$taken\E failed|still could not bind/);
    $nginx->signal('HUP');
    ok($nginx->logs(qr/\[emerg\] .*still could not bind/, 10), 'a reload fails as nginx has it');
    is(worker_at($free), ($nginx->workers)[0], 'the old configuration goes on');
};

finish();
