package Cgroup;

# A cgroup for a test, with a limit, if the machine permits that:
#
#     my $group = Cgroup->limited(cpu => '100000 100000') or skip ...;
#     Shipped->start(-w => $group->wrapper, ...);
#
# The processes of a group must have ended before it goes out of scope.

use strict;
use warnings;

# The files to write for a limit of each controller, in v2 and in v1.
my %files = (
    cpu    => [['cpu.max'], ['cpu.cfs_quota_us', 'cpu.cfs_period_us']],
    memory => [['memory.max'], ['memory.limit_in_bytes']],
);

# A group with the limit of a controller, in the format of v2; undef if it cannot be made.
sub limited {
    my ($class, $controller, $limit) = @_;
    for my $version (2, 1) {
        my $root = $version == 2 ? '/sys/fs/cgroup' : "/sys/fs/cgroup/$controller";
        my $self = bless { path => "$root/elb-test-$$-$controller" }, $class;
        mkdir $self->{path} or next;
        my @files = @{ $files{$controller}[2 - $version] };
        my @values = @files == 1 ? $limit : split ' ', $limit;
        my $written = grep { write_to("$self->{path}/$files[$_]", $values[$_]) } 0 .. $#files;
        return $self if -e "$self->{path}/cgroup.procs" && $written == @files;
    }
    return;
}

# Writes a text to an existing file; whether that succeeded.
sub write_to {
    my ($path, $text) = @_;
    open my $file, '+<', $path or return;
    print $file $text;
    return close $file;
}

# The words of a command that runs another command in the group.
sub wrapper {
    my ($self) = @_;
    return ['sh', '-c', "echo \$\$ >'$self->{path}/cgroup.procs' && exec \"\$\@\"", 'sh'];
}

sub DESTROY { rmdir $_[0]{path} }

1;
