# The image has the nginx version in nginx/versions, and labels that describe it.

use strict;
use warnings;

use Image;
use JSON::PP;
use Test::More;

open my $file, '<', 'nginx/versions' or die "nginx/versions: $!\n";
my ($version) = map { /^NGINX_IMAGE=(.*)$/ } <$file>;

my (undef, $said) = engine('run', '--rm', '--entrypoint', 'nginx', $ENV{IMAGE}, '-v');
like($said, qr{nginx/\Q$version\E$}m, 'its nginx');

my (undef, $json) = engine('inspect', '-f', '{{json .Config.Labels}}', $ENV{IMAGE});
my $labels = decode_json($json);
my $of = 'org.opencontainers.image';
is($labels->{"$of.base.name"}, "docker.io/library/nginx:$version", 'the label of its base');
is($labels->{"$of.$_->[0]"}, $_->[1], "the label of its $_->[0]")
    for ['title', 'ngx-elb-websocket'], ['licenses', 'MIT'];

start_app('app');
my $proxy = start(
    '-p' => '127.0.0.1::444',
    '-e' => 'LISTEN_ON=81', '-e' => 'LISTEN_ON_TLS=444',
    '-e' => 'DESTINATION_HOSTNAME=app', '-e' => 'DESTINATION_PORT=45490',
);
my $port = port($proxy, 444);
my $header = proxy_v1('203.0.113.7');
wait_for(15, sub { get($port, '/ping', $header) =~ /^HTTP/ });
like(talk($port, $header), qr/^closed 1000$/m, 'a WebSocket');

my (undef, $metrics) = engine('exec', $proxy, 'curl', '-s', 'http://127.0.0.1:9145/metrics');
like($metrics, qr/^websocket_opened_total 1$/m, 'is tunnelled');
unlike($metrics, qr/^websocket_left_to_nginx_total\S* [1-9]/m, 'and none is left to nginx');
clean_logs($proxy);

done_testing();
