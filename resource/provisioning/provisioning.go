// Package provisioning has resources be as files say: each kind of them in a folder of its own, applied as a whole or not
// at all.
package provisioning

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// Kind is what the files of one folder are about.
type Kind struct {
	Name string // plural: of the folder, and of the list in its files
	Doc  string
	// Type is that of the resources, empty for a kind of which there are none here, so that its files are ignored.
	Type    string
	Key     string   // the attribute by which files name a resource
	Setters []Setter // of members that no update sets
	// Unset meets what is there without anybody having made it so, as a setting of which nothing is stored: what files make
	// of that is theirs to take away. A resource that files create is so anyway.
	Unset []resource.FilterArgument
	// Remove is the verb that takes away what files have made and name no more; empty for [resource.Delete].
	Remove string
	// Whole says that the files of the kind are not read here: each is a resource by its name without the extension, that
	// has the members [MemberLoaded], which is true, and [MemberContent], a digest.
	Whole bool
}

// Setter has an action set a member.
type Setter struct {
	member string
	unseen bool
	with   []string // members that are arguments of the action too
	verbs  []string // that change the member
	// operation is what sets the member to a value: a verb, and its arguments. The error follows the member in a sentence.
	operation func(value any) (verb string, arguments map[string]any, err error)
}

// Switch has one action set a member to true, and another to false.
func Switch(member, on, off string) Setter {
	return Setter{member: member, verbs: []string{on, off}, operation: func(value any) (string, map[string]any, error) {
		switch value {
		case true:
			return on, nil, nil
		case false:
			return off, nil, nil
		}
		return "", nil, fmt.Errorf("must be true or false")
	}}
}

// Argument has an action set a member to what it takes as an argument.
func Argument(member, action, argument string) Setter {
	return Setter{member: member, verbs: []string{action}, operation: func(value any) (string, map[string]any, error) {
		return action, map[string]any{argument: value}, nil
	}}
}

// Again has an action without arguments done when a member is another than it was.
func Again(member, action string) Setter {
	return Setter{member: member, unseen: true, verbs: []string{action}, operation: func(any) (string, map[string]any, error) { return action, nil, nil }}
}

// Unseen says that no answer shows the member: it is set when files say something else than they did.
func (s Setter) Unseen() Setter { s.unseen = true; return s }

// Also says that another action changes the member too.
func (s Setter) Also(action string) Setter { s.verbs = append(s.verbs, action); return s }

// With says that the action takes another member as an argument of the same name.
func (s Setter) With(member string) Setter { s.with = append(s.with, member); return s }

// Provisioned is what is kept of a resource that a file names.
type Provisioned struct {
	ID               ulid.ULID // the resource's
	Kind, Name, File string
	Shown            string // the name, without what references stand for
	AllowEdits, Keep bool
	Made             bool     // by files: it goes with them
	Members          []string // that the file gives
	Unseen           string   // a digest of those of them that no answer shows
}

// ProvisionedSchema is no entity: its rows say what is as files have it, on every node.
var ProvisionedSchema = resource.Schema[Provisioned]{
	Name: "provisioned", Plural: "provisioned", Doc: "That a resource is as a file has it.", Uncounted: true,
	ID: func(p *Provisioned) *ulid.ULID { return &p.ID },
	Attributes: []resource.Attribute[Provisioned]{
		resource.Attr("kind", func(p *Provisioned) *string { return &p.Kind }).Filter(resource.Eq),
		resource.Attr("name", func(p *Provisioned) *string { return &p.Name }).MaxLength(maxName),
		resource.Attr("shown", func(p *Provisioned) *string { return &p.Shown }).MaxLength(maxName * len(resource.Mask)),
		resource.Attr("file", func(p *Provisioned) *string { return &p.File }).MaxLength(maxPath),
		resource.Attr("allow_edits", func(p *Provisioned) *bool { return &p.AllowEdits }),
		resource.Attr("keep", func(p *Provisioned) *bool { return &p.Keep }),
		resource.Attr("made", func(p *Provisioned) *bool { return &p.Made }),
		resource.Attr("members", func(p *Provisioned) *[]string { return &p.Members }),
		resource.Attr("unseen", func(p *Provisioned) *string { return &p.Unseen }).Nullable().Secret().Hidden(),
	},
}

// Change is when what files say of a kind was last stored.
type Change struct {
	ID       ulid.ULID // the kind's
	Kind     string
	At       time.Time
	Revision int64
}

