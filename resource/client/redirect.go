package client

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// CheckRedirect refuses what must not be a redirect URI: RFC 6749, 3.1.2 (it is absolute and has no fragment), RFC
// 9700, 2.6 (http only to the loopback interface), RFC 8252, 7.1 (a scheme of one's own has a dot). The error follows
// "which" in a sentence.
func CheckRedirect(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs() || len(uri) > maxURI || strings.IndexFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
		return errors.New("is no absolute URI")
	case strings.Contains(uri, "#"):
		return errors.New("has a fragment")
	case u.User != nil:
		return errors.New("has a user name")
	case u.Scheme == "https" && u.Hostname() != "":
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http" || u.Scheme == "https":
		return errors.New("must be https, or http to the loopback interface")
	case !strings.Contains(u.Scheme, "."):
		return errors.New("has a scheme that is neither https nor a reversed domain name")
	}
	return nil
}

const maxURI = 2048

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// AllowsRedirect reports whether a URI is one of the client's redirect URIs, character by character. A program on its
// user's machine cannot choose its port beforehand, so a public client may have any port at an address of the loopback
// interface (RFC 8252, 7.3).
func (c *Client) AllowsRedirect(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	given, port := withoutPort(uri)
	return c.AuthMethod == Public && port && slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		registered, port := withoutPort(registered)
		return port && registered == given
	})
}

// withoutPort is a redirect URI without its port, if that may be any.
func withoutPort(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || u.User != nil || strings.Contains(uri, "#") {
		return "", false
	}
	address, err := netip.ParseAddr(u.Hostname())
	if err != nil || !address.IsLoopback() {
		return "", false
	}
	host, rest := u.Host, strings.TrimPrefix(uri, "http://")
	if !strings.HasPrefix(rest, host) {
		return "", false
	}
	return strings.TrimSuffix(host, ":"+u.Port()) + strings.TrimPrefix(rest, host), true
}
