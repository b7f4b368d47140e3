# With an invalid environment nginx does not start, and the log names every error.

use strict;
use warnings;

use Image;
use Test::More;

my $proxy = start(
    '-e' => 'LISTEN_ON=80a', '-e' => 'DESTINATION_PORT=99999', '-e' => 'PROXY_PROTOCOL=maybe',
    '-e' => 'PING_PATH=ping',
);
isnt(exit_code($proxy), 0, 'it exits with an error');

my $log = logs($proxy);
for my $variable (qw(
    LISTEN_ON LISTEN_ON_TLS DESTINATION_HOSTNAME DESTINATION_PORT PROXY_PROTOCOL PING_PATH
)) {
    like($log, qr/\[emerg\].* "$variable" (has invalid value ".+"|is not set), it must /,
        "$variable is named");
}

$proxy = start('-e' => 'LISTEN_ON=81', '-e' => 'LISTEN_ON_TLS_FILE=/run/secrets/missing',
    '-e' => 'DESTINATION_HOSTNAME=app', '-e' => 'DESTINATION_PORT=45490');
isnt(exit_code($proxy), 0, 'nor does it start with a secret that is not there');
like(logs($proxy),
    qr{"LISTEN_ON_TLS_FILE" names file "/run/secrets/missing" that cannot be read: },
    'which is named');

done_testing();
