package storage

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"reeve/resource"
)

// builder writes SQL about one table. Values become parameters, but for the declared constants, which partial
// indexes must find in the text, and for definitions, where all are literals.
type builder struct {
	strings.Builder
	args []any
	err  error

	layout   *layout
	prefix   string // of the table's columns, with its dot
	id       string // what holds the table's ids too, and is read instead; empty for its column id
	depth    int    // of nested relations
	now      time.Time
	literals bool
	walked   func(column string, op resource.Op) bool // that no index is to find; nil for none
	ties     map[resource.Exists]tie                  // how ties to one resource are asked, unless they lead to the rows
}

// literal is a builder for definitions.
func (l *layout) literal(prefix string) *builder {
	return &builder{layout: l, prefix: prefix, literals: true}
}

// write appends strings.
func (b *builder) write(parts ...string) {
	for _, part := range parts {
		b.WriteString(part)
	}
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("storage: %s: "+format, append([]any{b.layout.table}, args...)...)
	}
}

// bind appends a plain value as a parameter.
func (b *builder) bind(plain any) {
	if b.literals {
		b.write(b.layout.db.dialect.Literal(plainText(plain)))
		return
	}
	b.bindRaw(b.layout.db.dialect.Value(plainText(plain)))
}

// bindRaw appends what the driver takes as a parameter.
func (b *builder) bindRaw(v any) {
	b.args = append(b.args, v)
	if b.layout.db.bindType == sqlx.QUESTION {
		b.WriteByte('?')
		return
	}
	b.WriteByte('$')
	b.WriteString(strconv.Itoa(len(b.args)))
}

// name appends a column.
func (b *builder) name(column string) {
	if column == "id" && b.id != "" {
		b.write(b.id)
		return
	}
	b.write(b.prefix, quote(column))
}

// searched appends a column whose index may find the value that follows, or is kept from doing so.
func (b *builder) searched(column string, op resource.Op) {
	if b.walked != nil && b.walked(column, op) {
		b.write(b.layout.db.traits.Walked)
	}
	b.name(column)
}

// condition appends a condition that is true exactly where [resource.Schema.Match] says so; elsewhere it is
// false or null. Not is never applied to what may be null.
func (b *builder) condition(c resource.Condition) { b.where(c, false) }

func (b *builder) where(c resource.Condition, not bool) {
	switch c := c.(type) {
	case nil:
		b.constant(!not)
	case resource.All:
		b.parts(c, not, !not)
	case resource.Any:
		if attribute, values, ok := b.among(c); ok {
			b.in(attribute, values, not)
			return
		}
		b.parts(c, not, not)
	case resource.Not:
		b.where(c.Condition, !not)
	case resource.Exists:
		b.exists(c, not)
	case resource.Compare:
		b.compare(c, not)
	}
}

func (b *builder) constant(truth bool) {
	if truth {
		b.write("TRUE")
	} else {
		b.write("FALSE")
	}
}

// parts appends conditions joined by AND or OR.
func (b *builder) parts(parts []resource.Condition, not, and bool) {
	if len(parts) == 0 {
		b.constant(and)
		return
	}
	word := " OR "
	if and {
		word = " AND "
	}
	if len(parts) > 1 {
		b.WriteByte('(')
	}
	for i, part := range parts {
		if i > 0 {
			b.write(word)
		}
		b.where(part, not)
	}
	if len(parts) > 1 {
		b.WriteByte(')')
	}
}

var (
	signs = map[resource.Op]string{
		resource.Eq: " = ", resource.Less: " < ", resource.Greater: " > ", resource.AtMost: " <= ", resource.AtLeast: " >= ",
	}
	opposite = map[resource.Op]string{
		resource.Eq: " <> ", resource.Less: " >= ", resource.Greater: " <= ", resource.AtMost: " > ", resource.AtLeast: " < ",
	}
)

func (b *builder) compare(c resource.Compare, not bool) {
	column := b.layout.compared(c.Attribute)
	if column == nil {
		b.fail("conditions cannot compare %q", c.Attribute)
		return
	}
	literal, isLiteral := c.Operand.(resource.Literal)
	switch {
	case c.Op == resource.Null:
		b.name(column.name)
		if not {
			b.write(" IS NOT NULL")
		} else {
			b.write(" IS NULL")
		}
		return
	case isLiteral && literal.Value == nil:
		b.constant(not)
		return
	}
	outer := b.literals
	b.literals = b.literals || isLiteral && b.layout.constants[c]
	defer func() { b.literals = outer }()

	if sign, ok := opposite[c.Op]; ok && not && !column.null && (isLiteral || c.Operand == resource.Now{}) {
		b.name(column.name)
		b.write(sign)
		b.operand(c.Operand)
		return
	}
	if not {
		b.WriteByte('(')
		defer b.write(") IS NOT TRUE")
	}
	switch c.Op {
	case resource.Contains:
		folded := b.layout.foldedColumn(c.Attribute)
		text, ok := literal.Value.(string)
		if folded == nil || !ok {
			b.fail("no filter looks into %q", c.Attribute)
			return
		}
		b.write(b.layout.db.traits.Position, "(")
		b.name(folded.name)
		b.write(", ")
		b.bind(resource.Fold(text))
		b.write(") > 0")
	case resource.Prefix:
		text, ok := literal.Value.(string)
		if !ok {
			b.fail("the prefix of %q is no text", c.Attribute)
			return
		}
		b.searched(column.name, resource.AtLeast)
		b.write(" >= ")
		b.bind(text)
		if end, ok := afterPrefix(text); ok {
			b.write(" AND ")
			b.searched(column.name, resource.Less)
			b.write(" < ")
			b.bind(end)
		}
	default:
		b.searched(column.name, c.Op)
		b.write(signs[c.Op])
		b.operand(c.Operand)
	}
}

func (b *builder) operand(o resource.Operand) {
	switch o := o.(type) {
	case resource.Literal:
		b.bind(o.Value)
	case resource.Now:
		if b.literals {
			b.fail("a definition cannot depend on the time")
		}
		b.bind(b.now)
	case resource.Sum:
		b.write("(0")
		for _, member := range o {
			column := b.layout.compared(member)
			if column == nil {
				b.fail("conditions cannot sum %q", member)
				return
			}
			b.write(" + ")
			b.name(column.name)
		}
		b.WriteByte(')')
	}
}

// afterPrefix is the least text that is above every text with the prefix, in the order of the bytes, which in
// UTF-8 is that of the characters. There is none above a prefix of nothing but the last character.
func afterPrefix(prefix string) (string, bool) {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch {
		case last == 0xD7FF: // the surrogates are no characters
			return prefix + string(rune(0xE000)), true
		case last < utf8.MaxRune:
			return prefix + string(last+1), true
		}
	}
	return "", false
}
