# Nameservers of /etc/resolv.conf that nginx cannot use, and a resolver in the configuration itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Namespace;
use Test::More;

use Application;
use Client;
use Nameserver;
use Prefix;
use Process qw(folder wait_until write_file);
use Shipped;

my $application = Application->start(host => '127.0.0.2');
my $nameserver = Nameserver->start('app.example' => '127.0.0.2');
my @variables = (-g => $Namespace::Main, DESTINATION_HOSTNAME => 'app.example',
    DESTINATION_PORT => $application->port);

sub serves {
    my ($nginx) = @_;
    return wait_until(sub { get($nginx->address, '/')->{status} == 200 });
}

# nginx's notices about names, without prefix and position.
sub notices {
    my ($nginx) = @_;
    my $about = qr/(?:nameserver|destination|nginx before \S+) /;
    return [map { m{\[notice\] \S+ ($about.*) in \S+:\d+} ? $1 : () } $nginx->messages];
}

# an older nginx logs the same notice in all cases
sub expected {
    my (@notices) = @_;
    return Prefix::resolves() ? \@notices
        : ['nginx before 1.27.3 resolves names of destinations at start only: reload it when '
            . 'an address changes'];
}

subtest 'some can be asked' => sub {
    Namespace::put('/etc/resolv.conf', <<'CONF');
nameserver fe80::1%lo
nameserver dns.example
nameserver 127.0.0.1
CONF
    my $nginx = Shipped->start(@variables);
    ok(serves($nginx), 'the name is found');
    is_deeply(notices($nginx), expected(
        map { qq(nameserver "$_" of /etc/resolv.conf is ignored: nginx needs an IP address without a scope) }
            'fe80::1%lo', 'dns.example'), 'those that cannot are told');
};

subtest 'none can be asked' => sub {
    Namespace::put('/etc/resolv.conf', "options timeout:1\n");
    my $nginx = Shipped->start(@variables);
    ok(serves($nginx), 'the name is found at start, where the system finds it');
    is_deeply(notices($nginx), expected('destination "app.example" is resolved at start only, '
        . 'since /etc/resolv.conf has no nameserver that nginx can use: reload nginx when its '
        . 'address changes'), 'which is told');
    $nameserver->set('app.example' => '127.0.0.3');
    ok(!wait_until(sub { get($nginx->address, '/')->{status} != 200 }, 6), 'and not again');
    $nameserver->set('app.example' => '127.0.0.2');
};

subtest 'the configuration has its own' => sub {
    my $folder = folder();
    mkdir "$folder/http" or die;
    write_file("$folder/http/resolver.conf", 'resolver 127.0.0.1 valid=1s ipv6=off;');
    my $nginx = Shipped->start(@variables, CONFIG_OVERRIDES => $folder);
    ok(serves($nginx), 'the name is found');
};

subtest 'http has its own before the block' => sub {
    my $folder = folder();
    write_file("$folder/nginx.conf", <<"CONF");
load_module modules/ngx_http_elb_websocket_module.so;
error_log stderr notice;
pid $folder/nginx.pid;
events { }
http {
    resolver 127.0.0.1 ipv6=off;
    upstream destination { elb_destination; }
}
CONF
    local @ENV{qw(DESTINATION_HOSTNAME DESTINATION_PORT)} = ('app.example', 80);
    my $said = `$Prefix::Nginx -p $Prefix::Path -t -c $folder/nginx.conf 2>&1`;
    is($?, 0, 'the configuration is right');
    is(scalar($said =~ /destination "app\.example" is resolved at start only/), '',
        'the name is looked up again') or diag($said);
};

subtest 'RESOLVER_VALID' => sub {
    Namespace::put('/etc/resolv.conf', "nameserver 127.0.0.1\n");
    my ($status, @messages) = Shipped->check(@variables, RESOLVER_VALID => 'soon');
    is($status, Prefix::resolves() ? 1 : 0, 'a faulty one is refused where it is used');
    my @faults = grep { /\[emerg\]/ } @messages;
    my $origin = 'from environment variable "RESOLVER_VALID"';
    like($faults[0], qr/ invalid parameter: valid=soon in \S+, $origin$/, 'by its name')
        if Prefix::resolves();
};

subtest 'RESOLVER_TIMEOUT' => sub {
    my ($status, @messages) = Shipped->check(@variables, RESOLVER_TIMEOUT => '0');
    is($status, Prefix::resolves() ? 1 : 0, 'a faulty one is refused where it is used');
    like(join("\n", @messages), qr/"RESOLVER_TIMEOUT" has invalid value "0", it must be a time above 0,/,
        'with what would be right') if Prefix::resolves();
    return if !Prefix::resolves();

    # a nameserver that fails is asked again after this time
    my %found = ('500ms' => 'yes', '1h' => 'no');
    for my $timeout (sort keys %found) {
        $nameserver->set('app.example' => 'SERVFAIL');
        my $nginx = Shipped->start(@variables, RESOLVER_TIMEOUT => $timeout);
        ok($nginx->logs(qr/could not be resolved/), 'the nameserver fails');
        $nameserver->set('app.example' => '127.0.0.2');
        my $serves = wait_until(sub { get($nginx->address, '/')->{status} == 200 },
            $found{$timeout} eq 'yes' ? 20 : 5);
        is($serves ? 'yes' : 'no', $found{$timeout}, "with $timeout the name is found in time");
    }
};

finish();
