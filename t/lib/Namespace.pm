package Namespace;

# Network and mount namespaces for the test, so that it can have any /etc/resolv.conf and
# /etc/hosts, and a nameserver at port 53. To be used first: it runs the test again inside them.

use strict;
use warnings;

use Socket qw(AF_INET SOCK_DGRAM);
use Test::More;

use Process qw(folder);

# The -g option for nginx: in a namespace that a user made, root is the only user.
our $Main = 'daemon off; master_process off; user root;';

# The message of an nginx that cannot look up names while it runs.
our $OldNginx = qr/
    \[notice\]\ \S+\ nginx\ before\ 1\.27\.3\ resolves\ names\ of\ destinations\ at\ start\ only:
    \ reload\ it\ when\ an\ address\ changes\ in\ /x;

# Names are looked up in files and DNS, whatever this machine is configured for.
my %files = (
    '/etc/nsswitch.conf' => "hosts: files dns\n",
    '/etc/hosts'         => "127.0.0.1 localhost\n",
    '/etc/resolv.conf'   => "nameserver 127.0.0.1\n",
);

sub import {
    return enter() if !$ENV{ELB_TEST_NAMESPACE};
    interface_up('lo');
    my $folder = folder();
    for my $path (grep { -e } sort keys %files) {
        my $own = "$folder/" . $path =~ s{.*/}{}r;
        # in place, as a bind mount refers to the file and not to its path
        put($own, $files{$path});
        system('mount', '--bind', $own, $path) == 0 or die "mount $path failed\n";
    }
    return;
}

sub enter {
    my @unshare = ('unshare', '--mount', '--net', $> == 0 ? () : '--map-root-user');
    plan skip_all => 'neither root nor may users have namespaces of their own'
        if system(@unshare, 'true') != 0;
    local $ENV{ELB_TEST_NAMESPACE} = 1;
    exec @unshare, $^X, $0 or die "unshare: $!\n";
}

sub interface_up {
    my ($name) = @_;
    my ($SIOCSIFFLAGS, $IFF_UP, $IFF_RUNNING) = (0x8914, 0x1, 0x40);
    socket my $socket, AF_INET, SOCK_DGRAM, 0 or die "socket: $!\n";
    ioctl $socket, $SIOCSIFFLAGS, pack('a16 s x22', $name, $IFF_UP | $IFF_RUNNING)
        or die "$name: $!\n";
    return;
}

# Replaces one of the files in /etc.
sub put {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
    return;
}

1;
