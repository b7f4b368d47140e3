# The shipped configuration: each variable takes the values that it is declared to take, and no
# other; what nginx says of those names the variable. The samples are those of src/registry.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
# some of the samples are ports
use Namespace;
use JSON::PP;
use Test::More;

use Prefix;
use Process qw(folder);
use Shipped;

my $folder = folder();

# What the configuration test says with one variable more; what lies in /tmp lies in a folder of
# ours.
sub check {
    my ($name, $value) = @_;
    my %other = (DESTINATION_PORT => 80);
    # instead of those
    @other{qw(DESTINATION_HOSTNAME DESTINATION_PORT)} = () if $name eq 'DESTINATIONS';
    # these are asked for where a name is looked up, and never for an address
    $other{DESTINATION_HOSTNAME} = 'app.internal' if $name =~ /^RESOLVER_/;
    my ($status, @messages) =
        Shipped->check(-g => $Namespace::Main, %other, $name => $value =~ s{^/tmp}{$folder}r);
    return $status, join "\n", grep { /\[emerg\]/ } @messages;
}

# Before nginx 1.27.3 names are looked up at start, and there are none here.
sub is_looked_up {
    my ($name, $value) = @_;
    return $name =~ /^DESTINATION/ && $value =~ /\bapp\b/;
}

open my $file, '<', "$FindBin::Bin/lib/variables.json" or die;
my $variables = decode_json(join '', <$file>);
ok(@$variables > 50, 'there are variables');

for my $variable (@$variables) {
    my $name = $variable->{name};
    subtest $name => sub {
        plan skip_all => 'this nginx looks names up at start only'
            if $name =~ /^RESOLVER_/ && !Prefix::resolves();
        for my $value (@{ $variable->{good} }) {
            next if is_looked_up($name, $value) && !Prefix::resolves();
            my ($status, $messages) = check($name, $value);
            is($status, 0, "$value is taken") or diag $messages;
        }
        for my $value (@{ $variable->{bad} }) {
            # before 1.27.4 nginx has no such time, and the module only says so
            next if $name eq 'KEEPALIVE_MIN_TIMEOUT' && !Prefix::since('1.27.4');
            my ($status, $messages) = check($name, $value);
            is($status, 1, "$value is not");
            like($messages, qr/\Q$name\E|\Q$value\E/, 'that is told');
        }
    };
}

finish();
