package auth

import (
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
)

// foreign are hashes of "pässwörd" that others made: perl's crypt (libxcrypt) and Python's hashlib.
var foreign = map[string]string{
	"bcrypt 2a":         "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3G",
	"bcrypt 2b":         "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3G",
	"bcrypt 2y":         "$2y$05$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3G",
	"scrypt":            "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$XePXvxZzRj6L1K6Fof7AUZumo8fHft2FRonOsXgR7YI",
	"PBKDF2 sha256":     "$pbkdf2-sha256$i=600000$AAECAwQFBgcICQoLDA0ODw$l0uXQwXezpWgtYHXH17vsTUbx2tTgNr9kMaPbDXuxfM",
	"PBKDF2 sha512":     "$pbkdf2-sha512$i=1000$AAECAwQFBgcICQoLDA0ODw$tesGdwmZwygAGYLzLiZnuLe7u7U7QwD64kd8Dxsmq1czniS4pZHyb0gH6ZCWHMgN1oFJ7mpRl1LVshQSj7oYVw",
	"PBKDF2 of passlib": "$pbkdf2-sha256$29000$....................AA$e35JBOkqFWoZ0RXBcFCQtyZUfcBOzkFtf8wA5qXs8Mk",
}

func TestForeignHashes(t *testing.T) {
	argon, err := argon2id.CreateHash("pässwörd", &argon2id.Params{Memory: 4096, Iterations: 3, Parallelism: 2, SaltLength: 8, KeyLength: 24})
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[string]string{"argon2id of other parameters": argon}
	for name, hash := range foreign {
		hashes[name] = hash
	}
	for name, hash := range hashes {
		if err := CheckHash(hash); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if right, err := verify(hash, "pässwörd"); !right || err != nil {
			t.Errorf("%s: the right password: %v, %v", name, right, err)
		}
		if wrong, err := verify(hash, "pässword"); wrong || err != nil {
			t.Errorf("%s: the wrong password: %v, %v", name, wrong, err)
		}
		if isCurrent(hash) {
			t.Errorf("%s is current", name)
		}
	}
	if ours, err := newHash("pw"); err != nil || !isCurrent(ours) || CheckHash(ours) != nil {
		t.Errorf("a hash of today's is not current: %v", err)
	}
}

func TestHashesThatAreRefused(t *testing.T) {
	const salt, key = "AAECAwQFBgcICQoLDA0ODw", "XePXvxZzRj6L1K6Fof7AUZumo8fHft2FRonOsXgR7YI"
	tail := "$" + salt + "$" + key
	for name, hash := range map[string]string{
		"nothing":                   "",
		"a password":                "correct horse",
		"md5":                       "$1$abcdefgh$G2QYOmVkXmTYYsDtpeDtH1",
		"argon2i":                   "$argon2i$v=19$m=4096,t=3,p=1" + tail,
		"an old argon2id":           "$argon2id$v=16$m=4096,t=3,p=1" + tail,
		"argon2id without passes":   "$argon2id$v=19$m=4096,t=0,p=1" + tail,
		"argon2id without memory":   "$argon2id$v=19$m=7,t=1,p=1" + tail,
		"argon2id of too much":      "$argon2id$v=19$m=131073,t=1,p=1" + tail,
		"argon2id of many passes":   "$argon2id$v=19$m=131072,t=9,p=1" + tail,
		"argon2id of many lanes":    "$argon2id$v=19$m=4096,t=1,p=17" + tail,
		"argon2id that overflows":   "$argon2id$v=19$m=4294967296,t=1,p=1" + tail,
		"bcrypt of cost 3":          "$2b$03$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3G",
		"bcrypt of cost 15":         "$2b$15$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3G",
		"bcrypt cut short":          "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3",
		"scrypt of too much memory": "$scrypt$ln=17,r=9,p=1" + tail,
		"scrypt of a huge N":        "$scrypt$ln=63,r=8,p=1" + tail,
		"scrypt of many lanes":      "$scrypt$ln=17,r=8,p=9" + tail,
		"scrypt of small lanes":     "$scrypt$ln=1,r=1,p=17" + tail,
		"scrypt without lanes":      "$scrypt$ln=14,r=8,p=0" + tail,
		"PBKDF2 of 2,000,001":       "$pbkdf2-sha256$i=2000001" + tail,
		"PBKDF2 without iterations": "$pbkdf2-sha256$i=0" + tail,
		"PBKDF2 of SHA-1":           "$pbkdf2-sha1$i=1000" + tail,
		"a salt of 7 bytes":         "$scrypt$ln=14,r=8,p=1$AAECAwQFBg$" + key,
		"a hash of 15 bytes":        "$scrypt$ln=14,r=8,p=1$" + salt + "$AAECAwQFBgcICQoLDA0O",
		"a long hash":               "$scrypt$ln=14,r=8,p=1$" + salt + "$" + strings.Repeat("AAAA", 22),
		"no base64":                 "$scrypt$ln=14,r=8,p=1$" + salt + "$!!!!" + key[4:],
		"something after it":        "$scrypt$ln=14,r=8,p=1" + tail + "$",
	} {
		if CheckHash(hash) == nil {
			t.Errorf("%s is taken", name)
		}
		if right, err := verify(hash, "pässwörd"); right || hash != "" && err == nil {
			t.Errorf("%s is verified: %v, %v", name, right, err)
		}
	}
	for _, hash := range []string{"$argon2id$v=19$m=131072,t=8,p=1" + tail, "$scrypt$ln=17,r=8,p=8" + tail, "$pbkdf2-sha256$i=2000000" + tail} {
		if err := CheckHash(hash); err != nil {
			t.Errorf("the dearest that is allowed, %s: %v", hash, err)
		}
	}
}
