# The shipped configuration: additions from the files in the folder of overrides.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Application;
use Client;
use Process qw(folder free_port lines_of write_file);
use Shipped;
use WebSocketClient;

my $application = Application->start;
my @destination = (DESTINATION_PORT => $application->port);

sub overrides {
    my (%files) = @_;
    my $folder = folder();
    mkdir "$folder/$_" or die for qw(http location main);
    write_file("$folder/$_", $files{$_}) for keys %files;
    return $folder;
}

subtest 'a location, a variable of http and a server' => sub {
    my $nginx = Shipped->start(@destination, TEXT => 'from the environment',
        CONFIG_OVERRIDES => overrides(
            'location.conf' => 'location /own { elb_env return 200 "${TEXT} $own\n"; }',
            'header.conf'   => 'add_header X-Own $own always;',
            'ping.conf'     => 'location = /ping { return 500; }',
            'not-this.txt'  => 'faulty;',
            'http/map.conf' => 'map $uri $own { default "and a map"; }',
        ));
    my $answer = get($nginx->address, '/own');
    is($answer->{body}, "from the environment and a map\n", 'a location of its own answers');
    $answer = get($nginx->address, '/other');
    like($answer->{body}, qr{^GET /other }, 'the others go to the application');
    is($answer->{headers}{'x-own'}, 'and a map', 'with the header');
    is(get($nginx->address, '/ping')->{status}, 200, 'no location takes the health check over');
    is(get($nginx->address('LISTEN_ON'), '/own')->{status}, 301, 'plain traffic is redirected');
};

# The headers with these names, including repeated ones.
sub arrived {
    my ($head, @names) = @_;
    my $names = join '|', @names;
    return [$head =~ /^((?:$names): .*)\r$/mgi];
}

subtest 'headers of a snippet replace ours, and no other' => sub {
    my $nginx = Shipped->start(@destination, CONFIG_OVERRIDES => overrides(
        'snippet.conf' => 'proxy_set_header Upgrade $http_upgrade;'
            . ' proxy_set_header Connection "upgrade"; proxy_set_header host own.example;'
            . ' proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;'
            . ' location /two { proxy_set_header X-Two 2; proxy_pass http://destination; }',
    ));
    my $websocket = WebSocketClient->open($nginx->address, '/');
    ok($websocket, 'a WebSocket opens');
    my @names = qw(Upgrade Connection Host X-Forwarded-For X-Real-IP X-Request-Id);
    my $all = arrived($websocket->message, @names);
    s/[0-9a-f]{32}/ID/ for @$all;
    is_deeply([sort @$all], ['Connection: upgrade', 'Upgrade: WebSocket',
        'X-Forwarded-For: 192.0.2.1', 'X-Real-IP: 192.0.2.1', 'X-Request-Id: ID',
        'host: own.example'], 'each of its headers arrives once');

    $websocket = WebSocketClient->open($nginx->address, '/two');
    ok($websocket, 'a WebSocket opens in a location with one header of its own');
    is_deeply([sort @{ arrived($websocket->message, @names[0 .. 4], 'X-Two') }],
        ['Connection: upgrade', 'Host: app.example', 'Upgrade: websocket',
        'X-Forwarded-For: 192.0.2.1', 'X-Real-IP: 192.0.2.1', 'X-Two: 2'],
        'which has the others too');
};

subtest 'a second server needs no copy of them' => sub {
    my $port = free_port();
    my $nginx = Shipped->start(@destination, CONFIG_OVERRIDES => overrides(
        'http/second.conf' => "server { listen 127.0.0.1:$port;"
            . ' location / { proxy_pass http://destination; }'
            . ' location /plain { proxy_set_header X-Forwarded-Proto http;'
            . ' proxy_pass http://destination; } }',
    ));
    my $head = get("127.0.0.1:$port", '/', proxy => '')->{body};
    is_deeply(arrived($head, qw(Host X-Forwarded-Proto Connection)),
        ['Host: app.example', 'X-Forwarded-Proto: https'], 'it has all');
    $head = get("127.0.0.1:$port", '/plain', proxy => '')->{body};
    is_deeply(arrived($head, qw(X-Forwarded-Proto X-Forwarded-Port)),
        ['X-Forwarded-Port: 443', 'X-Forwarded-Proto: http'], 'but for one of its own');
};

