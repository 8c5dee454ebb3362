package resource

import "github.com/oklog/ulid/v2"

// rows are rows of T with the view from which they are shown.
type rows[T any] struct {
	plan    *plan[T]
	rows    []T
	view    View
	created bool
}

func (r *rows[T]) Len() int           { return len(r.rows) }
func (r *rows[T]) ID(i int) ulid.ULID { return *r.plan.Schema.ID(&r.rows[i]) }

func (r *rows[T]) Target(i, reference int) Identifier {
	return r.plan.Schema.References[reference].Target(&r.rows[i])
}

func (r *rows[T]) AppendAttributes(dst []byte, i int) []byte {
	row, begin := &r.rows[i], len(dst)
	for n, prefix := range r.plan.prefixes {
		a := &r.plan.Schema.Attributes[n]
		if prefix == nil || a.AttributeDescription.Once && (!r.created || a.null(row)) {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = a.appendTo(append(dst, prefix...), row, &r.view)
	}
	return dst
}
