package oauth

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/auth/factor"
	"reeve/resource"
	"reeve/resource/authenticator"
	"reeve/resource/user"
)

// pendingLifetime is how long somebody may take from the password to the second factor.
const pendingLifetime = 5 * time.Minute

// issuerName is who apps and passkeys say that they are for.
const issuerName = "Reeve"

// await has who has given the right password, see [Pending], go on to the second factor.
func (v *visit) await(who *auth.Principal, password string) error {
	token, now := auth.NewToken(auth.PendingToken), resource.Cut(v.config.Clock())
	err := v.config.Pending.Create(v.r.Context(), &Pending{
		ID: ulid.Make(), Hash: hashed(token), User: who.ID, Password: password, Challenge: factor.NewChallenge(),
		CreatedAt: now, ExpiresAt: now.Add(pendingLifetime),
	})
	if err != nil {
		return err
	}
	v.setCookie(pendingCookie, token, pendingLifetime)
	v.redirect("?" + v.r.URL.RawQuery)
	return nil
}

// findPending is the sign-in that is pending in the browser that sends a request, and whose it is; nil if there is none, or
// it has expired, or the password is another one since, or the user may no longer sign in.
func (s *Server) findPending(r *http.Request) (*Pending, *auth.Principal, error) {
	token := s.cookie(r, pendingCookie, auth.PendingToken)
	if token == "" {
		return nil, nil, nil
	}
	ctx := r.Context()
	p, err := resource.Only(ctx, s.config.Pending.List, "hash", hashed(token))
	if err != nil || p == nil || !s.config.Clock().Before(p.ExpiresAt) {
		return nil, nil, err
	}
	u, err := s.config.Users.Get(ctx, p.User)
	if resource.Is(err, resource.NotFound) || err == nil && hashed(u.PasswordHash) != p.Password {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	who, err := s.config.Subject(ctx, p.User, []string{auth.AdminScope})
	if errors.Is(err, auth.ErrInvalid) {
		return nil, nil, nil
	}
	return p, who, err
}

// second asks for the second factor of who has given the right password, or has them set one up, and signs them in.
func (v *visit) second(p page) error {
	ctx, who := v.r.Context(), v.pendingUser
	held, err := v.config.Factors.Of(ctx, who.ID)
	if err != nil {
		return err
	}
	v.user = who
	if len(held) == 0 {
		return v.setUp(p, held)
	}
	if v.do() != "code" && v.do() != "passkey" {
		return v.askFactor(http.StatusOK, p, held)
	}
	giveBack, err := v.config.Limiter.Reserve(ctx, auth.SecondFactorAttempt, who.ID.String(), who.ID)
	if err != nil {
		return err
	}
	err = v.enter(who, v.pending.Password, func(ctx context.Context) ([]string, error) {
		method, err := v.take(ctx)
		if err != nil {
			return nil, err
		}
		return []string{factor.Password, method}, v.endPending(ctx)
	})
	if errors.Is(err, factor.ErrWrong) {
		if err := v.record(ctx, who, "second-factor-failed", user.Schema.Name, who.ID); err != nil {
			return err
		}
		p.Problem = "That is not right, or has been used before. Try again."
		return v.askFactor(http.StatusUnauthorized, p, held)
	}
	giveBack()
	if err != nil && !overtaken(err) {
		return err
	}
	v.redirect(v.onward())
	return nil
}

// overtaken reports whether a pending sign-in has ended meanwhile: another tab of the browser has signed in by it, or the
// password is another one. To ask again finds out which.
func overtaken(err error) bool { return errors.Is(err, errUsed) || errors.Is(err, auth.ErrInvalid) }

// take takes the second factor that was sent.
func (v *visit) take(ctx context.Context) (method string, err error) {
	switch {
	case v.do() == "code":
		return factor.OneTime, v.config.Factors.TakeCode(ctx, v.user, v.r.PostForm.Get("code"))
	case v.site == nil:
		return "", factor.ErrWrong
	}
	return v.config.Factors.TakePasskey(ctx, v.user, v.site, v.challenge(), v.r.PostForm.Get("credential"))
}

// endPending ends the pending sign-in. It returns errUsed if it has ended.
func (v *visit) endPending(ctx context.Context) error {
	err := v.config.Pending.Delete(ctx, v.pending.ID)
	if resource.Is(err, resource.NotFound) {
		return errUsed
	}
	return err
}

// challenge is what the next passkey has to sign.
func (v *visit) challenge() string {
	if v.pending != nil {
		return v.pending.Challenge
	}
	return v.browser.Challenge
}

// askFactor shows the page that asks for a second factor.
func (v *visit) askFactor(status int, p page, held []authenticator.Authenticator) (err error) {
	p.Title = "One more step"
	if v.site != nil {
		if p.Passkey, err = v.site.Request(v.user, held, v.challenge()); err != nil {
			return err
		}
	}
	return v.show(status, "factor", p)
}

// maxFactorName is how many characters the name of an authenticator may have.
const maxFactorName = 100

// setUp has somebody set up an authenticator, and shows the recovery codes that come with the first one. It signs in whose
// sign-in is pending.
func (v *visit) setUp(p page, held []authenticator.Authenticator) error {
	ctx, form := v.r.Context(), v.r.PostForm
	p.Secret, p.Title = form.Get("secret"), "Set up a second factor"
	if v.do() != "add-app" && v.do() != "add-passkey" {
		return v.askSetUp(http.StatusOK, p, held)
	}
	if name := form.Get("name"); name == "" || utf8.RuneCountInString(name) > maxFactorName {
		p.Problem = "Give it a name, of at most 100 characters."
		return v.askSetUp(http.StatusUnprocessableEntity, p, held)
	}
	var codes []string
	add := func(ctx context.Context) (methods []string, err error) {
		method := factor.OneTime
		switch {
		case v.do() == "add-app":
			codes, err = v.config.Factors.AddApp(ctx, v.user, form.Get("name"), form.Get("secret"), form.Get("code"))
		case v.site == nil:
			err = factor.ErrWrong
		default:
			method, codes, err = v.config.Factors.AddPasskey(ctx, v.user, v.site, v.challenge(), form.Get("name"), form.Get("credential"))
		}
		return []string{factor.Password, method}, err
	}
	var err error
	if v.pending != nil {
		err = v.enter(v.user, v.pending.Password, func(ctx context.Context) ([]string, error) {
			methods, err := add(ctx)
			if err != nil {
				return nil, err
			}
			return methods, v.endPending(ctx)
		})
	} else {
		err = v.config.Database.Transact(ctx, func(ctx context.Context) error {
			methods, err := add(ctx)
			if err != nil {
				return err
			}
			_, err = v.config.Browsers.Update(ctx, v.browser.ID, func(b *Browser) error {
				b.Challenge = factor.NewChallenge()
				if len(b.Methods) < 2 {
					b.Methods = methods
				}
				return nil
			})
			return err
		})
	}
	switch {
	case errors.Is(err, factor.ErrWrong):
		p.Problem = "That did not work. Is the clock of your device right? Try again."
		return v.askSetUp(http.StatusUnprocessableEntity, p, held)
	case errors.Is(err, factor.ErrFull):
		p.Problem = "You have as many as you can have. Remove one first."
		return v.askSetUp(http.StatusConflict, p, held)
	case err != nil && !overtaken(err):
		return err
	}
	onward := p.Back
	if onward == "" {
		onward = v.onward()
	}
	if codes == nil || err != nil {
		v.redirect(onward)
		return nil
	}
	return v.showCodes(codes, onward)
}

// askSetUp shows the page where an authenticator is set up.
func (v *visit) askSetUp(status int, p page, held []authenticator.Authenticator) (err error) {
	if p.Secret == "" {
		p.Secret = factor.NewSecret()
	}
	if p.QR, err = factor.QR(issuerName, v.user.Name, p.Secret); err != nil {
		return invalid(http.StatusBadRequest, "the secret of the app is malformed; begin again")
	}
	if v.site != nil {
		if p.Passkey, err = v.site.Creation(v.user, held, v.challenge()); err != nil {
			return err
		}
	}
	return v.show(status, "set-up", p)
}

// showCodes shows recovery codes, this once.
func (v *visit) showCodes(codes []string, onward string) error {
	v.user = nil // whose cookie may be another one from now on: there is no form
	return v.show(http.StatusOK, "codes", page{Title: "Your recovery codes", Codes: codes, Onward: onward})
}
