package auth

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	seen := map[string]bool{}
	letters := map[byte]bool{}
	for range 1000 {
		token := NewToken(AccessToken)
		if prefix, ok := CheckToken(token); !ok || prefix != AccessToken {
			t.Fatalf("CheckToken(%q) = %q, %v", token, prefix, ok)
		}
		if len(token) != 41 || seen[token] {
			t.Fatalf("token %q has %d characters, or came twice", token, len(token))
		}
		seen[token] = true
		for i := range randomLength {
			letters[token[4+i]] = true
		}
	}
	if len(letters) != 62 {
		t.Errorf("the tokens use %d letters of 62", len(letters))
	}
}

// TestCheckToken changes each character of a token: none of the results is a token.
func TestCheckToken(t *testing.T) {
	token := NewToken(PersonalToken)
	for i := range token {
		for _, c := range []string{"", "_", "x", "Y", " ", "é"} {
			changed := token[:i] + c + token[i+1:]
			if _, ok := CheckToken(changed); ok && changed != token {
				t.Errorf("CheckToken(%q) accepts it; it was made of %q", changed, token)
			}
		}
	}
	body := "rvp_" + strings.Repeat("a", 29) + "é"
	for _, text := range []string{"", "_", "__", "rvp", "rvp__", token + "_", "_" + token, body + "_" + checksum(body)} {
		if _, ok := CheckToken(text); ok {
			t.Errorf("CheckToken(%q) accepts it", text)
		}
	}
	// 0xCBF43926 is the CRC-32 of these digits, the check value in its definition.
	if got := checksum("123456789"); got != "3jZRME" {
		t.Errorf("checksum = %q", got)
	}
}

// TestNextToken follows a family of tokens, and looks at the other ones.
func TestNextToken(t *testing.T) {
	first := NewToken(RefreshToken)
	token, seen := first, map[string]bool{}
	for range 100 {
		if prefix, ok := CheckToken(token); !ok || prefix != RefreshToken || seen[token] {
			t.Fatalf("CheckToken(%q) = %q, %v, or it came twice", token, prefix, ok)
		}
		if !bytes.Equal(HashFamily(token), HashFamily(first)) || bytes.Equal(HashFamily(token), HashFamily(NewToken(RefreshToken))) {
			t.Fatalf("%q and %q", token, first)
		}
		seen[token] = true
		token = NextToken(token)
	}
}

func TestHashToken(t *testing.T) {
	want := sha256.Sum256([]byte("rva_x"))
	if !bytes.Equal(HashToken("rva_x"), want[:]) {
		t.Error("HashToken is no SHA-256")
	}
}
