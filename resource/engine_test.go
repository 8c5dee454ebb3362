package resource_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/storage/storagetest"
)

// A ship and its crew: enough to ask the engine everything.
type ship struct {
	ID               ulid.ULID
	Name             string
	Tons             int64
	Launched, Sunk   time.Time
	Flagship         ulid.ULID
	Password, Secret string
	Log              string
}

type sailor struct {
	ID       ulid.ULID
	Name     string
	Enlisted time.Time
}

var sailorSchema = resource.Schema[sailor]{
	Name: "sailor", Plural: "sailors", Doc: "Somebody who sails.", ID: func(s *sailor) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[sailor]{
		resource.Attr("name", func(s *sailor) *string { return &s.Name }),
		resource.Attr("enlisted_at", func(s *sailor) *time.Time { return &s.Enlisted }).Created(),
	},
}

var shipSchema = resource.Schema[ship]{
	Name: "ship", Plural: "ships", Doc: "Something that sails.", ID: func(s *ship) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[ship]{
		resource.Attr("name", func(s *ship) *string { return &s.Name }).Required().Unique().Filter(resource.Eq, resource.Contains),
		resource.Attr("tons", func(s *ship) *int64 { return &s.Tons }).Default(int64(1)).Filter(resource.AtLeast),
		resource.Attr("launched_at", func(s *ship) *time.Time { return &s.Launched }).Created(),
		resource.Attr("sunk_at", func(s *ship) *time.Time { return &s.Sunk }).Nullable().ReadOnly(),
		resource.State[ship]("afloat", resource.IsNull("sunk_at")),
		resource.Input("password", func(s *ship) *string { return &s.Password }, func(_ context.Context, p string) (string, error) { return "hash of " + p, nil }),
		resource.Attr("password_hash", func(s *ship) *string { return &s.Password }).Nullable().Hidden(),
		resource.Attr("log", func(s *ship) *string { return &s.Log }).Nullable().MaxLength(5000),
		resource.Once("code", func(s *ship) *string { return &s.Secret }).Nullable(),
	},
	References: []resource.Reference[ship]{
		resource.ToOne("flagship", "ship", func(s *ship) *ulid.ULID { return &s.Flagship }).Nullable(),
		resource.ToMany[ship]("crew", "sailor"),
	},
}

// journal is a database whose transactions only keep their events, and take a minute to begin.
type journal struct {
	events []*resource.Event
	now    time.Time
}

func (j *journal) Transact(ctx context.Context, fn func(context.Context) error) error {
	j.now = j.now.Add(time.Minute)
	return fn(ctx)
}
func (j *journal) Snapshot(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }
func (j *journal) Lock(context.Context, string) error                                 { return nil }
func (j *journal) Record(_ context.Context, events ...*resource.Event) error {
	j.events = append(j.events, events...)
	return nil
}

