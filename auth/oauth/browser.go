package oauth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"reeve/auth"
	"reeve/auth/factor"
	"reeve/resource"
	"reeve/resource/session"
	"reeve/resource/user"
)

// browserLifetime is how long a browser stays signed in.
const browserLifetime = 12 * time.Hour

// The cookies of a browser: that of who is signed in, and that of who has given the right password so far.
const (
	browserCookie = "reeve"
	pendingCookie = "reeve-pending"
)

// cookieName is bound to the host, and to https, wherever that is served.
func (s *Server) cookieName(name string) string {
	if s.secure() {
		return "__Host-" + name
	}
	return name
}

func (s *Server) secure() bool { return strings.HasPrefix(s.config.Issuer, "https:") }

// setCookie gives the browser a cookie.
func (v *visit) setCookie(name, token string, lifetime time.Duration) {
	http.SetCookie(v.w, &http.Cookie{
		Name: v.cookieName(name), Value: token, Path: "/", MaxAge: int(lifetime.Seconds()),
		Secure: v.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// dropCookie takes a cookie away.
func (v *visit) dropCookie(name string) { v.setCookie(name, "", -time.Second) }

// cookie is the token in a cookie of the browser; empty if there is none of the kind.
func (s *Server) cookie(r *http.Request, name, kind string) string {
	cookie, err := r.Cookie(s.cookieName(name))
	if err != nil {
		return "" // there is none
	}
	if prefix, ok := auth.CheckToken(cookie.Value); !ok || prefix != kind {
		return ""
	}
	return cookie.Value
}

// findBrowser is the browser that sends a request, and who has signed in there; nil if nobody has, or may no longer.
func (s *Server) findBrowser(r *http.Request) (*Browser, *auth.Principal, error) {
	token := s.cookie(r, browserCookie, auth.BrowserToken)
	if token == "" {
		return nil, nil, nil
	}
	b, err := resource.Only(r.Context(), s.config.Browsers.List, "hash", hashed(token))
	if err != nil || b == nil || !s.config.Clock().Before(b.ExpiresAt) {
		return nil, nil, err
	}
	var who *auth.Principal
	if err = s.goesOn(r.Context(), b.Session); err == nil {
		who, err = s.subject(r.Context(), b.User, ulid.ULID{}, b.Session, []string{auth.AdminScope})
	}
	if errors.Is(err, auth.ErrInvalid) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if who.SecondFactor && len(b.Methods) < 2 { // there was no need for one when they signed in
		return nil, nil, nil
	}
	if s.config.Seen != nil {
		s.config.Seen(r.Context(), who)
	}
	return b, who, nil
}

// signedIn sees to it that somebody is signed in. Else, or if the form that was sent is about that, it answers the
// request and reports false. The page is what the sign-in page shows.
func (v *visit) signedIn(again bool, p page) (bool, error) {
	v.again = again
	switch {
	case v.do() == "sign-in":
		return false, v.signIn(p)
	case v.do() == "sign-out":
		if err := v.signOut(v.r.Context()); err != nil {
			return false, err
		}
		v.dropCookie(browserCookie)
		v.dropCookie(pendingCookie)
		v.redirect("?" + v.r.URL.RawQuery)
		return false, nil
	case v.pending != nil && (v.browser == nil || again):
		return false, v.second(p)
	case v.do() != "" && (v.browser == nil || again):
		p.Problem = "That took too long. Sign in again."
		return false, v.askPassword(http.StatusUnauthorized, p)
	case v.browser == nil || again:
		return false, v.askPassword(http.StatusOK, p)
	}
	return true, nil
}

// askPassword shows the sign-in page.
func (v *visit) askPassword(status int, p page) error {
	v.user, p.Title = nil, "Sign in"
	return v.show(status, "sign-in", p)
}

// signIn takes a name and a password. It signs in whose they are, unless a second factor is still to come, and goes on
// with the request.
func (v *visit) signIn(p page) error {
	ctx, username := v.r.Context(), v.r.PostForm.Get("username")
	who, hash, err := v.config.SignIn(ctx, username, v.r.PostForm.Get("password"))
	if err == nil && who.SecondFactor {
		return v.await(who, hashed(hash))
	}
	if err == nil {
		err = v.enter(who, hashed(hash), func(context.Context) ([]string, error) { return []string{factor.Password}, nil })
	}
	if errors.Is(err, auth.ErrInvalid) {
		p.Username, p.Problem = username, "The username or the password is wrong."
		return v.askPassword(http.StatusUnauthorized, p)
	}
	if err != nil {
		return err
	}
	v.redirect(v.onward())
	return nil
}

// enter signs somebody in, in the transaction in which it is proven who they are: prove returns by which methods. The
// password that they gave, see [Pending], must still be theirs, or it returns auth.ErrInvalid.
func (v *visit) enter(who *auth.Principal, password string, prove func(ctx context.Context) (methods []string, err error)) error {
	token, now := auth.NewToken(auth.BrowserToken), resource.Cut(v.config.Clock())
	err := v.config.Database.Transact(v.r.Context(), func(ctx context.Context) error {
		// First the user, as whoever sets another password, lest two wait for one another, or the session be missed.
		_, err := v.config.Users.Update(ctx, who.ID, func(u *user.User) error {
			if hashed(u.PasswordHash) != password {
				return auth.ErrInvalid
			}
			return nil
		})
		if resource.Is(err, resource.NotFound) {
			err = auth.ErrInvalid
		}
		if err != nil {
			return err
		}
		methods, err := prove(ctx)
		if err != nil {
			return err
		}
		if err := v.signOut(ctx); err != nil {
			return err
		}
		id, err := v.config.NewSession(ctx, who, ulid.ULID{}, who.ID)
		if err != nil {
			return err
		}
		b := &Browser{
			ID: ulid.Make(), Hash: hashed(token), User: who.ID, Session: id, Methods: methods, Challenge: factor.NewChallenge(),
			CreatedAt: now, ExpiresAt: now.Add(browserLifetime),
		}
		if err := v.config.Browsers.Create(ctx, b); err != nil {
			return err
		}
		return v.record(ctx, who, "sign-in", session.Schema.Name, id)
	})
	if err != nil {
		return err
	}
	v.setCookie(browserCookie, token, browserLifetime)
	v.dropCookie(pendingCookie)
	return nil
}

// onward is where the browser goes on once somebody has signed in: to the same request, but for what the client asked for
// and has been done, lest it be asked for again and again.
func (v *visit) onward() string {
	if !v.again {
		return "?" + v.r.URL.RawQuery
	}
	query := v.r.URL.Query()
	prompt := slices.DeleteFunc(strings.Fields(query.Get("prompt")), func(p string) bool { return p == oidc.PromptLogin || p == oidc.PromptSelectAccount })
	if query.Del("prompt"); len(prompt) > 0 {
		query.Set("prompt", strings.Join(prompt, " "))
	}
	query.Del("max_age")
	return "?" + query.Encode()
}

// signOut ends the session of the browser, and the sign-in that is pending there, if there is one.
func (v *visit) signOut(ctx context.Context) error {
	return v.config.Database.Transact(ctx, func(ctx context.Context) error {
		if v.pending != nil {
			if err := v.config.Pending.Delete(ctx, v.pending.ID); err != nil && !resource.Is(err, resource.NotFound) {
				return err
			}
		}
		if v.browser == nil {
			return nil
		}
		err := v.config.Browsers.Delete(ctx, v.browser.ID)
		if err != nil && !resource.Is(err, resource.NotFound) { // another tab was faster
			return err
		}
		return v.config.EndSession(ctx, v.browser.Session)
	})
}
