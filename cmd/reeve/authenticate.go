package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/auth/oauth"
	"reeve/resource"
	"reeve/resource/ldap"
	"reeve/resource/role"
	"reeve/resource/session"
	"reeve/resource/token"
	"reeve/resource/user"
)

// newLimiter bounds what may be tried, as auth.sign_in says.
func (a *app) newLimiter(c *configuration) (*auth.Limiter, error) {
	master, err := c.masterKey()
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, master, nil, "reeve attempts", sha256.Size)
	if err != nil {
		return nil, err
	}
	return auth.NewLimiter(auth.LimiterConfig{
		Limits: func() auth.Limits {
			return auth.Limits{PerAccount: int64(authSignInPerAccount.In(c)), PerAddress: int64(authSignInPerAddress.In(c)), Window: authSignInWindow.In(c)}
		},
		Tallies: a.attempts, Key: key, Clock: time.Now, Log: a.log,
	}), nil
}

// authorizationServer is the OAuth 2.0 server over the program's tables.
func (a *app) authorizationServer(c *configuration) (*oauth.Server, error) {
	return oauth.New(oauth.Config{
		Issuer: c.publicBase(), Database: a.database, Clients: a.clients, Users: a.users, Links: a.links, SetPassword: a.setPassword,
		Codes: a.codes, Tokens: a.access, Refreshes: a.refreshes, Browsers: a.browsers, Pending: a.pending, Devices: a.devices, Consents: a.consents, Keys: a.keys,
		Factors: a.factors, SignIn: a.passwords.SignIn, Limiter: a.limiter, Subject: a.subject, Seen: a.saw,
		NewSession: a.newSession, SessionActive: a.sessionActive, EndSession: a.endSession,
	})
}

// newSession notes that a client has signed in, or a user, through a client or, if that is zero, with a browser.
func (a *app) newSession(ctx context.Context, actor *auth.Principal, client, user ulid.ULID) (ulid.ULID, error) {
	s := &session.Session{ID: ulid.Make(), Kind: session.OAuth2, Client: client, User: user}
	if client == (ulid.ULID{}) {
		s.Kind = session.Browser
	}
	return s.ID, a.beginSession(ctx, actor, s)
}

// beginSession stores a session that begins with the request of the context, in the transaction that this holds.
func (a *app) beginSession(ctx context.Context, actor *auth.Principal, s *session.Session) error {
	s.CreatedAt = resource.Cut(time.Now())
	s.Seen(s.CreatedAt, auth.OriginOf(ctx))
	if err := a.sessions.Create(ctx, s); err != nil {
		return err
	}
	event := resource.NewEvent(ctx, s.CreatedAt, actor, resource.Create, resource.Identifier{Type: session.Schema.Name, ID: s.ID})
	event.Changes = session.Schema.Changes(nil, s)
	return a.database.Record(ctx, event)
}

func (a *app) sessionActive(ctx context.Context, id ulid.ULID) (bool, error) {
	s, err := a.sessions.Get(ctx, id)
	if resource.Is(err, resource.NotFound) {
		return false, nil
	}
	return err == nil && s.FinishedAt.IsZero(), err
}

// endSession finishes a session whose tokens are to end; one that has ended, or is gone itself, stays as it is.
func (a *app) endSession(ctx context.Context, id ulid.ULID) error { return a.finish(ctx, id) }

// finish finishes sessions, at most 1000; those that have ended, or are gone, stay as they are.
func (a *app) finish(ctx context.Context, sessions ...ulid.ULID) error {
	ids := make([]string, len(sessions))
	for i, id := range sessions {
		ids[i] = id.String()
	}
	finish := resource.OnAll("finish", session.Schema.Name, resource.FilterBy("id", ids...), resource.FilterBy("status", "active"))
	finish.Principal = auth.System
	_, err := a.engine.Do(ctx, finish)
	return err
}

// authenticator finds out who sends a request, by OAuth access token, personal token, or password. A token is
// remembered for a generation; without one it is looked up each time.
func (a *app) authenticator(c *configuration, authorization *oauth.Server, generation func() (uint64, bool)) *auth.Authenticator {
	lookups := auth.Lookups{Generation: generation, Token: func(ctx context.Context, prefix string, hash []byte) (*auth.Principal, time.Time, error) {
		switch prefix {
		case auth.AccessToken:
			return authorization.Principal(ctx, hash)
		case auth.PersonalToken:
			return a.personal(ctx, hash)
		}
		return nil, time.Time{}, auth.ErrInvalid
	}}
	lookups.Passwords = func() *auth.Passwords {
		if authBasicEnabled.In(c) {
			return a.passwords
		}
		return nil
	}
	return auth.NewAuthenticator(lookups, time.Now)
}

// authenticate turns the authenticator's answers into those of the API, where what is no 401 is passed on, and notes who
// sends requests.
func (a *app) authenticate(authenticator *auth.Authenticator) func(*http.Request) (*auth.Principal, error) {
	return func(r *http.Request) (*auth.Principal, error) {
		principal, err := authenticator.Authenticate(r.Context(), r.Header.Get("Authorization"))
		if errors.Is(err, auth.ErrMissing) || errors.Is(err, auth.ErrInvalid) || errors.Is(err, auth.ErrSecondFactor) {
			return nil, resource.Errorf(resource.Unauthenticated, "%v", err)
		}
		if err == nil {
			a.saw(r.Context(), principal)
		}
		return principal, err
	}
}

