package main

import (
	"context"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/httpapi"
	"reeve/resource/module"
	"reeve/resource/registration"
	"reeve/resource/user"
)

// newRegistration is the module registration. What has begun lapses whether or not it is loaded.
func (a *app) newRegistration(c *configuration, tokens resource.Store[registration.Token], pending resource.Store[registration.Pending]) module.Module {
	a.registrar = registration.New(registration.Config{
		Database: a.database, Tokens: tokens, Pending: pending, Account: a.register, Limiter: a.limiter,
		Enabled:       func() bool { return registrationEnabled.In(c) },
		TokenRequired: func() bool { return registrationTokenRequired.In(c) },
		Clock:         time.Now,
	})
	route := func(path string, status int, step func(context.Context, resource.Body) (resource.Meta, error)) module.Route {
		return module.Route{Resource: serveUserAPI, Path: path, Handler: configuredOrigins(httpapi.Post(status, step), c)}
	}
	return module.Module{
		Name: "registration", Doc: "People register accounts for themselves, with tokens that administrators give them.",
		Types: []resource.Declaration{registration.Type(tokens)},
		Routes: []module.Route{
			route("/api/register", http.StatusOK, a.registrar.Begin),
			route("/api/register/complete", http.StatusCreated, a.registrar.Complete),
		},
	}
}

// register prepares the account of somebody who registers: they make it themselves.
func (a *app) register(ctx context.Context, who *auth.Principal, password string) (create func(ctx context.Context) error, err error) {
	as := *who
	as.Permissions = []auth.Permission{{Type: user.Schema.Name, Verb: resource.Create}}
	origin := auth.OriginOf(ctx)
	attributes := map[string]any{"username": who.Name, "password": password}
	if from := origin.Address.Addr(); from.IsValid() {
		attributes["registered_ip"] = from.WithZone("").String()
	}
	prepared, err := a.engine.Prepare(ctx, resource.Operation{
		Verb: resource.Create, Type: user.Schema.Name, ID: who.ID, Request: origin.Request, Principal: &as, Body: resource.Body{Attributes: attributes},
	})
	return func(ctx context.Context) error {
		_, err := prepared.Do(ctx)
		return err
	}, err
}

// joinDefaultGroups has a new user join the groups of users.default_groups. It is the server that wants it, not who makes
// the user and may not be allowed to.
func (a *app) joinDefaultGroups(tx *resource.Tx, id ulid.ULID) error {
	for _, key := range usersDefaultGroups.In(a.config) {
		g, err := resource.Only(tx, a.groups.List, "key", key)
		if err != nil {
			return err
		}
		if g == nil {
			a.log.WarnContext(tx, "a new user does not join a group that is not there", "setting", "users.default_groups", "group", key, "user", id)
			continue
		}
		op := changeMembers(resource.Link, g.ID, []ulid.ULID{id})[0]
		op.Request, op.Principal = tx.Request, auth.System
		if _, err = a.engine.Do(tx, op); err != nil {
			return err
		}
	}
	return nil
}
