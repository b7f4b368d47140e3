# The health check finds the proxy, whatever form the variables have.

use strict;
use warnings;

use Image;
use Test::More;

my @plain = ('-e' => 'LISTEN_ON=8081', '-e' => 'DESTINATION_HOSTNAME=127.0.0.1',
    '-e' => 'DESTINATION_PORT=9');
my $files = folder_of(listen => "8444\n", path => "/secret-ping\n", off => "off\n");

my @cases = (
    ['a port', 'LISTEN_ON_TLS=8444'],
    ['every address', 'LISTEN_ON_TLS=*:8444'],
    ['one address', 'LISTEN_ON_TLS=127.0.0.1:8444'],
    ['every IPv6 address', 'LISTEN_ON_TLS=[::]:8444'],
    ['one IPv6 address', 'LISTEN_ON_TLS=[::1]:8444'],
    ['both families', 'LISTEN_ON_TLS=8444,[::]:8444'],
    ['several addresses', 'LISTEN_ON_TLS=[::1]:8444, 127.0.0.1:8445', 'LISTEN_ON=off'],
    ['no PROXY protocol', 'LISTEN_ON_TLS=8444', 'PROXY_PROTOCOL=off'],
    ['a path of its own', 'LISTEN_ON_TLS=8444', 'PING_PATH=/up/[1]'],
    ['empty values', 'LISTEN_ON_TLS=8444', 'PING_PATH=', 'PROXY_PROTOCOL='],
    [
        'values in files', 'LISTEN_ON_TLS_FILE=/files/listen', 'PING_PATH_FILE=/files/path',
        'PROXY_PROTOCOL_FILE=/files/off', 'PROXY_PROTOCOL=',
    ],
    ['an HTTP proxy in the environment', 'LISTEN_ON_TLS=8444', 'http_proxy=http://127.0.0.1:9'],
);

for my $case (@cases) {
    my ($name, @variables) = @$case;
    my $proxy = start(@plain, '-v' => "$files:/files:ro", map { ('-e' => $_) } @variables);
    my $output;
    ok(
        wait_for(10, sub {
            (my $code, $output) = engine('exec', $proxy, 'elb-healthcheck');
            return $code == 0;
        }),
        "healthy with $name",
    ) or diag($output);
    clean_logs($proxy);
}

# The engine's own result. podman leaves the schedule to systemd, which not every machine has.
my $proxy = start(@plain, '-e' => 'LISTEN_ON_TLS=8444');
my $status;
wait_for(30, sub {
    engine('healthcheck', 'run', $proxy) if $ENV{ENGINE} =~ /podman$/;
    (undef, $status) = engine('inspect', '-f', '{{.State.Health.Status}}', $proxy);
    return $status eq "healthy\n";
});
is($status, "healthy\n", 'the engine says so');

isnt((engine('exec', '-e', 'LISTEN_ON_TLS=8445', $proxy, 'elb-healthcheck'))[0], 0,
    'unhealthy where nothing listens');
isnt((engine('exec', '-e', 'PING_PATH=/not-ping', $proxy, 'elb-healthcheck'))[0], 0,
    'unhealthy where the answer is not 200');

done_testing();
