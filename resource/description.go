package resource

import (
	"slices"
	"strings"
)

// The verbs that every type may serve. The verb of an action is its name.
const (
	List   = "list"
	Get    = "get"
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Put creates the resource that an operation's key names, or changes it if it is there: what the body gives, and nothing
// else. The body may give the key itself. It needs the permissions to create and to update, and its event is of the one
// that it was, or of an action that sets what no update does, see [Action.Putting]. If two do so at once, the second changes
// what the first has created.
const Put = "put"

// The verbs on a relationship. Reading needs the permission to get the resource that has it, writing to update it.
// What a to-many names is a list of those, which needs the permission to list them; so does its linkage.
const (
	Related = "related" // read the resources that it names; needs the permission to get the one of a to-one
	Linked  = "linked"  // read its linkage
	Link    = "link"    // add to it
	Unlink  = "unlink"  // remove from it
	Relink  = "relink"  // replace it, or set a to-one
)

// Description is a type without its Go type: all that routes, permissions, OpenAPI and dashboards see of it.
type Description struct {
	Name       string
	Plural     string
	Doc        string
	Verbs      []string // of the five, those that are served
	Attributes []AttributeDescription
	Exclusive  [][]string // attributes of which a body gives at most one, since they fill the same member
	References []ReferenceDescription
	Filters    []Filter
	Sorts      [][]string
	Actions    []ActionDescription
	Lookups    []string
	Forcible   bool
	Named      bool
	Singleton  bool
	Open       bool
}

func (t *Type[T]) describe() Description {
	d := Description{
		Name: t.Schema.Name, Plural: t.Schema.Plural, Doc: t.Schema.Doc, Exclusive: t.Schema.exclusive(),
		Filters: t.Schema.AllFilters(), Sorts: t.Schema.Sorts, Lookups: t.Lookups, Forcible: t.Forcible, Named: t.Named, Singleton: t.Singleton, Open: t.Open,
	}
	for _, verb := range []struct {
		name   string
		served bool
	}{{List, t.List != nil && !t.Singleton}, {Get, t.Get != nil}, {Create, t.Create != nil}, {Update, t.Update != nil}, {Delete, t.Delete != nil}} {
		if verb.served {
			d.Verbs = append(d.Verbs, verb.name)
		}
	}
	for _, a := range t.Schema.Attributes {
		d.Attributes = append(d.Attributes, a.AttributeDescription)
	}
	for _, r := range t.Schema.References {
		for _, f := range t.Follows {
			if f.reference == r.Name {
				r.Arguments = f.arguments
			}
		}
		d.References = append(d.References, r.ReferenceDescription)
	}
	for _, a := range t.Actions {
		d.Actions = append(d.Actions, a.ActionDescription)
	}
	return d
}

// Serves reports whether the type serves one of the five verbs.
func (d *Description) Serves(verb string) bool { return slices.Contains(d.Verbs, verb) }

// listed reports whether others can refer to the type, so that what they name is found many at a time.
func (d *Description) listed() bool { return d.Singleton || d.Serves(List) }

// Puts reports whether the type serves [Put].
func (d *Description) Puts() bool {
	return len(d.Lookups) > 0 && d.Serves(Create) && d.Serves(Update)
}

// Imports reports whether many resources can be created at once by [Engine.Import]. What is shown once, in the answer to
// a creation, would be lost.
func (d *Description) Imports() bool {
	once := func(a AttributeDescription) bool { return a.Once }
	return d.Serves(Create) && !slices.ContainsFunc(d.Attributes, once)
}

// Action finds an action by name, nil if there is none.
func (d *Description) Action(name string) *ActionDescription {
	for i := range d.Actions {
		if d.Actions[i].Name == name {
			return &d.Actions[i]
		}
	}
	return nil
}

// putting is the action that sets what a [Put] gives and no update sets, nil if there is none.
func (d *Description) putting() *ActionDescription {
	for i := range d.Actions {
		if d.Actions[i].Puts {
			return &d.Actions[i]
		}
	}
	return nil
}

// Bulk reports whether an action can be asked of all resources that meet a filter at once. One that must be told
// something, as a password, cannot: what is meant for one resource would be done to all. Nor can one whose answer has
// what is shown once.
func (d *Description) Bulk(a *ActionDescription) bool {
	return !a.Collection && !a.Issues && d.Serves(List) && len(d.Filters) > 0 &&
		!slices.ContainsFunc(a.Arguments, func(arg AttributeDescription) bool { return arg.Required })
}

// Reference finds a reference by name, nil if there is none.
func (d *Description) Reference(name string) *ReferenceDescription {
	for i := range d.References {
		if d.References[i].Name == name {
			return &d.References[i]
		}
	}
	return nil
}

// Filter finds a filter by name and qualifier, nil if there is none.
func (d *Description) Filter(name string, qualifier Op) *Filter {
	for i := range d.Filters {
		if d.Filters[i].Name == name && d.Filters[i].Qualifier == qualifier {
			return &d.Filters[i]
		}
	}
	return nil
}

// Permissions are the verbs that a caller can be allowed on the type, sorted.
func (d *Description) Permissions() []string {
	verbs := slices.DeleteFunc(slices.Clone(d.Verbs), func(verb string) bool { return verb == Get && d.Open })
	for _, a := range d.Actions {
		verbs = append(verbs, a.Name)
	}
	writable := func(r ReferenceDescription) bool { return r.Writable(false) && r.Many }
	if !d.Serves(Update) && slices.ContainsFunc(d.References, writable) {
		verbs = append(verbs, Update)
	}
	slices.Sort(verbs)
	return verbs
}

// maxUnequal is how many values a filter may have that asks for more than equality: no database finds those at once.
const maxUnequal = 100

func equality(c Condition) bool {
	compare, ok := c.(Compare)
	return ok && compare.Op == Eq
}

// Where is what filter arguments mean together, nil if there are none. It is sorted by the filters' names, so that
// the same question always is the same statement. All problems are reported at once, as UnknownParameter and
// InvalidParameter.
func (d *Description) Where(arguments []FilterArgument) (Condition, error) {
	byParameter := map[string]Condition{}
	var problems Errors
	for _, argument := range arguments {
		f := d.Filter(argument.Name, argument.Qualifier)
		if f == nil {
			parameter := (&Filter{Name: argument.Name, Qualifier: argument.Qualifier}).Parameter()
			problems = append(problems, Errorf(UnknownParameter, "%s have no %s; there are %s",
				d.Plural, parameter, parameters(d)).About(parameter))
			continue
		}
		var any Any
		for _, value := range argument.Values {
			c, err := f.Condition(value)
			if err != nil {
				problems = append(problems, Errorf(InvalidParameter, "%s %s", f.Parameter(), err).About(f.Parameter()))
				continue
			}
			any = append(any, c)
		}
		if len(any) > maxUnequal && slices.ContainsFunc(any, func(c Condition) bool { return !equality(c) }) {
			problems = append(problems, Errorf(InvalidParameter, "%s has at most %d values", f.Parameter(), maxUnequal).About(f.Parameter()))
		}
		if len(any) == 1 {
			byParameter[f.Parameter()] = any[0]
		} else {
			byParameter[f.Parameter()] = any
		}
	}
	if len(byParameter) == 0 {
		return nil, problems.orNil()
	}
	var all All
	for _, parameter := range sorted(byParameter) {
		all = append(all, byParameter[parameter])
	}
	return all, problems.orNil()
}

func parameters(about *Description) string {
	var names []string
	for i := range about.Filters {
		names = append(names, about.Filters[i].Parameter())
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