// ChangeSchema is no entity: its rows are how nodes learn that others have applied files.
var ChangeSchema = resource.Schema[Change]{
	Name: "provisioning-change", Plural: "provisioning-changes", Doc: "When files of a kind were last applied.", Uncounted: true,
	ID: func(c *Change) *ulid.ULID { return &c.ID },
	Attributes: []resource.Attribute[Change]{
		resource.Attr("kind", func(c *Change) *string { return &c.Kind }).Unique(),
		resource.Attr("at", func(c *Change) *time.Time { return &c.At }),
		resource.Attr("revision", func(c *Change) *int64 { return &c.Revision }),
	},
}

// State is a kind as the entity shows it.
type State struct {
	ID              ulid.ULID
	Name, Doc, Type string
	Resources       int64
	ChangedAt       time.Time
	Error           string
}

// Schema is the entity provisioning.
var Schema = resource.Schema[State]{
	Name: "provisioning", Plural: "provisioning",
	Doc: "A kind of files, in the folder of that name in `provisioning.path`, and what is as they say.",
	ID:  func(s *State) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[State]{
		resource.Canonical("name", func(s *State) *string { return &s.Name }, func(name string) (string, error) { return auth.Provisioner(name), nil }).
			Unique().Filter(resource.Eq).Example("users").Doc("Of the kind. In paths the names that Grafana has for kinds stand for it too: `access-control`, `notifications`, `plugins`, `dashboards`, `alerting`."),
		resource.Attr("doc", func(s *State) *string { return &s.Doc }).ReadOnly(),
		resource.Attr("resource_type", func(s *State) *string { return &s.Type }).Nullable().ReadOnly().Doc("Of what the files are about; null if there is none, so that they are ignored."),
		resource.Attr("resources", func(s *State) *int64 { return &s.Resources }).ReadOnly().Doc("How many are as files say."),
		resource.Attr("changed_at", func(s *State) *time.Time { return &s.ChangedAt }).Nullable().ReadOnly().Doc("When files have last changed something."),
		resource.Attr("error", func(s *State) *string { return &s.Error }).Nullable().ReadOnly().MaxLength(maxError).
			Doc("Why this node could not apply the files by itself; null once they are applied."),
	},
	Sorts: [][]string{{"name"}},
}

// Database is what a keeper needs of storage's database.
type Database interface {
	AfterCommit(ctx context.Context, do func(ctx context.Context)) error
	// Attempt undoes what fn did in the transaction that the context holds, and nothing else, if fn fails.
	Attempt(ctx context.Context, fn func(ctx context.Context) error) error
	Follow(ctx context.Context, look func(ctx context.Context) error)
}

// Config is what a [Keeper] works with.
type Config struct {
	Engine      *resource.Engine
	Database    Database
	Provisioned resource.Store[Provisioned]
	Changes     resource.Store[Change]
	Kinds       []Kind        // in the order in which they are applied
	Path        func() string // the folder of all kinds; nothing is applied if it is empty
	Watch       func() bool   // whether changed files are applied by themselves
	Log         *slog.Logger  // default slog.Default()
}

// Keeper applies files, and knows what is as they say: the engine's [resource.Provisioner].
type Keeper struct {
	config Config

	loading sync.Mutex
	seen    map[string]int64 // the revisions that known is of, by kind
	known   atomic.Pointer[map[string]map[ulid.ULID]resource.Provisioned]

	mu     sync.Mutex
	errors map[string]string // by kind
}

// New makes a keeper that knows nothing yet.
func New(config Config) *Keeper {
	config.Log = cmp.Or(config.Log, slog.Default())
	return &Keeper{config: config, errors: map[string]string{}}
}

// actor is who changes what files have.
var actor = &auth.Principal{Type: auth.System.Type, Name: "provisioning", Permissions: auth.Everything}

// Type serves the kinds.
func (k *Keeper) Type() resource.Type[State] {
	kinds := resource.NewSnapshot(Schema, k.states)
	return resource.Type[State]{
		Schema: Schema, Lookups: []string{"name"}, Named: true, List: kinds.List, Get: kinds.Get,
		Actions: []resource.Action[State]{
			resource.Run[State]("reload", reloadArguments, k.reload).Answering(resource.AnswersMeta).
				Doc("Apply the files of the kind: all of them, or, if anything is wrong with one, nothing (409, with `meta`). `meta` names what is `created`, `changed`, `unchanged`, `removed`, " +
					"`released` (files name it no more, but have not made it, or let it stay) and `failed`; in the answer 409 too, as it would have been."),
		},
	}
}

type reloadArgument struct{ dry bool }