// personal is whom a personal token stands for. It allows what its scopes and its user's rights have in common.
func (a *app) personal(ctx context.Context, hash []byte) (who *auth.Principal, expires time.Time, err error) {
	t, err := resource.Only(ctx, a.tokens.List, "hash", token.Hash(hash))
	if err != nil {
		return nil, expires, err
	}
	if t == nil || !t.Usable(time.Now()) {
		return nil, expires, auth.ErrInvalid
	}
	if who, err = a.subject(ctx, t.User, t.Scopes); err != nil {
		return nil, expires, err
	}
	who.Session, who.Token = t.Session, t.ID
	return who, t.ExpiresAt, nil
}

// subject is a user, with what some scopes and the user's own rights have in common. It returns auth.ErrInvalid if the
// user is gone or may not sign in.
func (a *app) subject(ctx context.Context, id ulid.ULID, scopes []string) (*auth.Principal, error) {
	u, err := a.users.Get(ctx, id)
	if resource.Is(err, resource.NotFound) || err == nil && !u.MaySignIn() {
		return nil, auth.ErrInvalid
	}
	if err != nil {
		return nil, err
	}
	return a.principal(ctx, u, auth.ScopePermissions(scopes))
}

// password finds an account by its username, for sign-in by password.
func (a *app) password(ctx context.Context, username string) (account auth.Account, err error) {
	u, err := resource.Only(ctx, a.users.List, "username", username)
	if err != nil || u == nil {
		return account, err
	}
	account.Principal, err = a.principal(ctx, u, auth.Everything)
	if err != nil || !u.MaySignIn() {
		return account, err
	}
	if account.Hash = u.PasswordHash; account.Hash == "" && a.serves(ldap.Schema.Name) {
		account.Elsewhere, err = a.directory.Has(ctx, u.ID)
	}
	return account, err
}

// verify finds out whether a password is a user's. It returns auth.ErrInvalid if it is not, and leaves the event of that.
func (a *app) verify(ctx context.Context, username, password string) error {
	_, _, err := a.passwords.SignIn(ctx, username, password)
	return err
}

// notePatience is how long a sign-in waits for what is to be noted of it.
const notePatience = time.Second

// rehash keeps the renewed hash of a password, unless another one has been set meanwhile. A database that cannot be
// written to just now keeps nobody from signing in: it is tried again at the next time.
func (a *app) rehash(ctx context.Context, who *auth.Principal, former, renewed string) (kept bool) {
	ctx, cancel := context.WithTimeout(ctx, notePatience)
	defer cancel()
	err := a.database.Transact(ctx, func(ctx context.Context) error {
		event := resource.NewEvent(ctx, resource.Cut(time.Now()), who, "rehash", resource.Identifier{Type: who.Type, ID: who.ID})
		_, err := a.users.Update(ctx, who.ID, func(u *user.User) error {
			if before := *u; u.PasswordHash == former {
				u.PasswordHash, kept = renewed, true
				event.Changes = user.Schema.Changes(&before, u)
			}
			return nil
		})
		if err != nil || event.Changes == nil {
			return err
		}
		return a.database.Record(ctx, event)
	})
	if err != nil {
		a.log.WarnContext(ctx, "a password hash was not renewed", "user", who.ID, "error", err)
	}
	return kept && err == nil
}

// signInFailed tells the trail of an attempt to sign in that failed. Who is nil if the account is not known; its name is
// not kept, since it may be a password that stands in the wrong field. If the trail cannot be written to just now, the
// attempt has failed all the same.
func (a *app) signInFailed(ctx context.Context, who *auth.Principal) {
	a.metrics.failures.Inc()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notePatience) // who guesses may hang up first
	defer cancel()
	var target resource.Identifier
	if who != nil {
		target = resource.Identifier{Type: who.Type, ID: who.ID}
	}
	event := resource.NewEvent(ctx, resource.Cut(time.Now()), &auth.Principal{}, "sign-in-failed", target)
	if err := a.database.Transact(ctx, func(ctx context.Context) error { return a.database.Record(ctx, event) }); err != nil {
		a.log.WarnContext(ctx, "the trail misses a sign-in that failed", "address", event.Address, "error", err)
	}
}

// rights are the permissions of a user: by roles, and all for an administrator.
func (a *app) rights(ctx context.Context, u *user.User) ([]auth.Permission, error) {
	if u.CanRequestAdmin {
		return auth.Everything, nil
	}
	return role.Rights(ctx, a.roles, u.ID)
}

// rightsOf are the permissions of the user with an id.
func (a *app) rightsOf(ctx context.Context, id ulid.ULID) ([]auth.Permission, error) {
	u, err := a.users.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return a.rights(ctx, u)
}

// principal is a user, with what some permissions have in common with the user's own rights and those of everybody.
func (a *app) principal(ctx context.Context, u *user.User, permissions []auth.Permission) (*auth.Principal, error) {
	rights, err := a.rights(ctx, u)
	if err != nil {
		return nil, err
	}
	may := auth.Meet(slices.Concat(rights, auth.Of(u.ID, role.Everybody)), permissions)
	return &auth.Principal{
		Type: user.Schema.Name, ID: u.ID, Name: u.Username, Permissions: may, SecondFactor: u.SecondFactor || a.mustHaveFactor(rights),
	}, nil
}

// mustHaveFactor reports whether somebody with some permissions has to have a second factor.
func (a *app) mustHaveFactor(rights []auth.Permission) bool {
	required := authSecondFactorRequired.In(a.config)
	_, less := auth.Missing(rights, auth.Everything)
	return required == everyone || required == administrators && !less
}
