// Package sender posts to the endpoints of webhooks: signed as Standard Webhooks says, and to no address that is not
// allowed, whatever a name resolves to.
package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"reeve/resource/webhook"
)

// Bounds of an answer: nobody reads more of it.
const (
	maxHeader = 16 << 10 // bytes
	maxBody   = 64 << 10 // bytes
)

// Config is what a [Sender] works with.
type Config struct {
	Allows  func(address netip.Addr) bool // whether an address that is not public may be reached
	Timeout func() time.Duration          // of a request, from the resolution of the name to the end of the answer
	Agent   string                        // the header User-Agent
}

// Sender posts messages.
type Sender struct {
	config Config
	client *http.Client
}

// New makes a sender. It goes through no proxy, which would reach for it what it may not, and follows no redirect.
func New(config Config) *Sender {
	s := &Sender{config: config}
	dialer := &net.Dialer{ControlContext: s.control}
	s.client = &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// Forget closes the connections that are open, so that the next ones go by what is allowed then.
func (s *Sender) Forget() { s.client.CloseIdleConnections() }

// control refuses to connect to an address. It sees the one that the connection is for, after the name is resolved.
func (s *Sender) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := at.Addr().Unmap().WithZone(""); !Public(ip) && !s.config.Allows(ip) {
		return fmt.Errorf("the address %s is not public, and not allowed", ip)
	}
	return nil
}

// special are the networks that are not globally reachable (IANA IPv4 and IPv6 Special-Purpose Address Registries), and
// those that embed an IPv4 address, which may be anything. What net/netip knows is not among them.
var special = func() (networks []netip.Prefix) {
	for _, text := range strings.Fields(`0.0.0.0/8 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
		::/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fec0::/10`) {
		networks = append(networks, netip.MustParsePrefix(text))
	}
	return networks
}()

// Public reports whether an address is one of the internet, and neither private, nor of the machine or its link.
func Public(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, network := range special {
		if network.Contains(ip) {
			return false
		}
	}
	return true
}

// Send posts a message. What is answered with a status of 2xx is delivered.
func (s *Sender) Send(ctx context.Context, m webhook.Message) (o webhook.Outcome) {
	begin := time.Now()
	defer func() { o.Duration = time.Since(begin) }()
	timeout := s.config.Timeout()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return webhook.Outcome{Err: err}
	}
	signatures := make([]string, len(m.Keys))
	for i, key := range m.Keys {
		signer, err := standardwebhooks.NewWebhook(key)
		if err == nil {
			signatures[i], err = signer.Sign(m.ID.String(), begin, m.Body)
		}
		if err != nil {
			return webhook.Outcome{Err: errors.New("the message cannot be signed")} // the error might show the key
		}
	}
	request.Header.Set(standardwebhooks.HeaderWebhookID, m.ID.String())
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(begin.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", s.config.Agent)
	response, err := s.client.Do(request)
	var failed *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return webhook.Outcome{Err: fmt.Errorf("there was no answer within %s", timeout)}
	case errors.As(err, &failed):
		return webhook.Outcome{Err: failed.Err} // without the URL, which the webhook has
	case err != nil:
		return webhook.Outcome{Err: err}
	}
	defer response.Body.Close()
	o.Status = response.StatusCode
	if o.Status < 200 || o.Status > 299 {
		o.Err = fmt.Errorf("the answer was %d %s", o.Status, http.StatusText(o.Status))
		o.RetryAfter = retryAfter(response.Header.Get("Retry-After"), begin)
	}
	_, _ = io.CopyN(io.Discard, response.Body, maxBody) // so that the connection can be used again, if it ends by then
	return o
}

// retryAfter is how long an answer asks to wait: in seconds, or until a date (RFC 9110, 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}
