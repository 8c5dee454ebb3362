package factor

import (
	"encoding/base32"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// vectors are the test vectors of RFC 6238, appendix B, for SHA-1: the last six of their eight digits.
var vectors = map[int64]string{
	59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
}

var rfcSecret = base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))

func TestVectors(t *testing.T) {
	for at, code := range vectors {
		step, found, err := matchCode(rfcSecret, code, time.Unix(at, 0), 0)
		if !found || err != nil || step != at/30 {
			t.Errorf("at %d: step %d, %v, %v", at, step, found, err)
		}
	}
}

// TestSteps looks at a code from steps around its own, before and after it was used.
func TestSteps(t *testing.T) {
	const at, code = 1111111109, "081804"
	own := int64(at / 30)
	for off := int64(-3); off <= 3; off++ {
		for _, used := range []int64{0, own - 2, own - 1, own, own + 1} {
			step, found, err := matchCode(rfcSecret, code, time.Unix(at+30*off, 0), used)
			if want := off >= -1 && off <= 1 && used < own; found != want || err != nil || found && step != own {
				t.Errorf("%d steps later, %d having been used: %d, %v, %v", off, used-own, step, found, err)
			}
		}
	}
}

// TestSameCode has two neighbouring steps with the same code: it is good for one time nevertheless.
func TestSameCode(t *testing.T) {
	for at := int64(0); ; at += 30 {
		now, next := codeAt(t, at), codeAt(t, at+30)
		if now != next {
			continue
		}
		step, found, err := matchCode(rfcSecret, now, time.Unix(at, 0), 0)
		if !found || err != nil || step != at/30+1 {
			t.Fatalf("step %d, %v, %v", step-at/30, found, err)
		}
		if _, again, _ := matchCode(rfcSecret, now, time.Unix(at+30, 0), step); again {
			t.Error("it is taken twice")
		}
		return
	}
}

func TestForms(t *testing.T) {
	for text, want := range map[string]string{"123456": "123456", " 123 456 ": "123456", "12345": "", "1234567": "", "12345a": "", "１２３４５６": "", "": ""} {
		if code, ok := isCode(text); ok != (want != "") || ok && code != want {
			t.Errorf("%q is %q, %v", text, code, ok)
		}
	}
	want, _ := hashRecovery("ABCD-EFGH-IJKL-2345")
	for text, right := range map[string]bool{"abcdefghijkl2345": true, " abcd efgh ijkl 2345\n": true, "ABCD-EFGH-IJKL-2346": false, "ABCD-EFGH-IJKL": false, "": false} {
		if hash, ok := hashRecovery(text); (ok && hash == want) != right {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

// TestSites has passkeys where browsers have them.
func TestSites(t *testing.T) {
	for base, want := range map[string]bool{
		"https://reeve.example.com/estate": true, "https://reeve.example.com:8443": true, "http://localhost:8080": true,
		"http://reeve.example.com": false, "https://192.0.2.1": false, "https://[2001:db8::1]": false, "http://127.0.0.1:8080": false,
	} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		site, err := NewSite("Reeve", u)
		if (site != nil) != want || err != nil {
			t.Errorf("%s: %v, %v", base, site, err)
		}
	}
}

func TestQR(t *testing.T) {
	svg, err := QR("Reeve", "kilgore-trout", NewSecret())
	if err != nil || !strings.HasPrefix(string(svg), "<svg ") || strings.Contains(string(svg), "style=") {
		t.Errorf("%s, %v", svg, err)
	}
	if _, err := QR("Reeve", "kilgore-trout", "not base32!"); err == nil {
		t.Error("a secret that is none")
	}
}

func codeAt(t *testing.T, at int64) string {
	t.Helper()
	code, err := totp.GenerateCode(rfcSecret, time.Unix(at, 0))
	if err != nil {
		t.Fatal(err)
	}
	return code
}
