# The shipped configuration: the number of workers, and the messages about the memory that they
# need. The rules are tested in src/container.rs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Cgroup;
use Shipped;

my @destination = (DESTINATION_PORT => 80);

# Checks that exactly one worker starts.
sub has_one_worker {
    my ($nginx) = @_;
    ok($nginx->logs(qr/start worker process \d+$/), 'a worker starts');
    return is(scalar(grep { /start worker process \d+$/ } $nginx->messages), 1, 'and no other');
}

sub sizes {
    my ($level, @messages) = @_;
    return map { /\[$level\] .*?: (\d+ workers? x .*)/ ? $1 : () } @messages;
}

# the first processor that this process may run on
open my $file, '<', '/proc/self/status' or die;
my ($cpu) = join('', <$file>) =~ /^Cpus_allowed_list:\s+(\d+)/m;

subtest 'auto, on one processor' => sub {
    my $nginx = Shipped->start(@destination, WORKER_PROCESSES => undef,
        -w => ['taskset', '-c', $cpu]);
    has_one_worker($nginx);
    is_deeply([sizes('notice', $nginx->messages)],
        ['1 worker x 512 connections take 0.2 MB of memory, and 0.5 MB with an idle WebSocket on each pair'],
        'a notice says what it takes');
};

subtest 'auto, with a quota of one processor' => sub {
    my $group = Cgroup->limited(cpu => '150000 100000')
        or plan skip_all => 'no cgroup can be made here';
    my ($status, @messages) = Shipped->check(@destination, WORKER_PROCESSES => 'auto',
        -w => $group->wrapper);
    is($status, 0, 'nginx starts');
    like((sizes('notice', @messages))[0], qr/^1 worker x /, 'with one worker');
};

subtest 'more connections than half of the memory is for' => sub {
    my $group = Cgroup->limited(memory => 100_000_000)
        or plan skip_all => 'no cgroup can be made here';
    my @large = (WORKER_PROCESSES => 2, WORKER_CONNECTIONS => 32768);
    my ($status, @messages) = Shipped->check(@destination, @large, -w => $group->wrapper);
    is($status, 0, 'nginx starts');
    like((sizes('warn', @messages))[0],
        qr/ over half of the (?:99|100)\.\d MB .*: lower WORKER_CONNECTIONS or WORKER_PROCESSES, /,
        'with a warning');
    is_deeply([sizes('notice', @messages)], [], 'instead of the notice');
    ($status, @messages) = Shipped->check(@destination, -w => $group->wrapper);
    is(scalar(sizes('notice', @messages)), 1, 'fewer are fine');
};

finish();