var reloadArguments = []resource.Attribute[reloadArgument]{
	resource.Attr("dry_run", func(a *reloadArgument) *bool { return &a.dry }).Default(false).InQuery().Doc("Change nothing, and tell what would be."),
}

func (k *Keeper) kind(id ulid.ULID) *Kind {
	for i := range k.config.Kinds {
		if idOf(k.config.Kinds[i].Name) == id {
			return &k.config.Kinds[i]
		}
	}
	return nil
}

func idOf(kind string) ulid.ULID { return resource.NamedID(Schema.Name, kind) }

func (k *Keeper) states(ctx context.Context) ([]State, error) {
	changes, err := resource.Every(ctx, &ChangeSchema, k.config.Changes.List, nil)
	if err != nil {
		return nil, err
	}
	rows, err := resource.Every(ctx, &ProvisionedSchema, k.config.Provisioned.List, nil, "kind")
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	states := make([]State, len(k.config.Kinds))
	for i, kind := range k.config.Kinds {
		s := State{ID: idOf(kind.Name), Name: kind.Name, Doc: kind.Doc, Type: kind.Type, Error: k.errors[kind.Name]}
		for _, change := range changes {
			if change.ID == s.ID {
				s.ChangedAt = change.At
			}
		}
		for _, row := range rows {
			if row.Kind == kind.Name {
				s.Resources++
			}
		}
		states[i] = s
	}
	return states, nil
}

// Load learns what is as files say, if that has changed. The error is the database's.
func (k *Keeper) Load(ctx context.Context) error {
	k.loading.Lock() // what was read first is not to come last
	defer k.loading.Unlock()
	changes, err := resource.Every(ctx, &ChangeSchema, k.config.Changes.List, nil)
	if err != nil {
		return err
	}
	revisions := make(map[string]int64, len(changes))
	for _, change := range changes {
		revisions[change.Kind] = change.Revision
	}
	if k.known.Load() != nil && maps.Equal(revisions, k.seen) {
		return nil
	}
	rows, err := resource.Every(ctx, &ProvisionedSchema, k.config.Provisioned.List, nil, "kind", "file", "allow_edits")
	if err != nil {
		return err
	}
	known := map[string]map[ulid.ULID]resource.Provisioned{}
	for _, row := range rows {
		i := slices.IndexFunc(k.config.Kinds, func(kind Kind) bool { return kind.Name == row.Kind })
		if i < 0 {
			continue
		}
		typ := k.config.Kinds[i].Type
		if known[typ] == nil {
			known[typ] = map[ulid.ULID]resource.Provisioned{}
		}
		known[typ][row.ID] = resource.Provisioned{Kind: row.Kind, File: row.File, AllowEdits: row.AllowEdits}
	}
	k.known.Store(&known)
	k.seen = revisions
	return nil
}

// Provisioned are the resources of a type that are as files have them.
func (k *Keeper) Provisioned(typ string) map[ulid.ULID]resource.Provisioned {
	if known := k.known.Load(); known != nil && k.config.Path() != "" {
		return (*known)[typ]
	}
	return nil
}

// Refuse refuses what would have a resource be other than its file says, unless that allows edits. What the file does not
// speak of, as whether a user is locked, actions may change. Without a folder of files there are none to change it in.
func (k *Keeper) Refuse(tx *resource.Tx, op resource.Operation, id ulid.ULID) error {
	ofType := func(kind Kind) bool { return kind.Type == op.Type }
	if tx.Principal == actor || k.config.Path() == "" || !slices.ContainsFunc(k.config.Kinds, ofType) || !tx.Serves(Schema.Name) {
		return nil
	}
	row, err := k.config.Provisioned.Get(tx, id)
	switch {
	case resource.Is(err, resource.NotFound):
		return nil
	case err != nil:
		return err
	case row.AllowEdits || !k.speaksOf(row, op.Verb):
		return nil
	}
	return resource.Errorf(resource.Conflict, "the %s %s is as %s has it, and can be changed there alone", op.Type, row.Shown, row.File)
}

// speaksOf reports whether a verb changes what the file of a resource says.
func (k *Keeper) speaksOf(row *Provisioned, verb string) bool {
	kind := k.kind(idOf(row.Kind))
	switch {
	case kind == nil: // another version of the program knows it
		return true
	case slices.Contains([]string{resource.Update, resource.Delete, resource.Link, resource.Unlink, resource.Relink, kind.Remove}, verb):
		return true
	}
	return slices.ContainsFunc(kind.Setters, func(s Setter) bool {
		return slices.Contains(row.Members, s.member) && slices.Contains(s.verbs, verb)
	})
}