type fleet struct {
	*testing.T
	engine  *resource.Engine
	journal *journal
	ships   *storagetest.Memory[ship]
	sailors *storagetest.Memory[sailor]
	refuse  error // what its check answers
	log     []string
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{T: t, journal: &journal{now: time.Date(1805, 10, 21, 11, 45, 0, 1999, time.UTC)}, ships: storagetest.NewMemory(shipSchema), sailors: storagetest.NewMemory(sailorSchema)}
	type arguments struct{ reason string }
	type muster struct{ silent bool }
	registry := &resource.Registry{}
	err := registry.Register(
		resource.Type[sailor]{Schema: sailorSchema, List: f.sailors.List, Get: f.sailors.Get, Create: f.sailors.Create},
		resource.Type[ship]{
			Schema: shipSchema, Lookups: []string{"name"}, Linkages: map[string]resource.Linkage{"crew": f.ships.Linkage("crew")},
			List: f.ships.List, Get: f.ships.Get, Update: f.ships.Update, Delete: f.ships.Delete,
			Create: func(ctx context.Context, rows ...*ship) error {
				rows[0].Secret = "0000"
				return f.ships.Create(ctx, rows...)
			},
			Then: func(_ *resource.Tx, before, after *ship) error {
				f.log = append(f.log, fmt.Sprintf("ship %t %t", before != nil, after != nil))
				return nil
			},
			Follows: []resource.Following[ship]{resource.Follow("crew", []resource.Attribute[muster]{
				resource.Attr("silent", func(m *muster) *bool { return &m.silent }),
			}, func(_ *resource.Tx, s *ship, added, removed []ulid.ULID, m *muster) error {
				f.log = append(f.log, fmt.Sprintf("crew of %s +%d -%d %t", s.Name, len(added), len(removed), m.silent))
				return nil
			})},
			Checks: []resource.Check[ship]{func(_ *resource.Tx, before, after *ship) error { return f.refuse }},
			Actions: []resource.Action[ship]{
				resource.Change("sink", f.ships.Update, func(tx *resource.Tx, s *ship) error {
					if !s.Sunk.IsZero() {
						return resource.Errorf(resource.Conflict, "it lies on the ground already")
					}
					s.Sunk = tx.Now
					return nil
				}),
				resource.Change("raise", f.ships.Update, func(_ *resource.Tx, s *ship) error { s.Sunk = time.Time{}; return nil }),
				resource.Command("rename", f.ships.Update, []resource.Attribute[ship]{
					resource.Attr("name", func(s *ship) *string { return &s.Name }).Required(),
				}, func(_ *resource.Tx, s, in *ship) error { s.Name = in.Name; return nil }),
				resource.Run[ship]("scuttle-others", nil, func(tx *resource.Tx, _ ulid.ULID, _ *resource.None) (resource.Meta, error) {
					_, err := tx.Do(resource.Operation{Verb: "sink", Type: "ship", Filters: []resource.FilterArgument{resource.FilterBy("afloat", "true")}})
					return nil, err
				}).Answering(resource.AnswersNothing),
				resource.CollectionAction[ship]("salute", []resource.Attribute[arguments]{
					resource.Attr("reason", func(a *arguments) *string { return &a.reason }).Default("none"),
				}, func(_ *resource.Tx, a *arguments) (resource.Meta, error) {
					return resource.Meta{"reason": a.reason}, nil
				}),
			},
		})
	if err != nil {
		t.Fatal(err)
	}
	f.engine = resource.NewEngine(registry, f.journal, func() time.Time { return f.journal.now })
	return f
}

var admiral = &auth.Principal{Type: "sailor", Name: "nelson", Permissions: []auth.Permission{{Type: auth.Any, Verb: auth.Any}}}

func (f *fleet) do(op resource.Operation) (resource.Result, error) {
	if op.Principal == nil {
		op.Principal = admiral
	}
	if op.Type == "" {
		op.Type = "ship"
	}
	results, err := f.engine.Do(f.Context(), op)
	if err != nil {
		return resource.Result{}, err
	}
	return results[0], nil
}

func (f *fleet) must(op resource.Operation) resource.Result {
	f.Helper()
	result, err := f.do(op)
	if err != nil {
		f.Fatalf("%s: %v", op.Verb, err)
	}
	return result
}

func (f *fleet) launch(name string) ulid.ULID {
	f.Helper()
	return f.must(resource.Operation{Verb: resource.Create, Body: resource.Body{Attributes: map[string]any{"name": name}}}).ID
}

