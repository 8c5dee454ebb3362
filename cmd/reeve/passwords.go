package main

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/user"
)

// recipient are the rights of a user who is to get a link to set a password. The user is held, lest they are deactivated
// meanwhile, or get another link.
func (a *app) recipient(ctx context.Context, id ulid.ULID) ([]auth.Permission, error) {
	u, err := a.users.Update(ctx, id, func(*user.User) error { return nil })
	if err != nil {
		return nil, err
	}
	if !u.DeactivatedAt.IsZero() {
		return nil, resource.Errorf(resource.Conflict, "the user is deactivated").At("relationships", "user")
	}
	if err := a.passwordHere(ctx, id); err != nil {
		return nil, err
	}
	return a.rights(ctx, u)
}

// setPassword prepares to set a user's password as they themselves, whatever else they may do.
func (a *app) setPassword(ctx context.Context, u *user.User, password string) (set func(ctx context.Context) error, err error) {
	prepared, err := a.engine.Prepare(ctx, resource.Operation{
		Verb: "set-password", Type: user.Schema.Name, ID: u.ID, Request: auth.OriginOf(ctx).Request,
		Body: resource.Body{Attributes: map[string]any{"password": password}},
		Principal: &auth.Principal{Type: user.Schema.Name, ID: u.ID, Name: u.Username, Permissions: []auth.Permission{
			{Type: user.Schema.Name, Verb: "set-password", Target: user.Schema.Plural + "/" + u.ID.String()}}},
	})
	return func(ctx context.Context) error {
		_, err := prepared.Do(ctx)
		return err
	}, err
}
