package ProxyHeader;

# The headers of the PROXY protocol, version 1 and 2.

use strict;
use warnings;

use Socket qw(AF_INET AF_INET6 inet_pton);

my $SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";

# Version 1, for IPv4 or IPv6 by the address.
sub v1 {
    my ($source, $target, $source_port, $target_port) = @_;
    my $family = $source =~ /:/ ? 'TCP6' : 'TCP4';
    return "PROXY $family $source $target $source_port $target_port\r\n";
}

# Version 2, command PROXY; each TLV is a pair of type and value.
sub v2 {
    my ($source, $target, $source_port, $target_port, @tlvs) = @_;
    my ($family, $code) = $source =~ /:/ ? (AF_INET6, 0x21) : (AF_INET, 0x11);
    my $rest = inet_pton($family, $source) . inet_pton($family, $target)
        . pack('n2', $source_port, $target_port)
        . join '', map { pack 'C n/a*', @$_ } @tlvs;
    return $SIGNATURE . pack 'C2 n/a*', 0x21, $code, $rest;
}

# Version 2, command PROXY, for an address family other than IP.
sub v2_unspecified {
    return $SIGNATURE . pack 'C2 n/a*', 0x21, 0, '';
}

# Version 2, command LOCAL: the load balancer speaks for itself.
sub v2_local {
    return $SIGNATURE . pack 'C2 n/a*', 0x20, 0, '';
}

1;
