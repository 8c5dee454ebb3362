package storage

import (
	"slices"
	"strconv"
	"strings"

	"reeve/resource"
)

// maxCells is how many numbers a counter may keep.
const maxCells = 64

// dimension is what a counter tells the rows of a table apart by: whether they meet one comparison, or which of
// several values an attribute has, if any of them. A cell of the counter is one combination of these.
type dimension struct {
	atom   resource.Compare // if there are no values
	column *column
	values []any
}

func (d *dimension) size() int {
	if d.values == nil {
		return 2
	}
	return len(d.values) + 1
}

// declare notes the comparisons with constants that the closed filters declare, and makes dimensions of them.
// If they made too many cells, it leaves those dimensions out that have the most values; of equals, the last.
func (l *layout) declare(filters []resource.Filter) {
	for i := range filters {
		for _, word := range filters[i].Words() {
			resource.Walk(filters[i].Values[word], func(c resource.Condition) bool {
				if compare, ok := c.(resource.Compare); ok {
					l.declareAtom(compare)
				}
				_, below := c.(resource.Exists)
				return !below
			})
		}
	}
	for l.cells() > maxCells {
		most := 0
		for i := range l.dimensions {
			if l.dimensions[i].size() >= l.dimensions[most].size() {
				most = i
			}
		}
		l.dimensions = slices.Delete(l.dimensions, most, most+1)
	}
}

func (l *layout) declareAtom(c resource.Compare) {
	column := l.compared(c.Attribute)
	literal, isLiteral := c.Operand.(resource.Literal)
	if column == nil || column.name == "id" || isLiteral && literal.Value == nil {
		return
	}
	if isLiteral {
		l.constants[c] = true
	}
	if l.find(c) != nil || !isLiteral && c.Op != resource.Null || c.Op == resource.Contains || c.Op == resource.Prefix {
		return
	}
	d := dimension{atom: c, column: column}
	if c.Op == resource.Eq {
		if d := l.enumerated(column); d != nil {
			d.values = append(d.values, literal.Value)
			return
		}
		d.values = []any{literal.Value}
	}
	l.dimensions = append(l.dimensions, d)
}

// enumerated is the dimension of the values of a column, nil if there is none.
func (l *layout) enumerated(c *column) *dimension {
	for i := range l.dimensions {
		if d := &l.dimensions[i]; d.column == c && d.values != nil {
			return d
		}
	}
	return nil
}

// find is the dimension that a comparison asks about, nil if none does.
func (l *layout) find(c resource.Compare) *dimension {
	if c.Op == resource.Eq {
		literal, ok := c.Operand.(resource.Literal)
		column := l.compared(c.Attribute)
		if !ok || column == nil {
			return nil
		}
		d := l.enumerated(column)
		if d == nil || !slices.Contains(d.values, literal.Value) && !d.exhausts(literal.Value) {
			return nil
		}
		return d
	}
	for i := range l.dimensions {
		d := &l.dimensions[i]
		if d.values == nil && d.atom.Attribute == c.Attribute && d.atom.Op == c.Op && sameOperand(d.atom, c) {
			return d
		}
	}
	return nil
}

func sameOperand(a, b resource.Compare) bool {
	x, ok := a.Operand.(resource.Literal)
	y, same := b.Operand.(resource.Literal)
	return ok == same && (!ok || x == y) && (ok || a.Operand == nil && b.Operand == nil)
}

// exhausts reports whether having none of the dimension's values is having this one: a boolean that cannot be
// null has no third value.
func (d *dimension) exhausts(value any) bool {
	_, isBool := value.(bool)
	return isBool && !d.column.null && len(d.values) == 1 && d.values[0] != value
}

// cells is how many cells the counter has.
func (l *layout) cells() int {
	n := 1
	for i := range l.dimensions {
		n *= l.dimensions[i].size()
	}
	return n
}

