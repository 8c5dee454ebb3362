package httpapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/httpapi"
	"reeve/resource/resourcetest"
	"reeve/storage/storagetest"
)

// user is what the seed shows of a user.
type user struct {
	ID              ulid.ULID
	Username        string
	CreatedAt       time.Time
	LockedAt        time.Time
	CanRequestAdmin bool
}

var users = resource.Schema[user]{
	Name: "user", Plural: "users", Doc: "An account.",
	ID: func(u *user) *ulid.ULID { return &u.ID },
	Attributes: []resource.Attribute[user]{
		resource.Attr("username", func(u *user) *string { return &u.Username }).Required().Unique().Fixed().
			Filter(resource.Eq, resource.Contains),
		resource.Attr("created_at", func(u *user) *time.Time { return &u.CreatedAt }).Created().
			Filter(resource.Less, resource.Greater),
		resource.Attr("locked_at", func(u *user) *time.Time { return &u.LockedAt }).Nullable().ReadOnly(),
		resource.Attr("can_request_admin", func(u *user) *bool { return &u.CanRequestAdmin }).Filter(resource.Eq),
	},
	Sorts: [][]string{{"username"}, {"locked_at", "-username"}},
	Filters: []resource.Filter{{Name: "status", Values: map[string]resource.Condition{
		"active": resource.IsNull("locked_at"), "locked": resource.NotNull("locked_at"),
	}}},
}

// group has relationships of both forms, and what is written or shown only once.
type group struct {
	ID        ulid.ULID
	Key       string
	FirstName string
	Size      int64
	Note      *string
	Owner     ulid.ULID
	Ticket    string
}

var groups = resource.Schema[group]{
	Name: "group", Plural: "groups", Doc: "Users together.",
	ID: func(g *group) *ulid.ULID { return &g.ID },
	Attributes: []resource.Attribute[group]{
		resource.Attr("key", func(g *group) *string { return &g.Key }).Required().Unique(),
		resource.Attr("first_name", func(g *group) *string { return &g.FirstName }).Unique().Nullable(),
		resource.Attr("size", func(g *group) *int64 { return &g.Size }),
		resource.Attr("note", func(g *group) **string { return &g.Note }),
		resource.Once("ticket", func(g *group) *string { return &g.Ticket }),
	},
	References: []resource.Reference[group]{
		resource.ToOne("owner", "user", func(g *group) *ulid.ULID { return &g.Owner }).Nullable(),
		resource.ToOne("founder", "user", func(g *group) *ulid.ULID { return &g.Owner }).Nullable().ReadOnly(),
		resource.ToMany[group]("members", "user"),
	},
}

// server is a singleton.
type server struct {
	ID   ulid.ULID
	Name string
}

var servers = resource.Schema[server]{
	Name: "server", Plural: "servers", Doc: "This server.",
	ID: func(s *server) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[server]{
		resource.Attr("name", func(s *server) *string { return &s.Name }),
	},
}

// fault is a type that only fails.
type fault struct{ ID ulid.ULID }

var faults = resource.Schema[fault]{
	Name: "fault", Plural: "faults", Doc: "What goes wrong.", ID: func(f *fault) *ulid.ULID { return &f.ID },
}

const secret = "the password of the database"

// uncounted is the size of the pages of groups that have no total.
const uncounted = 77

func failing(id ulid.ULID) error {
	switch id[15] {
	case 0:
		panic(secret)
	case 1:
		return errors.New(secret)
	case 2:
		return resource.Errorf(resource.Unavailable, "try again")
	}
	panic(http.ErrAbortHandler)
}

// estate is a registry of toy types over stores in memory.
type estate struct {
	resourcetest.Client
	users    *storagetest.Memory[user]
	groups   *storagetest.Memory[group]
	registry resource.Registry
	events   []*resource.Event
	log      strings.Builder
	now      time.Time
}

func (e *estate) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	return fn(ctx)
}

func (e *estate) Snapshot(ctx context.Context, fn func(ctx context.Context) error) error {
	return fn(ctx)
}

func (e *estate) Lock(context.Context, string) error { return nil }

func (e *estate) Record(_ context.Context, events ...*resource.Event) error {
	e.events = append(e.events, events...)
	return nil
}

type callArgs struct {
	Text  string
	Times int64
}

var callArguments = []resource.Attribute[callArgs]{
	resource.Attr("text", func(a *callArgs) *string { return &a.Text }).Required(),
	resource.Attr("times", func(a *callArgs) *int64 { return &a.Times }),
}

