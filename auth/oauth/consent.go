package oauth

import (
	"context"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/session"
)

// consentID is the id of what a user has let a client do.
func consentID(user, client ulid.ULID) ulid.ULID {
	return resource.NamedID(ConsentSchema.Name, user.String()+" "+client.String())
}

// lock is the lock of who remembers or forgets a consent.
func lock(consent ulid.ULID) string { return ConsentSchema.Name + " " + consent.String() }

// agreed reports whether the user need not be asked, since they have let the client have these scopes before. They are
// asked all the same if the client wants that, or if nothing proves that it is the client who asks: any program on the
// user's machine can take the place of one that has no secret (RFC 8252, 8.6).
func (v *visit) agreed(r *request, scopes []string) (bool, error) {
	if slices.Contains(r.prompt, oidc.PromptConsent) || r.client.AuthMethod == client.Public && !strings.HasPrefix(r.redirectURI, "https:") {
		return false, nil
	}
	consent, err := v.config.Consents.Get(v.r.Context(), consentID(v.browser.User, r.client.ID))
	if resource.Is(err, resource.NotFound) {
		return false, nil
	}
	return err == nil && !slices.ContainsFunc(scopes, func(scope string) bool { return !slices.Contains(consent.Scopes, scope) }), err
}

// remember keeps what a user lets a client do, in the transaction that the context holds.
func (s *Server) remember(ctx context.Context, user, client ulid.ULID, scopes []string) error {
	id := consentID(user, client)
	if err := s.config.Database.Lock(ctx, lock(id)); err != nil {
		return err
	}
	_, err := s.config.Consents.Update(ctx, id, func(c *Consent) error {
		for _, scope := range scopes {
			if !slices.Contains(c.Scopes, scope) {
				c.Scopes = append(slices.Clone(c.Scopes), scope)
			}
		}
		return nil
	})
	if resource.Is(err, resource.NotFound) {
		err = s.config.Consents.Create(ctx, &Consent{ID: id, User: user, Client: client, Scopes: scopes, CreatedAt: resource.Cut(s.config.Clock())})
	}
	return err
}

// Forget is what follows from the end of a session, in its transaction: once somebody has ended the last one that a user
// had with a client, the user is to be asked again. A session that expires, or that its client ends, changes nothing.
func Forget(consents resource.Store[Consent], sessions resource.Store[session.Session]) func(tx *resource.Tx, ended *session.Session) error {
	return func(tx *resource.Tx, ended *session.Session) error {
		if isZero(ended.User) || isZero(ended.Client) || tx.Principal.Type == auth.System.Type {
			return nil
		}
		id := consentID(ended.User, ended.Client)
		if err := tx.Lock(lock(id)); err != nil { // else two that end at once would each see the other one go on
			return err
		}
		others, err := sessions.List(tx, resource.Query{
			Where:  resource.All{resource.Equal("user", ended.User), resource.Equal("client", ended.Client), resource.IsNull("finished_at")},
			Window: pagination.First(1), Count: pagination.CountNone, Fields: []string{}, Now: tx.Now,
		})
		if err != nil || len(others.Rows) > 0 {
			return err
		}
		err = consents.Delete(tx, id)
		if resource.Is(err, resource.NotFound) { // nobody was asked, or about a device, which asks each time
			return nil
		}
		return err
	}
}