// fails sees that an operation fails with these codes, each with its pointer or parameter, and leaves no event.
func (f *fleet) fails(op resource.Operation, want ...string) {
	f.Helper()
	before := len(f.journal.events)
	_, err := f.do(op)
	var got []string
	if err != nil {
		for _, e := range resource.AllErrors(err) {
			got = append(got, strings.TrimSpace(string(e.Code)+" "+e.Pointer+e.Parameter))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("%s: (-want +got)\n%s", op.Verb, diff)
	}
	if len(f.journal.events) != before {
		f.Errorf("%s failed and left an event", op.Verb)
	}
}

func attributes(t *testing.T, r resource.Result) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte("{"+string(r.Resources.AppendAttributes(nil, 0))+"}"), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCreateSetsWhatTheSchemaSays(t *testing.T) {
	f := newFleet(t)
	created := f.must(resource.Operation{Verb: resource.Create, Request: "r1", Body: resource.Body{Attributes: map[string]any{"name": "Victory", "password": "kiss me"}}})
	want := map[string]any{
		"name": "Victory", "tons": 1.0, "launched_at": "1805-10-21T11:46:00.000001Z", "sunk_at": nil, "afloat": true, "log": nil, "code": "0000",
	}
	if diff := cmp.Diff(want, attributes(t, created)); diff != "" {
		t.Error(diff)
	}
	row, err := f.ships.Get(t.Context(), created.ID)
	if err != nil || row.Password != "hash of kiss me" {
		t.Errorf("stored %+v, %v", row, err)
	}
	got := f.must(resource.Operation{Verb: resource.Get, ID: created.ID})
	delete(want, "code")
	if diff := cmp.Diff(want, attributes(t, got)); diff != "" {
		t.Error("what is shown once is shown twice:", diff)
	}
	event := f.journal.events[0]
	if event.Verb != "create" || event.Target != (resource.Identifier{Type: "ship", ID: created.ID}) || event.ActorName != "nelson" || event.Request != "r1" ||
		string(event.Changes) != `{"name":{"to":"Victory"},"tons":{"to":1},"password_hash":{}}` {
		t.Errorf("event %+v, %s", event, event.Changes)
	}
}

func TestAllProblemsOfABodyAreReportedAtOnce(t *testing.T) {
	f := newFleet(t)
	op := resource.Operation{Verb: resource.Create, Body: resource.Body{
		Attributes: map[string]any{"tons": "heavy", "sunk_at": nil, "sails": 3, "password": nil, "afloat": true},
		Relationships: map[string][]resource.Identifier{
			"flagship": {{Type: "sailor", ID: ulid.Make()}}, "anchor": nil,
		},
	}}
	f.fails(op, "required /attributes", "read_only /attributes/afloat", "invalid /attributes/password", "unknown_member /attributes/sails",
		"read_only /attributes/sunk_at", "invalid /attributes/tons", "unknown_member /relationships/anchor", "type_mismatch /relationships/flagship")
	f.fails(resource.Operation{Verb: resource.Create}, "required")
	op.Body = resource.Body{Attributes: map[string]any{"name": strings.Repeat("x", 256)}}
	f.fails(op, "invalid /attributes/name")
	op.Body = resource.Body{Attributes: map[string]any{"name": "x\x00"}}
	f.fails(op, "invalid /attributes/name")
	op.Body = resource.Body{Attributes: map[string]any{"name": "x"}, Relationships: map[string][]resource.Identifier{"flagship": {{Type: "ship", ID: ulid.Make()}}}}
	f.fails(op, "not_found /relationships/flagship")
}

func TestUpdate(t *testing.T) {
	f := newFleet(t)
	id, other := f.launch("Victory"), f.launch("Agamemnon")
	f.must(resource.Operation{Verb: resource.Update, ID: id, Body: resource.Body{
		Attributes: map[string]any{"tons": json.Number("3500")}, Relationships: map[string][]resource.Identifier{"flagship": {{Type: "ship", ID: other}}}}})
	row, err := f.ships.Get(t.Context(), id)
	if err != nil || row.Tons != 3500 || row.Flagship != other || row.Name != "Victory" {
		t.Errorf("stored %+v, %v", row, err)
	}
	if got, want := string(f.journal.events[2].Changes), `{"tons":{"from":1,"to":3500},"flagship":{"from":null,"to":{"type":"ship","id":"`+other.String()+`"}}}`; got != want {
		t.Errorf("changes %s, not %s", got, want)
	}
	f.must(resource.Operation{Verb: resource.Update, ID: id, Body: resource.Body{Attributes: map[string]any{"tons": 3500}}})
	if len(f.journal.events) != 3 {
		t.Error("an update that changes nothing left an event")
	}
	f.fails(resource.Operation{Verb: resource.Update, ID: id, Body: resource.Body{Attributes: map[string]any{"name": "Agamemnon"}}}, "taken /attributes/name")
	f.fails(resource.Operation{Verb: resource.Update, ID: ulid.Make()}, "not_found")
}

// TestChanges sees that events hold what a deletion removed, that long values are left out, and that of many links some
// stand for all.
func TestChanges(t *testing.T) {
	f := newFleet(t)
	id := f.launch("Victory")
	last := func() string { return string(f.journal.events[len(f.journal.events)-1].Changes) }
	expect := func(want string) {
		t.Helper()
		if got := last(); got != want {
			t.Errorf("changes %s, not %s", got, want)
		}
	}
	var crew []resource.Identifier
	for range 130 {
		sailor := f.must(resource.Operation{Verb: resource.Create, Type: "sailor", Body: resource.Body{Attributes: map[string]any{"name": "Jack"}}})
		crew = append(crew, resource.Identifier{Type: "sailor", ID: sailor.ID})
	}
	link := func(verb string, targets ...resource.Identifier) {
		t.Helper()
		f.must(resource.Operation{Verb: verb, ID: id, Relationship: "crew", Body: resource.Body{Relationships: map[string][]resource.Identifier{"crew": targets}}})
	}
	identifier := func(i resource.Identifier) string { return `{"type":"sailor","id":"` + i.ID.String() + `"}` }
	link(resource.Link, crew[0])
	expect(`{"crew":{"added":[` + identifier(crew[0]) + `],"removed":[]}}`)
	link(resource.Relink, crew[1])
	expect(`{"crew":{"added":[` + identifier(crew[1]) + `],"removed":[` + identifier(crew[0]) + `]}}`)
	link(resource.Link, crew...)
	var changes map[string]struct {
		Added   []map[string]string
		Omitted int
	}
	if err := json.Unmarshal([]byte(last()), &changes); err != nil || len(changes["crew"].Added) != 100 || changes["crew"].Omitted != 29 {
		t.Errorf("%v: %s", err, last())
	}
	link(resource.Unlink, crew[1])
	expect(`{"crew":{"added":[],"removed":[` + identifier(crew[1]) + `]}}`)
	f.must(resource.Operation{Verb: resource.Update, ID: id, Body: resource.Body{
		Attributes: map[string]any{"tons": 2, "log": strings.Repeat("x", 4000)}, Relationships: map[string][]resource.Identifier{"crew": nil}}})
	if text := last(); !strings.HasPrefix(text, `{"tons":{"from":1,"to":2},"log":{},"crew":{"added":[],"removed":[`) || !json.Valid([]byte(text)) {
		t.Errorf("changes %s", text)
	}
	launched, err := json.Marshal(attributes(t, f.must(resource.Operation{Verb: resource.Get, ID: id}))["launched_at"])
	if err != nil {
		t.Fatal(err)
	}
	f.must(resource.Operation{Verb: resource.Delete, ID: id})
	expect(`{"name":{"from":"Victory"},"tons":{"from":2},"launched_at":{"from":` + string(launched) + `},"log":{}}`)
}

func TestActions(t *testing.T) {
	f := newFleet(t)
	id := f.launch("Victory")
	f.must(resource.Operation{Verb: "raise", ID: id})
	if len(f.journal.events) != 1 {
		t.Error("a state that was set already was set again")
	}
	if sunk := attributes(t, f.must(resource.Operation{Verb: "sink", ID: id})); sunk["afloat"] != false {
		t.Errorf("sunk: %v", sunk)
	}
	f.fails(resource.Operation{Verb: "sink", ID: id}, "conflict")
	f.fails(resource.Operation{Verb: "rename", ID: id}, "required")
	f.fails(resource.Operation{Verb: "rename", ID: id, Body: resource.Body{Attributes: map[string]any{"to": "x"}}}, "required /attributes", "unknown_member /attributes/to")
	f.must(resource.Operation{Verb: "rename", Key: &resource.Key{Attribute: "name", Value: "Victory"}, Body: resource.Body{Attributes: map[string]any{"name": "Wreck"}}})
	if meta := f.must(resource.Operation{Verb: "salute"}).Meta; meta["reason"] != "none" {
		t.Errorf("salute answered %v", meta)
	}
	f.fails(resource.Operation{Verb: "board", ID: id}, "not_found")
}

func TestEventsNameTheirCause(t *testing.T) {
	f := newFleet(t)
	id := f.launch("Orient")
	for range 3 {
		f.launch(ulid.Make().String())
	}
	f.must(resource.Operation{Verb: "scuttle-others", ID: id})
	events := f.journal.events[4:]
	if len(events) != 5 || events[0].Verb != "scuttle-others" {
		t.Fatalf("events %v", events)
	}
	for _, e := range events[1:] {
		if e.Verb != "sink" || e.Cause != (resource.Identifier{Type: "event", ID: events[0].ID}) || !strings.HasPrefix(string(e.Changes), `{"sunk_at":{"from":null,"to":"`) {
			t.Errorf("event %+v, %s", e, e.Changes)
		}
	}
}

func TestActionOnAFilter(t *testing.T) {
	f := newFleet(t)
	for range pagination.MaxSize + 1 {
		f.launch(ulid.Make().String())
	}
	result := f.must(resource.Operation{Verb: "sink", Filters: []resource.FilterArgument{resource.FilterBy("afloat", "true")}})
	if result.Affected != pagination.MaxSize+1 {
		t.Errorf("affected %d", result.Affected)
	}
	left := f.must(resource.Operation{Verb: resource.List, Filters: []resource.FilterArgument{resource.FilterBy("afloat", "true")}})
	if left.Page.Total != 0 {
		t.Errorf("%d are still afloat", left.Page.Total)
	}
}

func TestCheckRefuses(t *testing.T) {
	f := newFleet(t)
	id := f.launch("Victory")
	f.refuse = resource.Errorf(resource.Conflict, "not today")
	f.fails(resource.Operation{Verb: resource.Create, Body: resource.Body{Attributes: map[string]any{"name": "x"}}}, "conflict")
	f.fails(resource.Operation{Verb: resource.Update, ID: id, Body: resource.Body{Attributes: map[string]any{"name": "x"}}}, "conflict")
	f.fails(resource.Operation{Verb: resource.Delete, ID: id}, "conflict")
	f.fails(resource.Operation{Verb: "sink", ID: id}, "conflict")
}

func TestToMany(t *testing.T) {
	f := newFleet(t)
	id := f.launch("Victory")
	var crew []resource.Identifier
	for _, name := range []string{"hardy", "collingwood"} {
		member := f.must(resource.Operation{Verb: resource.Create, Type: "sailor", Body: resource.Body{Attributes: map[string]any{"name": name}}})
		crew = append(crew, resource.Identifier{Type: "sailor", ID: member.ID})
	}
	on := func(verb string, targets ...resource.Identifier) resource.Operation {
		return resource.Operation{Verb: verb, ID: id, Relationship: "crew", Body: resource.Body{Relationships: map[string][]resource.Identifier{"crew": targets}}}
	}
	linked := func(want ...resource.Identifier) {
		t.Helper()
		result := f.must(resource.Operation{Verb: resource.Linked, ID: id, Relationship: "crew"})
		if len(result.Linked) != len(want) || int(result.Page.Total) != len(want) {
			t.Errorf("linked %v of %d, not %v", result.Linked, result.Page.Total, want)
		}
	}
	f.must(on(resource.Link, crew[0]))
	events := len(f.journal.events)
	f.must(on(resource.Link, crew[0]))
	if len(f.journal.events) != events {
		t.Error("a link that was there left an event")
	}
	linked(crew[0])
	f.must(on(resource.Relink, crew...))
	linked(crew...)
	f.must(on(resource.Unlink, crew...))
	linked()
	f.fails(on(resource.Link, resource.Identifier{Type: "sailor", ID: ulid.Make()}), "not_found /relationships/crew/data/0")
	f.fails(on(resource.Link, resource.Identifier{Type: "ship", ID: id}), "type_mismatch /relationships/crew/data/0")
	f.fails(resource.Operation{Verb: resource.Linked, ID: id, Relationship: "cargo"}, "not_found")
}

func TestWhoMayDoWhat(t *testing.T) {
	f := newFleet(t)
	id := f.launch("Victory")
	_, err := f.engine.Do(t.Context(), resource.Operation{Verb: resource.List, Type: "ship"})
	if !resource.Is(err, resource.Unauthenticated) {
		t.Errorf("nobody: %v", err)
	}
	sink := &auth.Principal{Permissions: []auth.Permission{{Type: "ship", Verb: "sink"}}}
	f.fails(resource.Operation{Verb: "raise", ID: id, Principal: sink}, "forbidden")
	f.fails(resource.Operation{Verb: resource.Get, ID: id, Principal: sink}, "forbidden")
	f.must(resource.Operation{Verb: "sink", ID: id, Principal: sink})
	read := &auth.Principal{Permissions: []auth.Permission{{Type: "ship", Verb: "read"}}}
	f.must(resource.Operation{Verb: resource.List, Principal: read})
	linked := resource.Operation{Verb: resource.Linked, ID: id, Relationship: "crew", Principal: read}
	f.fails(linked, "forbidden")
	linked.Principal = &auth.Principal{Permissions: []auth.Permission{{Type: "ship", Verb: "get"}, {Type: "sailor", Verb: "list"}}}
	f.must(linked)
	f.fails(resource.Operation{Verb: resource.Link, ID: id, Relationship: "crew", Principal: read}, "forbidden")
	// What an operation does on the way it may do.
	scuttle := &auth.Principal{Permissions: []auth.Permission{{Type: "ship", Verb: "scuttle-others"}}}
	f.must(resource.Operation{Verb: "scuttle-others", ID: id, Principal: scuttle})
}

func TestFilters(t *testing.T) {
	f := newFleet(t)
	f.launch("Victory")
	f.launch("Vanguard")
	count := func(arguments ...resource.FilterArgument) int64 {
		t.Helper()
		return f.must(resource.Operation{Verb: resource.List, Filters: arguments}).Page.Total
	}
	contains := func(part string) resource.FilterArgument {
		return resource.FilterArgument{Name: "name", Qualifier: resource.Contains, Values: []string{part}}
	}
	for want, got := range map[int64]int64{
		2: count(resource.FilterBy("name", "Victory", "Vanguard")),
		1: count(contains("VICT")),
		0: count(contains("V"), resource.FilterBy("name", "victory")),
	} {
		if got != want {
			t.Errorf("%d, not %d", got, want)
		}
	}
	f.fails(resource.Operation{Verb: resource.List, Filters: []resource.FilterArgument{
		resource.FilterBy("tonnage", "1"), resource.FilterBy("afloat", "yes"), {Name: "tons", Qualifier: resource.AtLeast, Values: []string{"x"}},
	}}, "unknown_parameter filter[tonnage]", "invalid_parameter filter[afloat]", "invalid_parameter filter[tons][min]")
}

func TestSeveralOperationsAreOneTransaction(t *testing.T) {
	f := newFleet(t)
	id := f.launch("Victory")
	_, err := f.engine.Do(t.Context(),
		resource.Operation{Verb: "sink", Type: "ship", ID: id, Principal: admiral},
		resource.Operation{Verb: "sink", Type: "ship", ID: id, Principal: admiral})
	if !resource.Is(err, resource.Conflict) || len(f.journal.events) != 1 {
		t.Errorf("%v, and %d events", err, len(f.journal.events))
	}
}

func TestRegistryChangesWhileServing(t *testing.T) {
	f := newFleet(t)
	f.engine.Registry().Unregister("ship")
	f.fails(resource.Operation{Verb: resource.List}, "not_found")
	if f.engine.Registry().Describe("ships") != nil || f.engine.Registry().Describe("sailors") == nil {
		t.Error("the wrong type is gone")
	}
}

func TestRegisterReportsEveryFinding(t *testing.T) {
	type bad struct {
		ID  ulid.ULID
		A   string
		N   int64
		Ref ulid.ULID
	}
	schema := resource.Schema[bad]{
		Name: "Bad", Plural: "bads", ID: func(b *bad) *ulid.ULID { return &b.ID },
		Attributes: []resource.Attribute[bad]{
			resource.Attr("a", func(b *bad) *string { return &b.A }).Required().ReadOnly(),
			resource.Attr("a", func(b *bad) *string { return &b.A }),
			resource.Attr("n", func(b *bad) *int64 { return &b.N }).Filter(resource.Contains).Default("one"),
		},
		References: []resource.Reference[bad]{resource.ToOne("ref", "ghost", func(b *bad) *ulid.ULID { return &b.Ref }).OnDelete(resource.Clear)},
		Filters:    []resource.Filter{{Name: "x", Values: map[string]resource.Condition{"y": resource.IsNull("nothing")}}, {Name: "z"}},
	}
	err := (&resource.Registry{}).Register(resource.Type[bad]{Schema: schema})
	if err == nil {
		t.Fatal("it was registered")
	}
	for _, about := range []string{"hyphens", "no Doc", `"a" is required`, `"a" is declared twice`, `"n" cannot be filtered`, `"ref" is cleared`, `"nothing"`, "filter[z]", `default of "n"`} {
		if !strings.Contains(err.Error(), about) {
			t.Errorf("nothing is said about %s in:\n%v", about, err)
		}
	}
	schema = resource.Schema[bad]{
		Name: "bad", Plural: "bads", Doc: "Not so bad.", ID: schema.ID,
		References: []resource.Reference[bad]{resource.ToOne("ref", "ghost", func(b *bad) *ulid.ULID { return &b.Ref })},
	}
	if err := (&resource.Registry{}).Register(resource.Type[bad]{Schema: schema}); err == nil || !strings.Contains(err.Error(), "ghost") {
		t.Errorf("a reference to an unregistered type: %v", err)
	}
}

// TestSeveralOperations sees that operations stand and fall together, and that each failure names its own.
func TestSeveralOperations(t *testing.T) {
	f := newFleet(t)
	launch := func(name any) resource.Operation {
		return resource.Operation{Verb: resource.Create, Type: "ship", Principal: admiral, Body: resource.Body{Attributes: map[string]any{"name": name}}}
	}
	fails := func(want []string, ops ...resource.Operation) {
		t.Helper()
		before := len(f.journal.events)
		_, err := f.engine.Do(t.Context(), ops...)
		var got []string
		if err != nil {
			for _, e := range resource.AllErrors(err) {
				got = append(got, strings.TrimSpace(fmt.Sprint(e.Operation, " ", e.Code, " ", e.Pointer)))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if len(f.journal.events) != before {
			t.Error("it left an event")
		}
	}
	results, err := f.engine.Do(t.Context(), launch("Victory"), launch("Agamemnon"), resource.Operation{Verb: resource.Get, Type: "ship", ID: f.launch("Mars"), Principal: admiral})
	if err != nil || len(results) != 3 || results[0].ID.Compare(results[1].ID) >= 0 || attributes(t, results[2])["name"] != "Mars" {
		t.Errorf("%+v, %v", results, err)
	}
	fails([]string{"0 invalid /attributes/name", "1 unknown_member /attributes/sails", "3 not_found"}, launch(1), resource.Operation{
		Verb: resource.Create, Type: "ship", Principal: admiral, Body: resource.Body{Attributes: map[string]any{"name": "Orion", "sails": 3}}},
		launch("Orion"), resource.Operation{Verb: "keelhaul", Type: "ship", Principal: admiral})
	fails([]string{"2 taken /attributes/name"}, launch("Orion"), launch("Minotaur"), launch("Victory"))
	fails([]string{"1 not_found"}, launch("Spartiate"), resource.Operation{Verb: resource.Delete, Type: "ship", ID: ulid.Make(), Principal: admiral})

	// Who may not do one of them hears of nothing else.
	cook := &auth.Principal{Type: "sailor", Name: "cook", Permissions: []auth.Permission{{Type: "ship", Verb: resource.Get}}}
	forbidden := launch("Leviathan")
	forbidden.Principal = cook
	fails([]string{"1 forbidden"}, launch(1), forbidden)
	if _, err := f.engine.Prepare(t.Context(), launch(1), forbidden); !resource.Is(err, resource.Forbidden) {
		t.Error(err)
	}

	// An operation that another one asks for has the place of that one.
	f.refuse = resource.Errorf(resource.Conflict, "not now")
	fails([]string{"1 conflict"}, resource.Operation{Verb: resource.List, Type: "ship", Principal: admiral}, resource.Operation{Verb: "scuttle-others", Type: "ship", ID: results[0].ID, Principal: admiral})
}

// TestTimeOfWrites sees that what is written has the time of its transaction, however long that took to begin.
func TestTimeOfWrites(t *testing.T) {
	f := newFleet(t)
	written := func(at time.Time, err error) {
		t.Helper()
		now, event := resource.Cut(f.journal.now), f.journal.events[len(f.journal.events)-1]
		if err != nil || !at.Equal(now) || !event.At.Equal(now) {
			t.Errorf("written at %s, its event at %s, want %s: %v", at, event.At, now, err)
		}
	}
	ship, err := f.ships.Get(t.Context(), f.launch("Victory"))
	written(ship.Launched, err)
	imported, err := f.engine.Import(t.Context(), resource.Operation{Type: "sailor", Principal: admiral},
		[]resource.Body{{Attributes: map[string]any{"name": "Jack"}}})
	if err != nil {
		t.Fatal(err)
	}
	jack, err := f.sailors.Get(t.Context(), imported[0].ID)
	written(jack.Enlisted, err)
	// What is shown once would be lost.
	if _, err := f.engine.Import(t.Context(), resource.Operation{Type: "ship", Principal: admiral}, nil); !resource.Is(err, resource.UnsupportedMediaType) {
		t.Error(err)
	}
}

// TestReservedPath sees that no type takes the path of several operations.
func TestReservedPath(t *testing.T) {
	schema := sailorSchema
	schema.Name, schema.Plural = "operation", resource.Operations
	registry := &resource.Registry{}
	if registry.Register(resource.Type[sailor]{Schema: schema}) == nil || registry.Type("operation") != nil {
		t.Error("a type has the path of several operations")
	}
}

// TestFollowing sees what follows from writes, and from changes of a relationship, however they are written.
func TestFollowing(t *testing.T) {
	f := newFleet(t)
	sailors := make([]resource.Identifier, 3)
	for i := range sailors {
		made := f.must(resource.Operation{Verb: resource.Create, Type: "sailor", Body: resource.Body{Attributes: map[string]any{"name": fmt.Sprint(i)}}})
		sailors[i] = resource.Identifier{Type: "sailor", ID: made.ID}
	}
	crew := func(some ...resource.Identifier) map[string][]resource.Identifier {
		return map[string][]resource.Identifier{"crew": some}
	}
	told := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, f.log); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		f.log = nil
	}
	id := f.must(resource.Operation{Verb: resource.Create, Body: resource.Body{Attributes: map[string]any{"name": "Victory"}, Relationships: crew(sailors[0])}}).ID
	told("crew of Victory +1 -0 false", "ship false true")
	f.must(resource.Operation{Verb: resource.Update, ID: id, Body: resource.Body{Relationships: crew(sailors[1], sailors[2])}})
	told("crew of Victory +2 -1 false", "ship true true")
	f.must(resource.Operation{Verb: resource.Update, ID: id, Body: resource.Body{Relationships: crew(sailors[1], sailors[2])}})
	told()
	f.must(resource.Operation{Verb: resource.Unlink, ID: id, Relationship: "crew", Body: resource.Body{Relationships: crew(sailors[1]), Meta: map[string]any{"silent": true, "own": 1}}})
	told("crew of Victory +0 -1 true")
	f.fails(resource.Operation{Verb: resource.Link, ID: id, Relationship: "crew", Body: resource.Body{Relationships: crew(sailors[1]), Meta: map[string]any{"silent": "yes"}}}, "invalid /meta/silent")
	told()
	f.must(resource.Operation{Verb: resource.Delete, ID: id})
	told("crew of Victory +0 -1 false", "ship true false")
	if changes := string(f.journal.events[len(f.journal.events)-1].Changes); !strings.Contains(changes, `"crew":{"added":[],"removed":[{"type":"sailor"`) {
		t.Errorf("the deletion tells %s", changes)
	}
}
