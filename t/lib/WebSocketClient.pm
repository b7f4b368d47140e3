package WebSocketClient;

# A WebSocket over a connection, with Protocol::WebSocket for handshake and frames.

use strict;
use warnings;

use parent 'Client';
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Client;

# Connects and does the handshake; undef if the response to it is not valid.
sub open {
    my ($class, $address, $path, $proxy) = @_;
    my $self = $class->connect($address, $proxy);
    my $handshake = Protocol::WebSocket::Handshake::Client->new(url => "ws://app.example$path");
    $self->SUPER::send($handshake->to_string);
    until ($handshake->is_done) {
        $self->receive or return;
        # removes the handshake's bytes from the buffer
        $handshake->parse($self->{buffer}) or return;
    }
    $self->{frames} = Protocol::WebSocket::Frame->new(max_payload_size => 0);
    return $self;
}

# Sends a frame: "type" (by default text), "buffer", and "fin" 0 for one with more to follow.
sub frame {
    my ($self, %frame) = @_;
    return $self->send(
        Protocol::WebSocket::Frame->new(masked => 1, max_payload_size => 0, %frame)->to_bytes);
}

# The next message as "type payload"; undef at the end of the connection or of the time.
sub message {
    my ($self, $timeout) = @_;
    my $frames = $self->{frames};
    while (1) {
        $frames->append($self->{buffer});
        if (defined(my $payload = $frames->next_bytes)) {
            my ($type) = grep { $frames->can("is_$_") && $frames->${ \"is_$_" } }
                qw(text binary ping pong close);
            return "$type $payload";
        }
        $self->receive($timeout) or return;
    }
}

# Whether the other side ends the WebSocket, with or without a Close.
sub is_over {
    my ($self, $timeout) = @_;
    1 while defined $self->message($timeout);
    return $self->is_closed(1);
}

1;
