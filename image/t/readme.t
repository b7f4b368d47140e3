# The README's containers: its `docker` commands, with names and ports of the test's own, bring up a
# proxy that a browser can open, with the application behind it.

use strict;
use warnings;

use FindBin;
use Image;
use Test::More;

# The commands of the README, without the builds: scripts/image-test has built both images.
sub commands {
    open my $file, '<', "$FindBin::Bin/../../README.md" or die "README.md: $!";
    my $text = do { local $/; <$file> };
    $text =~ s/\\\n\s+/ /g;
    return grep { !/^build / } $text =~ /^\$ docker (.*)$/mg;
}

# A command as this test runs it. The names in the README remain names in the network.
sub own {
    my ($command) = @_;
    for ($command) {
        s/--name (\S+)/--name $1-$$ --network-alias $1/;
        s/(--network|network create) (\S+)/$1 $2-$$/;
        s/-p 127\.0\.0\.1:\d+:/-p 127.0.0.1::/g;
        s/\bngx-elb-websocket\b/$ENV{IMAGE}/;
    }
    return split ' ', $command;
}

my @commands = commands();
is(scalar @commands, 3, 'a network and two containers');
for my $command (@commands) {
    my ($code, $output) = engine(own($command));
    is($code, 0, $command) or diag($output);
}
my $proxy = "proxy-$$";
my ($port, $status) = map { port($proxy, $_) } 8444, 9145;

my $answer = wait_for(20, sub { my $got = get($port, '/'); $got =~ m{^HTTP/1\.1 200 } && $got });
like($answer, qr/"x-forwarded-proto": ?"https"/, 'a browser reaches the application');
like(talk($port, ''), qr/^closed 1000$/m, 'and opens a WebSocket');
like(get($status, '/status'), qr/"opened":1\b/, 'the status page counts it');
clean_logs($proxy);

done_testing();

END {
    my $failed = $?;
    engine('rm', '-f', '-t', '0', "$_-$$") for 'proxy', 'app';
    engine('network', 'rm', "chat-$$");
    $? = $failed;
}
