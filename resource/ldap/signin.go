package ldap

import (
	"context"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/ldap/directory"
)

// Verify is an [auth.ElsewhereFunc]: whoever signs in first by a name that nobody has here gets an account. A user of the
// directory keeps the name that they have here, whatever they are called there later.
func (s *Syncer) Verify(ctx context.Context, username, password string) error {
	name := directory.Name{Username: username}
	if username != "" {
		users, err := s.config.Users(ctx, resource.Equal("username", username))
		if err != nil {
			return err
		}
		if len(users) > 0 {
			account, err := s.account(ctx, users[0].ID)
			if err != nil {
				return err
			}
			if account == nil {
				return auth.ErrInvalid
			}
			name = directory.Name{ID: account.Entry}
		}
	}
	mappings := s.config.Mappings()
	person, err := s.config.Directory.Verify(ctx, name, password, dns(mappings))
	switch {
	case errors.Is(err, directory.ErrPassword):
		return auth.ErrInvalid
	case errors.Is(err, directory.ErrUnreachable):
		return resource.Errorf(resource.Unavailable, "who signs in like this cannot be told: no server of the directory answers")
	case errors.Is(err, directory.ErrRefused): // the log says what
		return resource.Errorf(resource.Unavailable, "who signs in like this cannot be told: the directory does not say")
	case err != nil:
		return err
	case name.ID == "" && person.Username != username: // servers compare names in their own way, attempts are counted by what is given
		return auth.ErrInvalid
	case person.ID == "": // everybody would be one and the same
		s.config.Log.WarnContext(ctx, "somebody in the directory has no auth.ldap.id_attribute", "dn", person.DN)
		return resource.Errorf(resource.Unavailable, "who signs in like this cannot be told: the directory does not say")
	}
	// The trail says what the directory does as it is the program that does it: from nobody's address.
	ctx = auth.WithOrigin(ctx, auth.Origin{Request: auth.OriginOf(ctx).Request})
	b := &batch{Syncer: s, mappings: mappings, now: resource.Cut(time.Now()), stay: map[ulid.ULID]string{}}
	for range maxTries {
		err = s.config.Database.Transact(ctx, func(ctx context.Context) error {
			b.notes = nil
			return b.apply(ctx, []directory.Person{*person})
		})
		if err == nil || !b.again(err) {
			break
		}
	}
	if err == nil {
		for _, note := range b.notes {
			s.config.Log.WarnContext(ctx, "somebody signs in by the directory", "note", note)
		}
		return nil
	}
	if name.ID != "" { // what they may do is what the last sync said
		s.config.Log.WarnContext(ctx, "a user signs in who is not as the directory says", "dn", person.DN, "error", err)
		return nil
	}
	return err
}

// maxTries is how often what the directory says of somebody is tried at a sign-in. After each but the first, something more
// is left out, or another node was faster with the same person.
const maxTries = 20