// counter is the table's counter, for its definition.
func (l *layout) counter() Counter {
	return Counter{Name: l.table + "_count", Table: l.table, Cells: l.cells(), Late: l.late, Cell: l.cell}
}

// cell is the SQL of the number of the cell that a row is in: its places in the dimensions, as the digits of a
// number.
func (l *layout) cell(prefix string) string {
	var terms []string
	stride := 1
	for i := range l.dimensions {
		d := &l.dimensions[i]
		b := l.literal(prefix)
		b.write("CASE")
		if d.values == nil {
			b.write(" WHEN ")
			b.condition(d.atom)
			b.write(" THEN 0")
		}
		for place, value := range d.values {
			b.write(" WHEN ")
			b.compare(resource.Compare{Attribute: d.atom.Attribute, Operand: resource.Literal{Value: value}}, false)
			b.write(" THEN ", strconv.Itoa(place*stride))
		}
		b.write(" ELSE ", strconv.Itoa((d.size()-1)*stride), " END")
		terms = append(terms, b.String())
		stride *= d.size()
	}
	if terms == nil {
		return "0"
	}
	return strings.Join(terms, " + ")
}

// counted finds the cells whose rows meet a condition. It reports false if the counter does not know.
func (l *layout) counted(c resource.Condition) (cells []int, ok bool) {
	ok = !l.uncounted
	if ok && c != nil {
		resource.Walk(c, func(c resource.Condition) bool {
			switch c := c.(type) {
			case resource.Exists:
				ok = false
			case resource.Compare:
				ok = ok && l.find(c) != nil
			}
			return ok
		})
	}
	if !ok {
		return nil, false
	}
	for cell := range l.cells() {
		if l.holds(c, cell) {
			cells = append(cells, cell)
		}
	}
	return cells, true
}

// holds reports whether the rows in a cell meet a condition.
func (l *layout) holds(c resource.Condition, cell int) bool {
	switch c := c.(type) {
	case resource.All:
		return !slices.ContainsFunc(c, func(part resource.Condition) bool { return !l.holds(part, cell) })
	case resource.Any:
		return slices.ContainsFunc(c, func(part resource.Condition) bool { return l.holds(part, cell) })
	case resource.Not:
		return !l.holds(c.Condition, cell)
	case resource.Compare:
		asked := l.find(c)
		for i := range l.dimensions {
			d := &l.dimensions[i]
			place := cell % d.size()
			if d != asked {
				cell /= d.size()
				continue
			}
			if d.values == nil {
				return place == 0
			}
			value := c.Operand.(resource.Literal).Value
			if place == len(d.values) {
				return d.exhausts(value)
			}
			return d.values[place] == value
		}
	}
	return true // nil
}

// sum appends a sum of cells.
func (b *builder) sum(cells []int) {
	if len(cells) == 0 {
		b.write("0")
		return
	}
	b.write("(SELECT CAST(coalesce(sum(")
	for i, cell := range cells {
		if i > 0 {
			b.write(" + ")
		}
		b.write("n", strconv.Itoa(cell))
	}
	b.write("), 0) AS bigint) FROM ", quote(b.layout.counter().Name), ")")
}

// stamp appends a number that every change of the counted table raises: equal stamps are equal tables, unless they are
// [unstable]. Only what is committed counts, so it says nothing in a transaction that writes.
func (b *builder) stamp(c Counter) {
	b.write("(SELECT ")
	if c.Late != "" {
		b.write("CASE WHEN EXISTS (SELECT 1 FROM ", quote(c.Table), " WHERE ", quote(c.Late), " IS NULL) THEN ", strconv.Itoa(unstable), " ELSE ")
	}
	b.write("CAST(sum(changes) AS bigint)")
	if c.Late != "" {
		b.write(" END")
	}
	b.write(" FROM ", quote(c.Name), ")")
}

// unstable is the stamp of a table whose counter lacks rows, and so does not tell of changes.
const unstable = 0
