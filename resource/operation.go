package resource

import (
	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
)

// Operation is one thing asked for, free of any wire protocol.
type Operation struct {
	Verb         string // one of the five, one on relationships, or an action
	Type         string // singular
	ID           ulid.ULID
	Key          *Key   // finds the resource by a natural key; if ID is given too, it must be that one's
	Relationship string // for the verbs on relationships

	Filters []FilterArgument // for list, and for an action on all that meets them
	Order   Order            // of a list, see [Description.Order]
	Window  pagination.Window
	Count   pagination.Count
	Include []string            // for reads: paths of relationships to go along, as "user.groups"
	Fields  map[string][]string // for reads, by type: the only attributes and relationships to show

	MaxAffected int // an action on all that meets filters changes nothing if it would change more; 0 for any number

	Force bool // a write may do what the type's checks refuse unless it is forced

	Body      Body
	IfMatch   []string        // tags of the only versions that a write on one resource is about; nil for all
	IfNone    []string        // tags of the versions that it is not about
	Principal *auth.Principal // nil if nobody knows who asks
	Request   string          // the id of the request
}

// Key is a natural key: the value of an attribute that is unique.
type Key struct{ Attribute, Value string }

// FilterArgument is a filter with its arguments as a query gives them; it means any of them.
type FilterArgument struct {
	Name      string
	Qualifier Op
	Values    []string
}

// FilterBy is the filter by equality.
func FilterBy(name string, values ...string) FilterArgument {
	return FilterArgument{Name: name, Values: values}
}

// Result is what an operation came to.
type Result struct {
	Type      *Description
	ID        ulid.ULID // of the one resource that the operation was about; for Related, of the one that names others
	Tag       string    // of the version of the one resource that is answered
	Created   bool
	Resources Resources // nil if the answer has none
	Page      *PageInfo // of a list or of linkage; nil for one resource
	Meta      Meta      // what an action answers

	Relationship *ReferenceDescription // for the verbs on relationships
	Linked       []ulid.ULID           // the page of its linkage

	Included []Resources       // nil unless asked for; a resource may stand there more than once, or be a primary one too
	Linkage  map[Edge]*Targets // of the to-many relationships that Included went along

	Affected int // how many resources the operation changed, apart from those that followed

	row any // *T
}

// PageInfo is where a page stands in its list.
type PageInfo struct {
	Window     pagination.Window
	Order      Order
	Prev, Next bool // whether rows stand before and after
	Count      pagination.Count
	Total      int64  // unless Count is CountNone
	Omitted    string // why there is no Total though it was asked for; empty if there is
}

// Edge is a to-many relationship of one resource.
type Edge struct {
	From         Identifier
	Relationship string
}

// Targets are the first resources of a to-many relationship, and whether there are more.
type Targets struct {
	IDs  []ulid.ULID
	More bool
}

// Resources are rows of some type, ready to be shown.
type Resources interface {
	Type() *Description
	Len() int
	ID(i int) ulid.ULID
	// Place is where row i stands in an order.
	Place(o Order, i int) *pagination.Cursor
	// Shows reports whether the reference of that index in Description.References is to be shown.
	Shows(reference int) bool
	// Provisioned are the resources of the type, not of the rows alone, that are as files have them, by id; nil if none is.
	Provisioned() map[ulid.ULID]Provisioned
	// AppendAttributes appends the members of row i's attributes object, without its braces.
	AppendAttributes(dst []byte, i int) []byte
	// Target is what row i's reference of that index in Description.References names: the zero Identifier if
	// nothing. It is not asked about to-many references.
	Target(i, reference int) Identifier
}
