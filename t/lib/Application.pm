package Application;

# The application behind the proxy: it sends back all that it receives, so that a test sees what
# arrived. It serves many connections at a time, in a process of its own.
#
#     /...             200, the body is the head of the request as it came in, then its body
#     /slow/SECONDS    the same, later
#     WebSocket        the head as the first message, then every message back, "text" or "binary"
#                      as it was; "fragments" before a message sends it back in three frames,
#                      "ping" gets a Ping, "bye" a Close
#
# Every response has the number of its connection (X-Connection) and the number of requests so far
# (X-Request).

use strict;
use warnings;

use IO::Select;
use IO::Socket::IP;
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Server;
use Time::HiRes qw(time);

use Process qw(free_port run_child stop_process);

sub start {
    my ($class, %option) = @_;
    my $host = $option{host} // '127.0.0.1';
    my $self = bless { host => $host, port => $option{port} // free_port($host) }, $class;
    my $listener = IO::Socket::IP->new(
        LocalHost => $host, LocalPort => $self->port, Listen => 128, ReuseAddr => 1)
        or die "$host: $@\n";
    $self->{pid} = run_child(sub { serve($listener) });
    return $self;
}

sub port { return $_[0]{port} }

sub stop {
    my ($self) = @_;
    stop_process($self->{pid}, 'TERM', 5);
    return;
}

my ($select, %connections, @later, $accepted, $requests);

sub serve {
    my ($listener) = @_;
    ($select, $accepted, $requests) = (IO::Select->new($listener), 0, 0);
    while (1) {
        for my $ready ($select->can_read(0.05)) {
            if ($ready == $listener) {
                my $socket = $listener->accept or next;
                $select->add($socket);
                $connections{$socket} =
                    { socket => $socket, number => ++$accepted, in => '' };
            }
            else {
                receive($connections{$ready});
            }
        }
        my @due = grep { $_->{time} <= time } @later;
        @later = grep { $_->{time} > time } @later;
        $_->{code}->() for @due;
    }
    return;
}

sub receive {
    my ($connection) = @_;
    my $socket = $connection->{socket};
    sysread $socket, $connection->{in}, 65536, length $connection->{in}
        or return end($connection);
    return messages($connection) if $connection->{frames};
    while ($connection->{in} =~ /\A(.*?\r\n\r\n)/s) {
        my $head = $1;
        my ($length) = $head =~ /^Content-Length: (\d+)/mi;
        return if length $connection->{in} < length($head) + ($length // 0);
        my $request = substr $connection->{in}, 0, length($head) + ($length // 0), '';
        answer($connection, $head, $request);
    }
    return;
}

sub answer {
    my ($connection, $head, $request) = @_;
    my $numbers = "X-Connection: $connection->{number}\r\nX-Request: " . ++$requests . "\r\n";
    return upgrade($connection, $head, $numbers) if $head =~ /^Upgrade: websocket\r$/mi;
    my $answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n$numbers"
        . 'Content-Length: ' . length($request) . "\r\n\r\n$request";
    my ($seconds) = $head =~ m{^GET /slow/([\d.]+)};
    my $code = sub { transmit($connection, $answer) };
    return $seconds ? push @later, { time => time + $seconds, code => $code } : $code->();
}

sub upgrade {
    my ($connection, $head, $numbers) = @_;
    my $handshake = Protocol::WebSocket::Handshake::Server->new;
    $handshake->parse(my $copy = $head);
    my $answer = $handshake->to_string =~ s/\r\n\r\n\z/\r\n$numbers\r\n/r;
    $connection->{frames} = Protocol::WebSocket::Frame->new(max_payload_size => 0);
    transmit($connection, $answer . frame(text => $head));
    return messages($connection);
}

sub messages {
    my ($connection) = @_;
    my $frames = $connection->{frames};
    $frames->append($connection->{in});
    while (defined(my $payload = $frames->next_bytes)) {
        if ($frames->is_close) {
            transmit($connection, frame(close => $payload)) if !$connection->{closing};
            return end($connection);
        }
        $connection->{closing} = 1 if $payload eq 'bye';
        transmit($connection, reply($frames, $payload));
    }
    return;
}

sub reply {
    my ($frames, $payload) = @_;
    return frame(pong => $payload) if $frames->is_ping;
    return '' if $frames->is_pong;
    my $type = $frames->is_text ? 'text' : 'binary';
    return frame(ping => 'from the application') if $payload eq 'ping';
    return frame(close => pack('n', 1000) . 'bye') if $payload eq 'bye';
    return frame($type => 'fragments', fin => 0) . frame(continuation => ' and', fin => 0)
        . frame(continuation => $payload =~ s/\Afragments//r) if $payload =~ /\Afragments/;
    return frame($type => $payload);
}

sub frame {
    my ($type, $payload, %more) = @_;
    return Protocol::WebSocket::Frame->new(
        type => $type, buffer => $payload, max_payload_size => 0, %more)->to_bytes;
}

sub end {
    my ($connection) = @_;
    $select->remove($connection->{socket});
    delete $connections{ $connection->{socket} };
    return close $connection->{socket};
}

sub transmit {
    my ($connection, $bytes) = @_;
    while (length $bytes) {
        my $sent = syswrite $connection->{socket}, $bytes or return;
        substr $bytes, 0, $sent, '';
    }
    return;
}

1;
