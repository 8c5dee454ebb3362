package auth

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"reeve/auth/zxcvbn"
)

// Strength is what passwords must have.
type Strength struct {
	MinimumScore  int // see [zxcvbn.Estimate.Score]; 0 takes any
	MinimumLength int // in characters
}

// Check refuses a password that is too short, or too easy to guess for somebody who knows some words about its owner. The
// error follows the name of the attribute in a sentence, says what to mend, and has nothing of the password.
func (s Strength) Check(password string, words ...string) error {
	if utf8.RuneCountInString(password) < s.MinimumLength {
		return fmt.Errorf("must have at least %d characters", s.MinimumLength)
	}
	if s.MinimumScore == 0 {
		return nil
	}
	if e := zxcvbn.Of(password, words...); e.Score() < s.MinimumScore {
		return errors.New("is too easy to guess: " + weakness(e) + "; take several uncommon words that have nothing to do with each other")
	}
	return nil
}

// weakness says what the longest part of a password is.
func weakness(e zxcvbn.Estimate) string {
	longest := &zxcvbn.Match{Pattern: zxcvbn.Bruteforce}
	for i := range e.Sequence {
		if m := &e.Sequence[i]; longest.Pattern == zxcvbn.Bruteforce || m.Length() > longest.Length() {
			longest = m
		}
	}
	switch longest.Pattern {
	case zxcvbn.Dictionary:
		return map[zxcvbn.List]string{
			zxcvbn.Passwords: "it has a password that many use", zxcvbn.Names: "it has a name", zxcvbn.English: "it has a common word",
			zxcvbn.Personal: "it has what others know about its owner",
		}[longest.List]
	case zxcvbn.Spatial:
		return "it has keys that stand side by side"
	case zxcvbn.Repeat:
		return "it repeats itself"
	case zxcvbn.Sequence:
		return "it has characters in their usual order"
	case zxcvbn.Year, zxcvbn.Date:
		return "it has a date"
	}
	return "it is short"
}
