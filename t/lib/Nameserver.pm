package Nameserver;

# A nameserver with a few names, which a test can change while it runs.

use strict;
use warnings;

use IO::Socket::IP;
use Net::DNS;

use Process qw(folder lines_of run_child stop_process write_file);

# Far longer than any test: no test passes because an entry expires.
my $TTL = 3600;

sub start {
    my ($class, %names) = @_;
    my $self = bless { folder => folder() }, $class;
    $self->set(%names);
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 53, Proto => 'udp')
        or die "port 53: $@\n";
    $self->{pid} = run_child(sub { $self->serve($socket) });
    return $self;
}

# Sets the names, each with an IPv4 address, or with SERVFAIL for a nameserver that fails.
sub set {
    my ($self, %names) = @_;
    write_file("$self->{folder}/names", join '', map { "$_ $names{$_}\n" } keys %names);
    return;
}

# The names in the queries so far.
sub queries { return lines_of("$_[0]{folder}/queries") }

sub stop {
    my ($self) = @_;
    stop_process($self->{pid}, 'TERM', 5);
    return;
}

sub serve {
    my ($self, $socket) = @_;
    open my $log, '>>', "$self->{folder}/queries" or die "queries: $!\n";
    $log->autoflush;
    while (my $peer = $socket->recv(my $data, 4096)) {
        my $query = Net::DNS::Packet->decode(\$data) or next;
        my ($question) = $query->question or next;
        my ($name, $type) = (lc $question->qname, $question->qtype);
        print $log "$name\n";
        my %names = map { split / / } lines_of("$self->{folder}/names");
        my $found = $names{$name} // 'NXDOMAIN';
        my $answer = $query->reply;
        $answer->header->rcode($found =~ /\d/ ? 'NOERROR' : $found);
        $answer->push(answer => Net::DNS::RR->new("$name. $TTL IN A $found"))
            if $found =~ /\d/ && $type eq 'A';
        $socket->send($answer->data, 0, $peer);
    }
    return;
}

1;
