package client_test

import (
	"strings"
	"testing"

	"reeve/resource/client"
)

func TestCheckRedirect(t *testing.T) {
	for uri, ok := range map[string]bool{
		"https://example.com/back?x=1": true, "http://127.0.0.1/": true, "http://[::1]:8080/back": true, "http://localhost:1/": true,
		"com.example.app:/back": true, "": false, "/back": false, "https:": false, "https:///back": false, "http://example.com/": false,
		"http://127.0.0.1.example.com/": false, "https://example.com/#x": false, "https://example.com/#": false, "https://user@example.com/": false,
		"javascript:alert(1)": false, "data:text/html,x": false, "app:/back": false, "https://exämple.com/": false, "https://example.com/a b": false,
		"https://example.com/" + strings.Repeat("x", 2048): false, "https://example.com/%zz": false,
	} {
		if err := client.CheckRedirect(uri); (err == nil) != ok {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

func TestAllowsRedirect(t *testing.T) {
	const registered = "http://127.0.0.1/back"
	for uri, public := range map[string]bool{
		"http://127.0.0.1:8080/back": true, "http://127.0.0.1:/back": true, "http://127.0.0.1:8080/back/": false, "http://127.0.0.1:8080/back?x": false,
		"http://127.0.0.1:8080@example.com/back": false, "http://127.0.0.1:8080/back#": false, "http://localhost/back": false, "http://[::1]/back": false,
		"HTTP://127.0.0.1:8080/back": false, "https://127.0.0.1:8080/back": false, "http://127.0.0.1:8080": false,
	} {
		for method, allowed := range map[string]bool{client.Public: public, client.SecretBasic: false} {
			c := &client.Client{AuthMethod: method, RedirectURIs: []string{registered}}
			if c.AllowsRedirect(uri) != allowed || !c.AllowsRedirect(registered) {
				t.Errorf("%s: %q", method, uri)
			}
		}
	}
}
