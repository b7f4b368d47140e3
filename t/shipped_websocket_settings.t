# The shipped configuration: variables for WebSockets, tested by their effects, or by /status if an
# effect takes long.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use Application;
use Client;
use Shipped;
use WebSocketClient;

my $application = Application->start;
my @destination = (DESTINATION_PORT => $application->port);

# A WebSocket that has received its first message, the head of its request.
sub websocket {
    my ($nginx) = @_;
    my $websocket = WebSocketClient->open($nginx->address, '/') or return;
    $websocket->message;
    return $websocket;
}

sub settings {
    my ($nginx) = @_;
    my $answer = get($nginx->address('STATUS_LISTEN_ON'), '/status', proxy => '');
    return decode_json($answer->{body})->{settings};
}

# The code of a Close, which is in the first two characters of its payload.
sub close_code {
    my ($message) = @_;
    return ($message // '') =~ /^close (..)/s ? unpack 'n', $1 : $message;
}

subtest 'times' => sub {
    my %variables = (
        WEBSOCKET_PING => '7s', WEBSOCKET_PONG_TIMEOUT => '6s',
        WEBSOCKET_DESTINATION_PONG_TIMEOUT => '5s', WEBSOCKET_IDLE_TIMEOUT => '11m',
        WEBSOCKET_SEND_TIMEOUT => '12s', WEBSOCKET_MAX_AGE => '2h', WEBSOCKET_DRAIN => '3s',
        WEBSOCKET_DRAIN_RELOAD => '14s', WEBSOCKET_DRAIN_GRACE => '2s');
    my $settings = settings(Shipped->start(@destination, %variables));
    my %expected = (
        websocket_ping => '7s', websocket_pong_timeout => '6s destination=5s',
        websocket_idle_timeout => '660s', websocket_send_timeout => '12s',
        websocket_max_age => '7200s jitter=10%',
        websocket_drain => '3s reload=14s grace=2s handshake=2s');
    is($settings->{$_}, $expected{$_}, $_) for sort keys %expected;
};

subtest 'WEBSOCKETS_PER_CLIENT' => sub {
    my $nginx = Shipped->start(@destination, WEBSOCKETS_PER_CLIENT => 1);
    my $websocket = websocket($nginx);
    ok($websocket, 'the first is taken');
    ok(!websocket($nginx), 'the second is not');
};

subtest 'WEBSOCKET_IDLE_TIMEOUT' => sub {
    my $websocket = websocket(Shipped->start(@destination, WEBSOCKET_IDLE_TIMEOUT => '1s'));
    is(close_code($websocket->message), 1001, 'a silent one is closed');
};

subtest 'WEBSOCKET_MAX_AGE' => sub {
    my $websocket = websocket(Shipped->start(@destination, WEBSOCKET_MAX_AGE => '1s'));
    is(close_code($websocket->message), 1001, 'an old one is closed');
};

subtest 'WEBSOCKET_PING and WEBSOCKET_PONG_TIMEOUT' => sub {
    my $nginx =
        Shipped->start(@destination, WEBSOCKET_PING => '1s', WEBSOCKET_PONG_TIMEOUT => '1s');
    my $websocket = websocket($nginx);
    like($websocket->message, qr/^ping/, 'a silent client gets a Ping');
    ok($websocket->is_over, 'without a Pong it is dead');
};

subtest 'WEBSOCKET_ZONE_SIZE' => sub {
    my ($status, @messages) = Shipped->check(@destination, WEBSOCKET_ZONE_SIZE => '32k');
    is($status, 1, 'it can be too small');
    like("@messages", qr/"websocket_zone" directive, it must be of 64k at least .*WEBSOCKET_ZONE_SIZE/,
        'that is told');
};

finish();