subtest 'inside the location of the application, and outside of http' => sub {
    my $nginx = Shipped->start(@destination, TEXT => 'of main', CONFIG_OVERRIDES => overrides(
        'location/header.conf' => 'elb_env add_header X-Own "${TEXT}";',
        'main/env.conf'        => "worker_rlimit_nofile 1000;\n",
    ));
    is(get($nginx->address, '/')->{headers}{'x-own'}, 'of main', 'a header has its place');
    is(get($nginx->address('LISTEN_ON'), '/')->{headers}{'x-own'}, undef, 'there alone');
    my ($worker) = $nginx->workers;
    like(join("\n", lines_of("/proc/$worker/limits")), qr/^Max open files +1000 /m,
        'a directive of main counts');
};

subtest 'a second "location /"' => sub {
    my $snippet = "# from the web\nlocation / {\n    add_header X-Own 1;\n}\n";
    my $folder = overrides('snippet.conf' => $snippet);
    my ($status, @messages) = Shipped->check(@destination, CONFIG_OVERRIDES => $folder);
    is($status, 1, 'is refused');
    is_deeply([map { s/.*\[emerg\] \d+#\d+: //r } grep { /\[emerg\]/ } @messages],
        [qq(duplicate location "/", the lines inside it belong in a file of )
            . qq("$folder/location/*.conf", without "location / {" and "}" around them )
            . "in $folder/snippet.conf:2"], 'and it is told where its lines go');

    $folder = overrides(
        'a.conf'         => 'location /a { return 200; } location = / { return 204; }',
        'b.conf'         => 'location /a { return 200; }',
        'http/conf.conf' => 'server { listen 127.0.0.1:' . free_port()
            . '; location / { return 200; } }');
    ($status, @messages) = Shipped->check(@destination, CONFIG_OVERRIDES => $folder);
    is($status, 1, 'so is a second one of another name');
    like(join("\n", @messages), qr{duplicate location "/a" in \Q$folder\E/b.conf:1\n},
        'by nginx itself');
    write_file("$folder/b.conf", '');
    write_file("$folder/http/more.conf", 'server { listen 127.0.0.1:' . free_port()
        . '; location / { return 200; } location / { return 204; } }');
    ($status, @messages) = Shipped->check(@destination, CONFIG_OVERRIDES => $folder);
    like(join("\n", @messages), qr{duplicate location "/" in \Q$folder\E/http/more.conf:1\n},
        'and of another server, into whose first one nothing is included');
    unlink "$folder/http/more.conf";
    ($status, @messages) = Shipped->check(@destination, CONFIG_OVERRIDES => $folder);
    is($status, 0, 'an exact one, and one of another server, are none') or diag @messages;
};

subtest 'an empty folder, and none' => sub {
    for my $folder (overrides(), '/nowhere') {
        my ($status) = Shipped->check(@destination, CONFIG_OVERRIDES => $folder);
        is($status, 0, 'is fine');
    }
};

subtest 'a faulty file' => sub {
    my $folder = overrides('http/faulty.conf' => "# one line\nsend_timeout soon;\n");
    my ($status, @messages) = Shipped->check(@destination, CONFIG_OVERRIDES => $folder);
    is($status, 1, 'is refused');
    my $fault = qq("send_timeout" directive invalid value in $folder/http/faulty.conf:2);
    like((grep { /\[emerg\]/ } @messages)[0], qr/\[emerg\] \S+ \Q$fault\E/, 'with its line');
};

finish();
