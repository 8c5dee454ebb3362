package auth

import (
	"errors"
	"net/netip"
)

// Network is an IP address, or a network of them.
type Network struct{ netip.Prefix }

// ParseNetwork reads an address, as 203.0.113.9, or a network, as 10.0.0.0/8. Each has one form: an IPv4 address that is
// mapped into IPv6 is the IPv4 address, and a network has no bits behind its prefix. The error says what it must be.
func ParseNetwork(text string) (Network, error) {
	network, err := netip.ParsePrefix(text)
	if address, single := netip.ParseAddr(text); single == nil && address.Zone() == "" {
		network, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	if err != nil {
		return Network{}, errors.New("must be an IP address, or a network such as 10.0.0.0/8")
	}
	const mapped = 96 // bits before the IPv4 address
	if network.Addr().Is4In6() && network.Bits() >= mapped {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mapped)
	}
	return Network{network.Masked()}, nil
}

// String is the text of a network as [ParseNetwork] reads it: of a single address, that alone.
func (n Network) String() string {
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.Prefix.String()
}

// MarshalText is [Network.String].
func (n Network) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText is [ParseNetwork].
func (n *Network) UnmarshalText(text []byte) (err error) {
	*n, err = ParseNetwork(string(text))
	return err
}