func newEstate(t testing.TB, prefix string) *estate {
	t.Helper()
	e := &estate{
		users: storagetest.NewMemory(users), groups: storagetest.NewMemory(groups),
		now: time.Date(2024, 8, 1, 12, 0, 0, 0, time.UTC),
	}
	e.groups.Relate("members", e.users)
	theServer := server{ID: resource.NamedID("server", ""), Name: "estate"}
	err := e.registry.Register(
		resource.Type[user]{
			Schema: users, List: e.users.List, Get: e.users.Get, Create: e.users.Create, Update: e.users.Update, Delete: e.users.Delete,
			Lookups: []string{"username"},
			Actions: []resource.Action[user]{
				resource.Change("lock", e.users.Update, func(tx *resource.Tx, u *user) error {
					if u.LockedAt.IsZero() {
						u.LockedAt = tx.Now
					}
					return nil
				}),
				resource.Change("unlock", e.users.Update, func(tx *resource.Tx, u *user) error {
					if u.LockedAt.IsZero() {
						return resource.Errorf(resource.Conflict, "the user is not locked").At("attributes", "locked_at")
					}
					u.LockedAt = time.Time{}
					return nil
				}),
				resource.Run[user]("call", callArguments, func(_ *resource.Tx, _ ulid.ULID, a *callArgs) (resource.Meta, error) {
					return resource.Meta{"said": a.Text, "times": a.Times}, nil
				}).Answering(resource.AnswersMeta),
				resource.Run[user]("forget", nil, func(*resource.Tx, ulid.ULID, *resource.None) (resource.Meta, error) {
					return nil, nil
				}).Answering(resource.AnswersNothing),
				resource.CollectionAction[user]("call-all", callArguments, func(_ *resource.Tx, a *callArgs) (resource.Meta, error) {
					return resource.Meta{"said": a.Text}, nil
				}),
			},
		},
		resource.Type[group]{
			Schema: groups, Get: e.groups.Get, Update: e.groups.Update, Delete: e.groups.Delete,
			List: func(ctx context.Context, q resource.Query) (resource.Page[group], error) {
				page, err := e.groups.List(ctx, q)
				if q.Window.Size == uncounted {
					page.Omitted = "too many to count"
				}
				return page, err
			},
			Create: func(ctx context.Context, rows ...*group) error {
				for _, row := range rows {
					row.Ticket = "ticket-" + row.Key
				}
				return e.groups.Create(ctx, rows...)
			},
			Lookups:  []string{"key", "first_name"},
			Linkages: map[string]resource.Linkage{"members": e.groups.Linkage("members")},
		},
		resource.Type[server]{
			Schema: servers, Singleton: true,
			Get: func(context.Context, ulid.ULID) (*server, error) { copied := theServer; return &copied, nil },
			Update: func(_ context.Context, _ ulid.ULID, change func(*server) error) (*server, error) {
				copied := theServer
				if err := change(&copied); err != nil {
					return nil, err
				}
				theServer = copied
				return &copied, nil
			},
			Actions: []resource.Action[server]{
				resource.Run[server]("restart", nil, func(*resource.Tx, ulid.ULID, *resource.None) (resource.Meta, error) {
					return nil, nil
				}).Answering(resource.AnswersNothing),
			},
		},
		resource.Type[fault]{
			Schema: faults, Get: func(_ context.Context, id ulid.ULID) (*fault, error) { return nil, failing(id) },
			Actions: []resource.Action[fault]{
				resource.Run[fault]("mend", nil, func(_ *resource.Tx, id ulid.ULID, _ *resource.None) (resource.Meta, error) {
					return nil, failing(id)
				}),
			},
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	e.Client = resourcetest.Client{
		Header: map[string]string{"Authorization": "Bearer admin"},
		Handler: httpapi.New(httpapi.Config{
			Engine:       resource.NewEngine(&e.registry, e, func() time.Time { return e.now }),
			Authenticate: authenticate,
			Challenges:   func() []string { return []string{`Bearer realm="reeve"`, `Basic realm="reeve"`} },
			Prefix:       prefix,
			Log:          slog.New(slog.NewTextHandler(&e.log, nil)),
		}),
	}
	return e
}

// authenticate knows the tokens admin, guest (who may do nothing) and some that fail.
func authenticate(r *http.Request) (*auth.Principal, error) {
	switch r.Header.Get("Authorization") {
	case "Bearer admin":
		return &auth.Principal{
			Type: "user", Name: "quentin", Permissions: []auth.Permission{{Type: auth.Any, Verb: auth.Any}},
		}, nil
	case "Bearer guest":
		return &auth.Principal{Type: "user", Name: "guest"}, nil
	case "Bearer expired":
		return nil, resource.Errorf(resource.Unauthenticated, "the token has expired")
	case "Bearer many":
		return nil, resource.Errorf(resource.TooManyRequests, "wait")
	case "Bearer broken":
		return nil, errors.New(secret)
	}
	return nil, nil
}

// add creates users, with ids that ascend in the order of their names.
func (e *estate) add(t testing.TB, names ...string) []ulid.ULID {
	t.Helper()
	var ids []ulid.ULID
	for _, name := range names {
		u := &user{ID: ulid.Make(), Username: name, CreatedAt: e.now}
		if err := e.users.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, u.ID)
	}
	return ids
}
