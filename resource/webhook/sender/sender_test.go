package sender

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"reeve/resource/webhook"
)

// TestPublic sees which addresses may be reached without being allowed.
func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "2606:4700::1111": true, "172.32.0.1": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "::": false, "255.255.255.255": false, "224.0.0.1": false, "240.0.0.1": false, "198.18.0.1": false, "192.0.0.8": false,
		"fe80::1": false, "fc00::1": false, "fd12::1": false, "ff02::1": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:db8::1": false,
	} {
		if got := Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is public: %v", text, got)
		}
	}
}

// TestSend sees what comes of each kind of answer, that nobody is reached who is not allowed, and that no more is read
// than there has to be.
func TestSend(t *testing.T) {
	var elsewhere atomic.Int64
	keys := []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}
	paths := http.NewServeMux()
	paths.HandleFunc("/verify", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		for _, key := range keys {
			verifier, bad := standardwebhooks.NewWebhook(key)
			if err != nil || bad != nil || verifier.Verify(text, r.Header) != nil {
				http.Error(w, "not signed", http.StatusUnauthorized)
			}
		}
	})
	paths.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	paths.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	paths.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	paths.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	paths.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 2*maxHeader))
	})
	paths.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the client go
		<-r.Context().Done()
	})
	server := httptest.NewServer(paths)
	defer server.Close()

	allowed := true
	s := New(Config{Allows: func(netip.Addr) bool { return allowed }, Timeout: func() time.Duration { return 3 * time.Second }, Agent: "test"})
	send := func(url string) webhook.Outcome {
		return s.Send(t.Context(), webhook.Message{ID: ulid.Make(), URL: url, Body: []byte(`{"type":"user.created"}`), Keys: keys})
	}
	for path, want := range map[string]struct {
		status     int
		failed     bool
		retryAfter time.Duration
	}{
		"/verify": {status: 200}, "/redirect": {status: 302, failed: true}, "/later": {status: 503, failed: true, retryAfter: 2 * time.Minute},
		"/endless": {status: 200}, "/header": {failed: true}, "/slow": {failed: true}, "/nothing": {status: 404, failed: true},
	} {
		got := send(server.URL + path)
		if got.Status != want.status || (got.Err != nil) != want.failed || got.RetryAfter != want.retryAfter || got.Duration > 10*time.Second {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	allowed = false
	s.Forget()
	for _, url := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "http://[::ffff:127.0.0.1]:1/"} {
		if got := send(url); got.Err == nil || !strings.Contains(got.Err.Error(), "not allowed") {
			t.Errorf("%s: %+v", url, got)
		}
	}
}
