package oauth

import (
	"context"
	"net/http"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/passwordlink"
	"reeve/resource/user"
)

// password serves the page where a user sets a password with a link. To look at it uses nothing up, since programs look at
// the links in letters too.
func (v *visit) password() error {
	v.user = nil // whoever is signed in has nothing to do with it
	ctx := v.r.Context()
	link, u, err := v.findLink(ctx, v.r.URL.Query().Get("token"))
	if err != nil {
		return err
	}
	if link == nil {
		return v.noLink()
	}
	p := page{Title: "Choose a new password", Username: u.Username}
	if link.Purpose == passwordlink.Invitation {
		p.Title = "Choose a password"
	}
	if v.do() == "" {
		return v.show(http.StatusOK, "password", p)
	}
	password := v.r.PostForm.Get("password")
	if password != v.r.PostForm.Get("again") {
		p.Problem = "The two passwords differ."
		return v.show(http.StatusUnprocessableEntity, "password", p)
	}
	switch err := v.useLink(ctx, link, u, password); {
	case resource.Is(err, resource.NotFound):
		return v.noLink()
	case resource.Is(err, resource.Invalid):
		p.Problem = capital(err.Error()) + "."
		return v.show(http.StatusUnprocessableEntity, "password", p)
	case err != nil:
		return err
	}
	return v.show(http.StatusOK, "message", page{
		Title: "Your password is set", Problem: "Wherever you were signed in, you no longer are. Sign in with the new password.", Onward: v.prefix + securityPath,
	})
}

// noLink says that a link does not work: the same, whether it never did or no longer does.
func (v *visit) noLink() error {
	return v.show(http.StatusNotFound, "message", page{
		Title: "This link does not work", Problem: "Links like this work once, for a short time. Ask whoever sent it to you for another one.",
	})
}

// findLink is the link with a token, and its user; nil if it does not work.
func (s *Server) findLink(ctx context.Context, token string) (*passwordlink.Link, *user.User, error) {
	if prefix, ok := auth.CheckToken(token); !ok || prefix != auth.LinkToken {
		return nil, nil, nil
	}
	giveBack, err := s.config.Limiter.Reserve(ctx, auth.LinkAttempt, "", ulid.ULID{})
	if err != nil {
		return nil, nil, err
	}
	link, err := resource.Only(ctx, s.config.Links.List, "hash", passwordlink.Hash(token))
	if err != nil || link == nil || !link.Usable(s.config.Clock()) {
		return nil, nil, err
	}
	u, err := s.config.Users.Get(ctx, link.User)
	if resource.Is(err, resource.NotFound) || err == nil && !u.MaySignIn() {
		return nil, nil, nil
	}
	giveBack()
	return link, u, err
}

// useLink sets the password of a user with a link, which is then used. It is NotFound about a link that somebody else was
// faster with, and Invalid about a password that is not taken.
func (s *Server) useLink(ctx context.Context, link *passwordlink.Link, u *user.User, password string) error {
	set, err := s.config.SetPassword(ctx, u, password)
	if err != nil {
		return err
	}
	gone := resource.Errorf(resource.NotFound, "the link does not work any more")
	now := resource.Cut(s.config.Clock())
	return s.config.Database.Transact(ctx, func(ctx context.Context) error {
		// First the user, as whoever else sets a password, lest two wait for one another.
		_, err := s.config.Users.Update(ctx, u.ID, func(u *user.User) error {
			if !u.MaySignIn() {
				return gone
			}
			return nil
		})
		if err != nil {
			return err
		}
		_, err = s.config.Links.Update(ctx, link.ID, func(link *passwordlink.Link) error {
			if !link.Usable(now) {
				return gone
			}
			link.UsedAt = now
			return nil
		})
		if err != nil {
			return err
		}
		who := &auth.Principal{Type: user.Schema.Name, ID: u.ID, Name: u.Username}
		if err := s.record(ctx, who, "use", passwordlink.Schema.Name, link.ID); err != nil {
			return err
		}
		return set(ctx)
	})
}
