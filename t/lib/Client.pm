package Client;

# Requests as bytes on a connection, and the answers to them.

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::IP;
use IO::Select;
use Time::HiRes qw(time);

use ProxyHeader;

our @EXPORT = qw(get);

# GET of a path over a connection of its own that begins with a PROXY header. Options:
#     headers   lines, each with its end
#     proxy     the PROXY header instead, '' for none
sub get {
    my ($address, $path, %option) = @_;
    my $client = Client->connect($address, $option{proxy});
    $client->send("GET $path HTTP/1.1\r\nHost: app.example\r\n" . ($option{headers} // '')
        . "Connection: close\r\n\r\n");
    return $client->answer;
}

sub connect {
    my ($class, $address, $proxy) = @_;
    my $socket = IO::Socket::IP->new(PeerAddr => $address, Timeout => 5)
        or die "connect to $address: $@\n";
    my $self = bless { socket => $socket, buffer => '' }, $class;
    $self->send($proxy // ProxyHeader::v1('192.0.2.1', '192.0.2.2', 1111, 443));
    return $self;
}

sub send {
    my ($self, $bytes) = @_;
    while (length $bytes) {
        my $sent = syswrite $self->{socket}, $bytes or return;
        substr $bytes, 0, $sent, '';
    }
    return 1;
}

# Reads once; false at the end of the connection or of the time.
sub receive {
    my ($self, $timeout) = @_;
    return if !IO::Select->new($self->{socket})->can_read($timeout // 5);
    return sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
}

# The next response: its status (undef if none came), its headers by lower-case name, its body.
sub answer {
    my ($self, $timeout) = @_;
    until ($self->{buffer} =~ /\r\n\r\n/) {
        $self->receive($timeout) or return {};
    }
    $self->{buffer} =~ s/\A(.*?)\r\n\r\n//s;
    my ($first, @lines) = split /\r\n/, $1;
    my %headers = map { /^([^:]+): *(.*)/ ? (lc $1 => $2) : () } @lines;
    my ($status) = $first =~ m{^HTTP/1\.[01] (\d+)};
    my $length = $status == 101 ? 0 : $headers{'content-length'};
    while (!defined $length || length $self->{buffer} < $length) {
        $self->receive($timeout) or last;
    }
    my $body = substr $self->{buffer}, 0, $length // length $self->{buffer}, '';
    return { status => $status, headers => \%headers, body => $body };
}

# Whether the other side closes the connection without a further byte.
sub is_closed {
    my ($self, $timeout) = @_;
    my $end = time + ($timeout // 5);
    while (1) {
        return if !IO::Select->new($self->{socket})->can_read($end - time);
        return !length $self->{buffer}
            if !sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
    }
}

# Whether these bytes arrive.
sub reads {
    my ($self, $pattern, $timeout) = @_;
    until ($self->{buffer} =~ s/\A.*?$pattern//s) {
        $self->receive($timeout) or return;
    }
    return 1;
}

1;
