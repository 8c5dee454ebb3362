package resource_test

import (
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// TestTag sees that the version of a row changes with what is stored and shown, and with its revision, and not with
// activities or with what no answer shows.
func TestTag(t *testing.T) {
	schema := shipSchema
	schema.Attributes = append([]resource.Attribute[ship]{
		resource.Attr("seen_at", func(s *ship) *time.Time { return &s.Launched }).Nullable().Quiet(),
	}, resource.Attr("name", func(s *ship) *string { return &s.Name }), resource.Attr("hash", func(s *ship) *string { return &s.Password }).Hidden(),
		resource.Revision(func(s *ship) *int64 { return &s.Tons }))
	row := ship{ID: ulid.Make(), Name: "Victory"}
	tag := schema.Tag(&row)
	for _, step := range []struct {
		name    string
		change  func(*ship)
		changes bool
	}{
		{"nothing", func(*ship) {}, false},
		{"an activity", func(s *ship) { s.Launched = time.Now() }, false},
		{"what no answer shows", func(s *ship) { s.Password = "x" }, false},
		{"the revision", func(s *ship) { s.Tons++ }, true},
		{"an attribute, and an activity", func(s *ship) { s.Name, s.Launched = "Wreck", time.Time{} }, true},
		{"a reference", func(s *ship) { s.Flagship = s.ID }, true},
	} {
		step.change(&row)
		next := schema.Tag(&row)
		if (next != tag) != step.changes {
			t.Errorf("%s: from %s to %s", step.name, tag, next)
		}
		tag = next
	}
}
