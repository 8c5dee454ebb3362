package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// Static is a client of the configuration. Its client_id is printable ASCII; its secret has at least 16
// characters, and a public client has none.
type Static struct {
	ClientID     string
	Name         string // its client_id if empty
	AuthMethod   string // SecretBasic, SecretPost or Public
	Secret       string
	RedirectURIs []string
}

// Configure makes the static clients of the table agree with the configuration, in one transaction: new ones
// are inserted, those that are gone are deleted with all their tokens. The client_ids in admins are those of the
// clients that may ask for scopes of the admin API. What is wrong with any of that is Conflict.
func Configure(
	ctx context.Context, db resource.Transactor, clients resource.Store[Client], now time.Time,
	statics []Static, admins []string,
) error {
	if err := verify(statics, admins); err != nil {
		return err
	}
	now = resource.Cut(now)
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.Lock(ctx, "clients"); err != nil {
			return err
		}
		wanted := map[ulid.ULID]bool{}
		for _, static := range statics {
			id, admin := ID(static.ClientID), slices.Contains(admins, static.ClientID)
			wanted[id] = true
			event := resource.NewEvent(ctx, now, auth.System, resource.Update, resource.Identifier{Type: Schema.Name, ID: id})
			_, err := clients.Update(ctx, id, func(c *Client) error {
				before := *c
				static.apply(c, admin)
				event.Changes = Schema.Changes(&before, c)
				return nil
			})
			if resource.Is(err, resource.NotFound) {
				c := &Client{ID: id, CreatedAt: now}
				event.Verb = resource.Create
				static.apply(c, admin)
				event.Changes = Schema.Changes(nil, c)
				err = clients.Create(ctx, c)
			}
			if err == nil && event.Changes != nil {
				err = db.Record(ctx, event)
			}
			if err != nil {
				return err
			}
		}
		removed, err := removeOthers(ctx, clients, wanted)
		for _, id := range removed {
			err = errors.Join(err, db.Record(ctx, resource.NewEvent(ctx, now, auth.System, resource.Delete, resource.Identifier{Type: Schema.Name, ID: id})))
		}
		return err
	})
}

// ID is the id of the client with a client_id: the same if that is a ULID, else one derived from it.
func ID(clientID string) ulid.ULID {
	if id, err := ulid.ParseStrict(clientID); err == nil && id.String() == clientID {
		return id
	}
	return resource.NamedID("client", clientID)
}

// SetSecret makes a secret the client's. It is stored as a plain digest, since it is too long to be guessed
// ([minSecretLength]), and clients show it every few minutes.
func (c *Client) SetSecret(secret string) { c.SecretHash = digest(secret) }

// VerifySecret reports whether a secret is the client's. It takes the same time for all wrong ones.
func (c *Client) VerifySecret(secret string) bool {
	return subtle.ConstantTimeCompare([]byte(c.SecretHash), []byte(digest(secret))) == 1
}

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// apply makes a row what the configuration says.
func (s *Static) apply(c *Client, admin bool) {
	c.ClientID, c.Name, c.AuthMethod, c.Static, c.Admin = s.ClientID, s.Name, s.AuthMethod, true, admin
	if c.Name == "" {
		c.Name = s.ClientID
	}
	c.RedirectURIs, c.GrantTypes = append([]string{}, s.RedirectURIs...), []string{}
	if len(s.RedirectURIs) > 0 {
		c.GrantTypes = append(c.GrantTypes, AuthorizationCode, RefreshToken)
	}
	if s.AuthMethod == Public { // a program that its users install, perhaps where there is no browser
		c.GrantTypes = append(c.GrantTypes, DeviceCode)
		if len(s.RedirectURIs) == 0 {
			c.GrantTypes = append(c.GrantTypes, RefreshToken)
		}
		c.SecretHash = ""
		return
	}
	c.GrantTypes = append(c.GrantTypes, ClientCredentials) // RFC 6749, 4.4: only for confidential clients
	c.SetSecret(s.Secret)
}

// minSecretLength is how many characters the secret of a static client has at least, so that it need not be counted
// how often somebody tries one (RFC 6749, 2.3.1), and maxSecretBytes how many bytes it has at most.
const (
	minSecretLength = 16
	maxSecretBytes  = 1024
)

// verify checks the clients of a configuration and reports every finding at once, as Conflict.
func verify(statics []Static, admins []string) error {
	var found []error
	for _, id := range admins {
		if !slices.ContainsFunc(statics, func(s Static) bool { return s.ClientID == id && s.AuthMethod != Public }) {
			found = append(found, fmt.Errorf("policy.data.admin_clients names %q, but there is no such client with a secret", id))
		}
	}
	seen := map[string]bool{}
	for _, s := range statics {
		find := func(sentence string) { found = append(found, fmt.Errorf("client %q %s", s.ClientID, sentence)) }
		length := len(s.ClientID)
		if length == 0 || length > resource.DefaultMaxLength || strings.IndexFunc(s.ClientID, unprintable) >= 0 {
			find("must have a client_id of printable ASCII characters")
		}
		for _, uri := range s.RedirectURIs {
			if err := CheckRedirect(uri); err != nil {
				find(fmt.Sprintf("has the redirect URI %q, which %v", uri, err))
			}
		}
		if seen[s.ClientID] {
			find("is configured twice")
		}
		seen[s.ClientID] = true
		switch s.AuthMethod {
		case SecretBasic, SecretPost:
			if utf8.RuneCountInString(s.Secret) < minSecretLength || len(s.Secret) > maxSecretBytes {
				find(fmt.Sprintf("must have a client_secret of at least %d characters and at most %d bytes",
					minSecretLength, maxSecretBytes))
			}
		case Public:
			if s.Secret != "" {
				find("must have no client_secret, since its client_auth_method is none")
			}
		default:
			find(fmt.Sprintf("must have a client_auth_method of %s, %s or %s", SecretBasic, SecretPost, Public))
		}
	}
	if err := errors.Join(found...); err != nil {
		return resource.Errorf(resource.Conflict, "%v", err)
	}
	return nil
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

// removeOthers deletes the static clients that are not wanted, and says which they were.
func removeOthers(ctx context.Context, clients resource.Store[Client], wanted map[ulid.ULID]bool) (removed []ulid.ULID, err error) {
	statics, err := resource.Every(ctx, &Schema, clients.List, resource.Equal("is_static", true))
	for _, c := range statics {
		if wanted[c.ID] {
			continue
		}
		if err := clients.Delete(ctx, c.ID); err != nil {
			return nil, err
		}
		removed = append(removed, c.ID)
	}
	return removed, err
}
