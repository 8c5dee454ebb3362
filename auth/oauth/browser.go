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
	"reeve/resource"
	"reeve/resource/session"
)

// browserLifetime is how long a browser stays signed in.
const browserLifetime = 12 * time.Hour

// cookieName is bound to the host, and to https, wherever that is served.
func (s *Server) cookieName() string {
	if s.secure() {
		return "__Host-reeve"
	}
	return "reeve"
}

func (s *Server) secure() bool { return strings.HasPrefix(s.config.Issuer, "https:") }

// setCookie gives the browser its cookie, or takes it away.
func (v *visit) setCookie(token string) {
	cookie := &http.Cookie{
		Name: v.cookieName(), Value: token, Path: "/", MaxAge: int(browserLifetime.Seconds()),
		Secure: v.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if token == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(v.w, cookie)
}

// findBrowser is the browser that sends a request, and who has signed in there; nil if nobody has, or may no longer.
func (s *Server) findBrowser(r *http.Request) (*Browser, *auth.Principal, error) {
	cookie, err := r.Cookie(s.cookieName())
	if err != nil {
		return nil, nil, nil // there is none
	}
	if prefix, ok := auth.CheckToken(cookie.Value); !ok || prefix != auth.BrowserToken {
		return nil, nil, nil
	}
	b, err := resource.Only(r.Context(), s.config.Browsers.List, "hash", hashed(cookie.Value))
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
	if s.config.Seen != nil {
		s.config.Seen(r.Context(), who)
	}
	return b, who, nil
}

// signedIn sees to it that somebody is signed in. Else, or if the form that was sent is about that, it answers the
// request and reports false. The page is what the sign-in page shows.
func (v *visit) signedIn(again bool, p page) (bool, error) {
	p.Title = "Sign in"
	switch {
	case v.do() == "sign-in":
		return false, v.signIn(p)
	case v.browser == nil || again:
		v.user = nil
		return false, v.show(http.StatusOK, "sign-in", p)
	case v.do() == "sign-out":
		if err := v.signOut(v.r.Context()); err != nil {
			return false, err
		}
		v.setCookie("")
		v.redirect("?" + v.r.URL.RawQuery)
		return false, nil
	}
	return true, nil
}

// signIn signs in whose name and password were sent, and goes on with the request.
func (v *visit) signIn(p page) error {
	ctx, username := v.r.Context(), v.r.PostForm.Get("username")
	who, err := v.config.SignIn(ctx, username, v.r.PostForm.Get("password"))
	if errors.Is(err, auth.ErrInvalid) {
		v.user = nil
		p.Username, p.Problem = username, "The username or the password is wrong."
		return v.show(http.StatusUnauthorized, "sign-in", p)
	}
	if err != nil {
		return err
	}
	token, now := auth.NewToken(auth.BrowserToken), resource.Cut(v.config.Clock())
	err = v.config.Database.Transact(ctx, func(ctx context.Context) error {
		if err := v.signOut(ctx); err != nil {
			return err
		}
		id, err := v.config.NewSession(ctx, who, ulid.ULID{}, who.ID)
		if err != nil {
			return err
		}
		b := &Browser{ID: ulid.Make(), Hash: hashed(token), User: who.ID, Session: id, CreatedAt: now, ExpiresAt: now.Add(browserLifetime)}
		if err := v.config.Browsers.Create(ctx, b); err != nil {
			return err
		}
		return v.record(ctx, who, "sign-in", session.Schema.Name, id)
	})
	if err != nil {
		return err
	}
	v.setCookie(token)
	// What the client asked for has been done: it would be asked for again and again.
	query := v.r.URL.Query()
	prompt := slices.DeleteFunc(strings.Fields(query.Get("prompt")), func(p string) bool { return p == oidc.PromptLogin || p == oidc.PromptSelectAccount })
	if query.Del("prompt"); len(prompt) > 0 {
		query.Set("prompt", strings.Join(prompt, " "))
	}
	query.Del("max_age")
	v.redirect("?" + query.Encode())
	return nil
}

// signOut ends the session of the browser, if there is one.
func (v *visit) signOut(ctx context.Context) error {
	if v.browser == nil {
		return nil
	}
	return v.config.Database.Transact(ctx, func(ctx context.Context) error {
		err := v.config.Browsers.Delete(ctx, v.browser.ID)
		if err != nil && !resource.Is(err, resource.NotFound) { // another tab was faster
			return err
		}
		return v.config.EndSession(ctx, v.browser.Session)
	})
}
