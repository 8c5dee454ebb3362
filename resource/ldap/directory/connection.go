package directory

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// connection is one to a server, on which who searches is signed in.
type connection struct {
	*ldap.Conn
	raw  net.Conn
	stop func() bool
}

// Close ends the connection. What goes wrong with that concerns nobody.
func (c *connection) Close() {
	c.stop()
	_ = c.Conn.Close()
}

// dial connects to a server and binds there. All that is done with the connection has the time limit of the configuration
// together, and ends with the context.
func dial(ctx context.Context, config Config, text string) (*connection, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	port, direct := "389", u.Scheme == "ldaps"
	if direct {
		port = "636"
	}
	secure := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if config.CAFile != "" && (direct || !config.AllowPlain) {
		if secure.RootCAs, err = authorities(config.CAFile); err != nil {
			return nil, err
		}
	}
	dialer := net.Dialer{Timeout: config.Timeout}
	deadline := time.Now().Add(config.Timeout)
	raw, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	if err != nil {
		return nil, err
	}
	c := &connection{raw: raw, stop: context.AfterFunc(ctx, func() { _ = raw.Close() })}
	if err = raw.SetDeadline(deadline); err == nil && direct {
		over := tls.Client(raw, secure)
		err = over.HandshakeContext(ctx)
		c.Conn = ldap.NewConn(over, true)
	} else {
		c.Conn = ldap.NewConn(raw, false)
	}
	if err != nil {
		c.stop()
		_ = raw.Close()
		return nil, err
	}
	c.Start()
	if !direct && !config.AllowPlain {
		err = c.StartTLS(secure)
	}
	if err == nil && config.BindDN != "" {
		err = c.enter(config)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// enter binds as who searches, which may be nobody in particular (RFC 4513, 5.1.1).
func (c *connection) enter(config Config) error {
	_, err := c.SimpleBind(&ldap.SimpleBindRequest{Username: config.BindDN, Password: config.Password, AllowEmptyPassword: config.BindDN == ""})
	return err
}

// authorities are the certificates of a file.
func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", path)
	}
	return pool, nil
}
