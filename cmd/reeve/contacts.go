package main

import (
	"context"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/contact"
	"reeve/resource/group"
	"reeve/resource/module"
)

// contactsModule is the module contacts.
func (a *app) contactsModule() module.Module {
	return module.Module{
		Name: "contacts", Doc: "Rosters: who knows whom, by hand or as members of the same group.",
		Types: []resource.Declaration{contact.Type(a.contacts, memberships{a})},
		Run: func(ctx context.Context) error {
			a.database.Follow(ctx, func(ctx context.Context) error { return group.Settle(ctx, a.database, a.engine, a.waiting) })
			return nil
		},
	}
}

// memberships is what contacts and rooms ask about groups.
type memberships struct{ *app }

// maxMemberships is how many groups of one user are asked for.
const maxMemberships = 10_000

// Of are the groups that each of some users is a member of.
func (m memberships) Of(ctx context.Context, users ...ulid.ULID) (map[ulid.ULID][]contact.Group, error) {
	page, err := m.groups.List(ctx, resource.Query{
		Of:     &resource.Relation{Name: "members", To: users},
		Window: pagination.First(maxMemberships), Count: pagination.CountNone, Fields: []string{"name"},
	})
	of := map[ulid.ULID][]contact.Group{}
	for i, user := range page.Of.Rows {
		of[user] = append(of[user], contact.Group{ID: page.Rows[i].ID, Name: page.Rows[i].Name})
	}
	return of, err
}

// Usernames are those of users.
func (m memberships) Usernames(ctx context.Context, users []ulid.ULID) ([]string, error) {
	some := make(resource.Any, len(users))
	for i, id := range users {
		some[i] = resource.Equal("id", id)
	}
	page, err := m.users.List(ctx, resource.Query{Where: some, Window: pagination.First(len(users)), Count: pagination.CountNone, Fields: []string{"username"}})
	names := make([]string, len(page.Rows))
	for i := range page.Rows {
		names[i] = page.Rows[i].Username
	}
	return names, err
}

// Members are the users who are members of a group.
func (m memberships) Members(ctx context.Context, group ulid.ULID) ([]ulid.ULID, error) {
	linkage, window := m.groups.Linkage("members"), pagination.First(pagination.MaxSize)
	var members []ulid.ULID
	for {
		page, err := linkage.List(ctx, group, resource.Query{Window: window, Count: pagination.CountNone})
		if err != nil {
			return nil, err
		}
		members = append(members, page.Rows...)
		if !page.Next {
			return members, nil
		}
		window = window.Next(pagination.At(members[len(members)-1]))
	}
}
