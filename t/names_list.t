# Several destinations by name, each looked up by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Namespace;
use Test::More;

use Application;
use Client;
use Nameserver;
use Prefix;
use Process qw(wait_until);
use Shipped;

my ($one, $two) = map { Application->start(host => $_) } '127.0.0.2', '127.0.0.3';
my %names = ('one.example' => '127.0.0.2', 'two.example' => '127.0.0.3');
my $nameserver = Nameserver->start(%names);
my $nginx = Shipped->start(-g => $Namespace::Main, RESOLVER_VALID => '1s',
    DESTINATION_HOSTNAME => undef, LOG_FORMAT => 'json', DESTINATIONS => encode_json([
        { hostname => 'one.example', port => $one->port, weight => 2 },
        { hostname => 'two.example', port => $two->port },
    ]));

# How many of some requests each destination answered.
sub shares {
    my $before = $nginx->accesses;
    get($nginx->address, '/') for 1 .. 9;
    wait_until(sub { ($nginx->accesses) >= $before + 9 });
    my %shares;
    $shares{ decode_json($_)->{upstream_addr} }++ for ($nginx->accesses)[$before .. $before + 8];
    return \%shares;
}

my ($first, $second) = ('127.0.0.2:' . $one->port, '127.0.0.3:' . $two->port);
ok(wait_until(sub { keys %{ shares() } == 2 }), 'both are found');
is_deeply(shares(), { $first => 6, $second => 3 }, 'they are balanced by weight');

delete $names{'one.example'};
$nameserver->set(%names);
my $expected = Prefix::resolves() ? { $second => 9 } : { $first => 6, $second => 3 };
wait_until(sub { keys %{ shares() } == keys %$expected }, 10);
is_deeply(shares(), $expected, 'one name is gone: an older nginx does not notice');

finish();
