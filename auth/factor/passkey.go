package factor

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/authenticator"
	"reeve/resource/user"
)

// Site is where passkeys are used: the relying party of WebAuthn.
type Site struct{ library *webauthn.WebAuthn }

// NewSite is the site at a URL; nil if browsers give it no passkeys: to a host that has only an address, or without TLS to
// another machine than this.
func NewSite(name string, base *url.URL) (*Site, error) {
	host := base.Hostname()
	if protocol.ValidateRPID(host) != nil || base.Scheme != "https" && host != "localhost" {
		return nil, nil
	}
	library, err := webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: name, RPOrigins: []string{base.Scheme + "://" + base.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementDiscouraged, UserVerification: protocol.VerificationPreferred,
		},
		// None is asked for, so none is read.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("factor: passkeys of %s: %w", base, err)
	}
	return &Site{library}, nil
}

// NewChallenge is what a passkey signs, in base64url. It is good for one answer.
func NewChallenge() string {
	challenge := make([]byte, 32)
	rand.Read(challenge) // it never fails (Go 1.24)
	return base64.RawURLEncoding.EncodeToString(challenge)
}

// account is a user as the library sees one.
type account struct {
	id   ulid.ULID
	name string
	held []authenticator.Authenticator
}

func (a account) WebAuthnID() []byte          { return a.id[:] }
func (a account) WebAuthnName() string        { return a.name }
func (a account) WebAuthnDisplayName() string { return a.name }

func (a account) WebAuthnCredentials() []webauthn.Credential {
	var all []webauthn.Credential
	for i := range a.held {
		if h := &a.held[i]; h.Kind == authenticator.Passkey {
			c := webauthn.Credential{
				ID: decoded(h.Credential), PublicKey: decoded(h.PublicKey), Flags: webauthn.CredentialFlags{BackupEligible: h.Synced},
				Authenticator: webauthn.Authenticator{SignCount: uint32(h.SignCount)},
			}
			for _, transport := range h.Transports {
				c.Transport = append(c.Transport, protocol.AuthenticatorTransport(transport))
			}
			all = append(all, c)
		}
	}
	return all
}

func encoded(bytes []byte) string { return base64.RawURLEncoding.EncodeToString(bytes) }

// decoded is what was encoded; nothing of what was not.
func decoded(text string) []byte {
	bytes, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return bytes
}

// creation is how a browser is asked to make a passkey, and what its answer is held against.
func (s *Site) creation(a account, challenge string) (*protocol.CredentialCreation, *webauthn.SessionData, error) {
	var known []protocol.CredentialDescriptor
	for _, c := range a.WebAuthnCredentials() {
		known = append(known, c.Descriptor())
	}
	return s.library.BeginRegistration(a, webauthn.WithExclusions(known), func(o *protocol.PublicKeyCredentialCreationOptions) error {
		o.Challenge = decoded(challenge)
		return nil
	})
}

// request is how a browser is asked to use a passkey, and what its answer is held against.
func (s *Site) request(a account, challenge string) (*protocol.CredentialAssertion, *webauthn.SessionData, error) {
	return s.library.BeginLogin(a, webauthn.WithChallenge(decoded(challenge)))
}

// Creation are the options with which a browser makes a passkey for a user who has some authenticators: JSON, as
// PublicKeyCredential.parseCreationOptionsFromJSON reads it.
func (s *Site) Creation(who *auth.Principal, held []authenticator.Authenticator, challenge string) (string, error) {
	creation, _, err := s.creation(account{who.ID, who.Name, held}, challenge)
	if err != nil {
		return "", fmt.Errorf("factor: %w", err)
	}
	return text(creation.Response)
}

// Request are the options with which a browser uses one of a user's passkeys: JSON, as
// PublicKeyCredential.parseRequestOptionsFromJSON reads it. They are empty if there is no passkey.
func (s *Site) Request(who *auth.Principal, held []authenticator.Authenticator, challenge string) (string, error) {
	a := account{who.ID, who.Name, held}
	if len(a.WebAuthnCredentials()) == 0 {
		return "", nil
	}
	request, _, err := s.request(a, challenge)
	if err != nil {
		return "", fmt.Errorf("factor: %w", err)
	}
	return text(request.Response)
}

func text(options any) (string, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return "", fmt.Errorf("factor: %w", err)
	}
	return string(text), nil
}

// AddPasskey gives a user a passkey that a browser made at a site for a challenge: its answer is JSON. The codes are
// recovery codes, if there is a need for some. It returns ErrWrong and ErrFull.
func (f *Factors) AddPasskey(ctx context.Context, who *auth.Principal, site *Site, challenge, name, answer string) (method string, codes []string, err error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return "", nil, ErrWrong
	}
	held, err := f.Of(ctx, who.ID)
	if err != nil {
		return "", nil, err
	}
	a := account{who.ID, who.Name, held}
	_, session, err := site.creation(a, challenge)
	if err != nil {
		return "", nil, fmt.Errorf("factor: %w", err)
	}
	made, err := site.library.CreateCredential(a, *session, parsed)
	if err != nil {
		return "", nil, ErrWrong
	}
	row := &authenticator.Authenticator{
		Kind: authenticator.Passkey, Name: name, Credential: encoded(made.ID), PublicKey: encoded(made.PublicKey),
		SignCount: int64(made.Authenticator.SignCount), Synced: made.Flags.BackupEligible,
	}
	for _, transport := range made.Transport {
		row.Transports = append(row.Transports, string(transport))
	}
	codes, err = f.add(ctx, who, row)
	if resource.Is(err, resource.Taken) { // somebody has it already
		err = ErrWrong
	}
	return methodOf(row), codes, err
}

// TakePasskey takes what one of a user's passkeys signed for a challenge: the answer of a browser, JSON. It returns
// ErrWrong for what it did not, and if the passkey seems to have been copied: its count of signatures does not rise
// (WebAuthn, 6.1.1).
func (f *Factors) TakePasskey(ctx context.Context, who *auth.Principal, site *Site, challenge, answer string) (method string, err error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return "", ErrWrong
	}
	err = f.hold(ctx, who.ID, func(ctx context.Context, _ *user.User, held []authenticator.Authenticator) error {
		a := account{who.ID, who.Name, held}
		if len(a.WebAuthnCredentials()) == 0 {
			return ErrWrong
		}
		_, session, err := site.request(a, challenge)
		if err != nil {
			return fmt.Errorf("factor: %w", err)
		}
		used, err := site.library.ValidateLogin(a, *session, parsed)
		if err != nil || used.Authenticator.CloneWarning {
			return ErrWrong
		}
		for i := range held {
			if h := &held[i]; h.Credential == encoded(used.ID) {
				method = methodOf(h)
				return f.used(ctx, h.ID, func(a *authenticator.Authenticator) { a.SignCount = int64(used.Authenticator.SignCount) })
			}
		}
		return ErrWrong
	})
	return method, err
}

// methodOf is how somebody signs in by a passkey.
func methodOf(passkey *authenticator.Authenticator) string {
	if passkey.Synced {
		return Software
	}
	return Hardware
}
