package resource

import (
	"errors"
	"regexp"
	"time"
)

// Rules that many types have. Each is an argument of what declares an attribute, an action or a type.

// Matches is a check for [Attr]: the text matches a pattern. The sentence says so after the attribute's name.
func Matches(pattern, sentence string) func(string) error {
	compiled := regexp.MustCompile(pattern)
	return func(text string) error {
		if !compiled.MatchString(text) {
			return errors.New(sentence)
		}
		return nil
	}
}

// IDs is a check for [Attr]: the texts are ids.
func IDs(texts []string) error {
	_, err := ParseIDs(texts)
	return err
}

// Stamp is an effect for [Change] that sets a state: it notes the time, unless one is noted already.
func Stamp[T any](member func(*T) *time.Time) func(tx *Tx, row *T) error {
	return func(tx *Tx, row *T) error {
		if at := member(row); at.IsZero() {
			*at = tx.Now
		}
		return nil
	}
}

// Unstamp is an effect for [Change] that takes a state back.
func Unstamp[T any](member func(*T) *time.Time) func(tx *Tx, row *T) error {
	return func(_ *Tx, row *T) error {
		*member(row) = time.Time{}
		return nil
	}
}

// End is an effect for [Change] that ends something for good: it notes the time, and refuses, with a sentence,
// what has ended already.
func End[T any](member func(*T) *time.Time, ended string) func(tx *Tx, row *T) error {
	return func(tx *Tx, row *T) error {
		at := member(row)
		if !at.IsZero() {
			return Errorf(Ended, "%s", ended)
		}
		*at = tx.Now
		return nil
	}
}

// OnAll is the operation that does an action to all resources of a type that meet filters.
func OnAll(action, typ string, filters ...FilterArgument) Operation {
	return Operation{Verb: action, Type: typ, Filters: filters}
}

// Check is a rule over several rows, asked in the transaction before a write: about a creation with before nil,
// about a deletion with after nil. It takes a lock with [Tx.Lock] where two writers could each keep the rule and
// together break it.
type Check[T any] func(tx *Tx, before, after *T) error
