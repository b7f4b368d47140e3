# Each directive accepts its declared arguments in its declared blocks, and refuses all others; the
# error message names the directive or the argument. The samples are those of src/registry.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use Prefix;
use Process qw(folder free_port lines_of run_child wait_for write_file);

my $folder = folder();
my %env = (
    LISTEN_ON => '127.0.0.1:' . free_port(), STATUS_LISTEN_ON => '127.0.0.1:' . free_port(),
    DESTINATION_HOSTNAME => '127.0.0.1', DESTINATION_PORT => 80);

# A configuration with a statement in a kind of block, and with the directives that it depends on.
sub configuration {
    my ($block, $statement) = @_;
    my %in = map { $_ => '' } qw(http server location upstream);
    $in{ $block eq 'any' ? 'server' : $block } = $statement;
    my $zone = $statement =~ /^websocket_zone/ ? '' : 'websocket_zone elb:256k;';
    my $server = $in{upstream} =~ /^elb_destination/ ? '' : 'server 127.0.0.1:80;';
    return <<"END";
load_module modules/ngx_http_elb_websocket_module.so;
daemon off;
pid $folder/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path $folder/client_body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    $zone
    $in{http}
    upstream app { $server $in{upstream} }
    server {
        listen unix:$folder/socket;
        $in{server}
        location / { $in{location} }
    }
}
END
}

sub check {
    my ($block, $statement) = @_;
    write_file("$folder/nginx.conf", configuration($block, $statement));
    unlink "$folder/stderr";
    my $pid = run_child(sub {
        @ENV{ keys %env } = values %env;
        open STDERR, '>', "$folder/stderr" or die;
        exec $Prefix::Nginx, '-p', $Prefix::Path, '-c', "$folder/nginx.conf", '-t';
    });
    return wait_for($pid), join "\n", grep { /\[emerg\]/ } lines_of("$folder/stderr");
}

open my $file, '<', "$FindBin::Bin/lib/directives.json" or die;
my $directives = decode_json(join '', <$file>);
ok(@$directives > 20, 'there are directives');

for my $directive (@$directives) {
    my ($name, $contexts) = @$directive{qw(name contexts)};
    my $statement = sub { $_[0] eq '' ? "$name;" : "$name $_[0];" };
    subtest $name => sub {
        for my $arguments (@{ $directive->{good} }) {
            for my $block (@$contexts) {
                my ($status, $messages) = check($block, $statement->($arguments));
                is($status, 0, "$arguments, in $block") or diag $messages;
            }
        }
        for my $arguments (@{ $directive->{bad} }) {
            # nginx before 1.27.4 has no such timeout, so the module ignores the value with a notice
            next if $name eq 'elb_keepalive_min_timeout' && !Prefix::since('1.27.4');
            my ($status, $messages) = check($contexts->[0], $statement->($arguments));
            is($status, 1, "not $arguments");
            # some arguments are passed to a directive of nginx, whose message names that directive
            my ($word, $core) = ($arguments =~ /(\S+)/, $name =~ s/^elb_//r);
            like($messages, qr/\Q$core\E|\Q$word\E/, 'that is told');
        }
        for my $block (qw(http server location upstream)) {
            next if grep { $_ eq $block || $_ eq 'any' } @$contexts;
            my ($status, $messages) = check($block, $statement->($directive->{good}[0]));
            is($status, 1, "not in $block");
            like($messages, qr/"$name" directive is not allowed here/, 'that is told');
        }
    };
}

done_testing();
