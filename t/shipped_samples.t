# The shipped configuration: each variable accepts its declared values, and refuses all others; the
# error message names the variable. The samples are those of src/registry.

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

# The configuration test's status and messages with one more variable; a path in /tmp is moved to
# the folder of this test.
sub check {
    my ($name, $value) = @_;
    my %other = (DESTINATION_PORT => 80);
    # DESTINATIONS replaces both
    @other{qw(DESTINATION_HOSTNAME DESTINATION_PORT)} = () if $name eq 'DESTINATIONS';
    # these are read only if a name has to be looked up
    $other{DESTINATION_HOSTNAME} = 'app.internal' if $name =~ /^RESOLVER_/;
    my ($status, @messages) =
        Shipped->check(-g => $Namespace::Main, %other, $name => $value =~ s{^/tmp}{$folder}r);
    return $status, join "\n", grep { /\[emerg\]/ } @messages;
}

# nginx before 1.27.3 looks names up at start, and here no name resolves.
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
            # nginx before 1.27.4 has no such timeout, so the module ignores the value with a notice
            next if $name eq 'KEEPALIVE_MIN_TIMEOUT' && !Prefix::since('1.27.4');
            my ($status, $messages) = check($name, $value);
            is($status, 1, "$value is not");
            like($messages, qr/\Q$name\E|\Q$value\E/, 'that is told');
        }
    };
}

finish();
