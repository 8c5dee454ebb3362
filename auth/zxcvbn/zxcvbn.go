// Package zxcvbn estimates how many guesses a password takes, as zxcvbn 4.4.2 by Daniel Lowe Wheeler and Dropbox does
// ("zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016): it finds what people make passwords of, and
// the sequence of such parts that takes the fewest guesses. Its tests hold it to the estimates of the original.
//
// It takes no memory until it is used, and next to none then: the dictionaries are searched where the program has them.
package zxcvbn

import (
	"math"
	"slices"
)

// MaxLength is how many characters of a password are read. The time it takes grows with the square of them.
const MaxLength = 100

// Pattern is what a part of a password is recognized as.
type Pattern string

// The patterns.
const (
	Dictionary Pattern = "dictionary" // a word, also reversed or with characters that look like its letters
	Spatial    Pattern = "spatial"    // neighbours on a keyboard
	Repeat     Pattern = "repeat"     // the same several times
	Sequence   Pattern = "sequence"   // abcd, 9753
	Year       Pattern = "year"       // 1900 to 2019
	Date       Pattern = "date"
	Bruteforce Pattern = "bruteforce" // nothing of these
)

// Match is a part of a password.
type Match struct {
	Pattern     Pattern
	First, Last int  // the indexes of its first and its last character
	List        List // where a word of a Dictionary stands
	Guesses     float64
}

// Length is how many characters the part has.
func (m *Match) Length() int { return m.Last - m.First + 1 }

// Estimate is how hard a password is to guess.
type Estimate struct {
	Guesses  float64 // at most so many are needed
	Sequence []Match // the parts of the password that make them so few
}

// Score is the estimate as a number from 0, too easy to guess, to 4, very hard to guess offline.
func (e Estimate) Score() int {
	const delta = 5
	score := 0
	for _, limit := range []float64{1e3, 1e6, 1e8, 1e10} {
		if e.Guesses >= limit+delta {
			score++
		}
	}
	return score
}

// Of estimates a password. Somebody who guesses knows the words about whom it belongs to, as the name, the likeliest
// first.
func Of(password string, words ...string) Estimate {
	runes := []rune(password)
	return estimate(runes[:min(len(runes), MaxLength)], personal(words))
}

func estimate(password []rune, words map[string]int) Estimate {
	a := &analysis{password: password, words: words, ending: make([][]Match, len(password))}
	a.dictionary()
	a.spatial()
	a.repeats()
	a.sequences()
	a.years()
	a.dates()
	return a.fewest()
}

// analysis is the search for the parts of one password.
type analysis struct {
	password []rune
	words    map[string]int // the ranks of further words
	ending   [][]Match      // by the index of their last character
}

// What a part takes at least, if it is not all of the password.
const (
	minGuessesOfOne  = 10
	minGuessesOfMore = 50
)

// found notes a part that takes some guesses.
func (a *analysis) found(m Match, guesses float64) {
	m.Guesses = guesses
	if m.Length() < len(a.password) {
		m.Guesses = max(guesses, minGuessesOfMore)
		if m.Length() == 1 {
			m.Guesses = max(guesses, minGuessesOfOne)
		}
	}
	a.ending[m.Last] = append(a.ending[m.Last], m)
}

// bruteforce is a part that is nothing known: ten guesses a character.
func (a *analysis) bruteforce(first, last int) Match {
	guesses := math.Min(math.Pow(10, float64(last-first+1)), math.MaxFloat64)
	if first == last {
		return Match{Bruteforce, first, last, "", max(guesses, minGuessesOfOne+1)}
	}
	return Match{Bruteforce, first, last, "", max(guesses, minGuessesOfMore+1)}
}

// minGuessesOfShorter is what an attacker tries of sequences with one part less, before trying those with one more.
const minGuessesOfShorter = 10000

// best is the best sequence of some number of parts that covers the beginning of a password.
type best struct {
	last    Match
	product float64 // of the guesses of its parts
	guesses float64
}

// fewest is the sequence of parts that covers the password and takes the fewest guesses,
//
//	n! * product(guesses of each of the n parts) + 10000^(n-1)
//
// since its parts may come in any order, and whoever guesses begins with the shorter sequences.
func (a *analysis) fewest() Estimate {
	n := len(a.password)
	if n == 0 {
		return Estimate{Guesses: 1}
	}
	bests := make([][]best, n) // by the last character that is covered, and by the number of parts; zero where there is none
	update := func(m Match, parts int) {
		product := m.Guesses
		if parts > 1 {
			product *= bests[m.First-1][parts-1].product
		}
		guesses := math.Gamma(float64(parts)+1)*product + math.Pow(minGuessesOfShorter, float64(parts-1))
		all := bests[m.Last]
		for _, other := range all[:min(parts+1, len(all))] {
			if other.guesses > 0 && other.guesses <= guesses {
				return
			}
		}
		for len(all) <= parts {
			all = append(all, best{})
		}
		all[parts] = best{m, product, guesses}
		bests[m.Last] = all
	}
	// extend puts a part behind the sequences that end before it.
	extend := func(m Match) {
		if m.First == 0 {
			update(m, 1)
			return
		}
		for parts, before := range bests[m.First-1] {
			// Two of bruteforce together are one.
			if before.guesses > 0 && (m.Pattern != Bruteforce || before.last.Pattern != Bruteforce) {
				update(m, parts+1)
			}
		}
	}
	for last := range n {
		slices.SortStableFunc(a.ending[last], func(a, b Match) int { return a.First - b.First })
		for _, m := range a.ending[last] {
			extend(m)
		}
		for first := range last + 1 {
			extend(a.bruteforce(first, last))
		}
	}
	parts, guesses := 0, math.Inf(1)
	for candidate, b := range bests[n-1] {
		if b.guesses > 0 && b.guesses < guesses {
			parts, guesses = candidate, b.guesses
		}
	}
	e := Estimate{Guesses: guesses, Sequence: make([]Match, parts)}
	for last := n - 1; last >= 0; parts-- {
		m := bests[last][parts].last
		e.Sequence[parts-1] = m
		last = m.First - 1
	}
	return e
}

// choices is in how many ways some of n can be chosen, at least one and at most so many.
func choices(n, most int) float64 {
	sum := 0.0
	for k := 1; k <= most; k++ {
		sum += choose(n, k)
	}
	return sum
}

// choose is n over k.
func choose(n, k int) float64 {
	if k > n {
		return 0
	}
	r := 1.0
	for d := 1; d <= k; d++ {
		r = r * float64(n) / float64(d)
		n--
	}
	return r
}
