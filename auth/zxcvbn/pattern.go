package zxcvbn

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// keyboard is where keys stand: the directions from each to its neighbours, of which each is the characters of a key,
// with shift last; empty where there is none.
type keyboard struct {
	neighbours map[rune][]string
	shifts     bool
}

// The directions to the neighbours of a key, clockwise, on a keyboard whose rows stand half a key apart, and on one where
// they do not.
var (
	slanted = [][2]int{{-1, 0}, {0, -1}, {1, -1}, {1, 0}, {0, 1}, {-1, 1}}
	aligned = [][2]int{{-1, 0}, {-1, -1}, {0, -1}, {1, -1}, {1, 0}, {1, 1}, {0, 1}, {-1, 1}}
)

// keyboards are those of the United States, on Mac and PC; they are laid out when they are first needed.
var keyboards = sync.OnceValue(func() []keyboard {
	return []keyboard{
		layout(slanted,
			"`~ 1! 2@ 3# 4$ 5% 6^ 7& 8* 9( 0) -_ =+",
			"   qQ wW eE rR tT yY uU iI oO pP [{ ]} \\|",
			"   aA sS dD fF gG hH jJ kK lL ;: '\"",
			"   zZ xX cC vV bB nN mM ,< .> /?"),
		layout(slanted,
			"`~ 1! 2@ 3# 4$ 5% 6^ 7& 8* 9( 0) [{ ]}",
			"   '\" ,< .> pP yY fF gG cC rR lL /? =+ \\|",
			"   aA oO eE uU iI dD hH tT nN sS -_",
			"   ;: qQ jJ kK xX bB mM wW vV zZ"),
		layout(aligned,
			"  / * -",
			"7 8 9 +",
			"4 5 6",
			"1 2 3",
			"  0 ."),
		layout(aligned,
			"  = / *",
			"7 8 9 -",
			"4 5 6 +",
			"1 2 3",
			"  0 ."),
	}
})

// layout reads a keyboard as it is drawn.
func layout(directions [][2]int, rows ...string) keyboard {
	type place struct{ x, y int }
	width := len(strings.Fields(rows[1])[0]) + 1 // of a key, with a space
	keys := map[place]string{}
	for y, row := range rows {
		for x := 0; x < len(row); x += width {
			if key := strings.TrimSpace(row[x:min(x+width, len(row))]); key != "" {
				keys[place{x / width, y}] = key
			}
		}
	}
	k := keyboard{map[rune][]string{}, width > 2}
	for at, key := range keys {
		neighbours := make([]string, len(directions))
		for i, d := range directions {
			neighbours[i] = keys[place{at.x + d[0], at.y + d[1]}]
		}
		for _, r := range key {
			k.neighbours[r] = neighbours
		}
	}
	return k
}

// degree is how many neighbours a key has on average.
func (k *keyboard) degree() float64 {
	sum := 0
	for _, neighbours := range k.neighbours {
		for _, key := range neighbours {
			if key != "" {
				sum++
			}
		}
	}
	return float64(sum) / float64(len(k.neighbours))
}

// step is the direction from one key to another, and whether that is with shift; negative if they are no neighbours.
func (k *keyboard) step(from, to rune) (direction int, shifted bool) {
	for direction, key := range k.neighbours[from] {
		if at := strings.IndexRune(key, to); at >= 0 {
			return direction, at == 1
		}
	}
	return -1, false
}

// spatial finds three or more keys that are neighbours.
func (a *analysis) spatial() {
	for i, k := range keyboards() {
		typical := &keyboards()[i/2*2] // one of two stands for both
		for first := 0; first < len(a.password)-1; {
			turns, shifts, before, last := 0, 0, -1, first
			if k.shifts && strings.ContainsRune(`~!@#$%^&*()_+QWERTYUIOP{}|ASDFGHJKL:"ZXCVBNM<>?`, a.password[first]) {
				shifts = 1
			}
			for ; last < len(a.password)-1; last++ {
				direction, shifted := k.step(a.password[last], a.password[last+1])
				if direction < 0 {
					break
				}
				if shifted {
					shifts++
				}
				if direction != before {
					turns++
				}
				before = direction
			}
			if last-first >= 2 {
				a.found(Match{Spatial, first, last, "", 0}, typical.guesses(last-first+1, turns, shifts))
			}
			first = last + 1
		}
	}
}

// guesses are how many ways there are of so many keys with at most so many turns.
func (k *keyboard) guesses(length, turns, shifts int) float64 {
	keys, degree, guesses := float64(len(k.neighbours)), k.degree(), 0.0
	for i := 2; i <= length; i++ {
		for j := 1; j <= min(turns, i-1); j++ {
			guesses += choose(i-1, j-1) * keys * math.Pow(degree, float64(j))
		}
	}
	switch {
	case shifts == 0:
		return guesses
	case shifts >= length:
		return 2 * guesses
	}
	return guesses * choices(length, min(shifts, length-shifts))
}

// repeats finds what stands several times in a row.
func (a *analysis) repeats() {
	p := a.password
	// times is how often what is so long stands there.
	times := func(first, length int) (n int) {
		for at := first; at+length <= len(p) && slices.Equal(p[first:first+length], p[at:at+length]); at += length {
			n++
		}
		return n
	}
	for first := 0; first < len(p); {
		shortest, longest := 0, 0
		for length := 1; length <= (len(p)-first)/2; length++ {
			if slices.Equal(p[first:first+length], p[first+length:first+2*length]) {
				if longest = length; shortest == 0 {
					shortest = length
				}
			}
		}
		if shortest == 0 {
			first++
			continue
		}
		base, whole := shortest, shortest*times(first, shortest)
		if other := longest * times(first, longest); other > whole {
			whole = other
			for base = 1; whole%base != 0 || base*times(first, base) < whole; base++ {
			}
		}
		a.found(Match{Repeat, first, first + whole - 1, "", 0}, estimate(p[first:first+base], a.words).Guesses*float64(whole/base))
		first += whole
	}
}

// sequences finds characters that follow each other at the same distance, as abcd and 9753.
func (a *analysis) sequences() {
	p, first := a.password, 0
	for last := 1; last < len(p); last++ {
		delta := p[last] - p[last-1]
		if last+1 < len(p) && p[last+1]-p[last] == delta {
			continue
		}
		if size := max(delta, -delta); size > 0 && size <= 5 && (last-first > 1 || size == 1) {
			guesses := 26.0
			switch {
			case strings.ContainsRune("aAzZ019", p[first]):
				guesses = 4
			case isDigit(p[first]):
				guesses = 10
			}
			if delta < 0 {
				guesses *= 2
			}
			a.found(Match{Sequence, first, last, "", 0}, guesses*float64(last-first+1))
		}
		first = last
	}
}

// referenceYear is from where years are counted, minYears how many an attacker tries at least.
const (
	referenceYear = 2026
	minYears      = 20
)

// years is how many years an attacker tries who begins with the nearest.
func years(year int) float64 {
	return float64(max(year-referenceYear, referenceYear-year, minYears))
}

// years finds the years 1900 to 2019.
func (a *analysis) years() {
	for first := 0; first+4 <= len(a.password); first++ {
		year, ok := number(a.password[first : first+4])
		if ok && year >= 1900 && year <= 2019 {
			a.found(Match{Year, first, first + 3, "", 0}, years(year))
			first += 3
		}
	}
}

// number is what digits stand for.
func number(digits []rune) (int, bool) {
	if len(digits) == 0 || count(digits, isDigit) < len(digits) {
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	return n, err == nil
}

// splits are where four to eight digits are cut that may be a date: before the second number, and before the third.
var splits = map[int][][2]int{
	4: {{1, 2}, {2, 3}},
	5: {{1, 3}, {2, 3}},
	6: {{1, 2}, {2, 4}, {4, 5}},
	7: {{1, 3}, {2, 3}, {4, 5}, {4, 6}},
	8: {{2, 4}, {4, 6}},
}

// dates finds dates in the usual orders, with and without something between their numbers. Of dates within dates it
// keeps the outer one.
func (a *analysis) dates() {
	type candidate struct {
		first, last int
		guesses     float64
	}
	var all []candidate
	for first := range a.password {
		for last := first + 3; last < min(first+10, len(a.password)); last++ {
			token := a.password[first : last+1]
			if year, ok := plainDate(token); ok {
				all = append(all, candidate{first, last, 365 * years(year)})
			}
			if year, ok := separatedDate(token); ok {
				all = append(all, candidate{first, last, 4 * 365 * years(year)})
			}
		}
	}
	for i, c := range all {
		inner := slices.ContainsFunc(append(slices.Clone(all[:i]), all[i+1:]...), func(other candidate) bool {
			return other.first <= c.first && other.last >= c.last
		})
		if !inner {
			a.found(Match{Date, c.first, c.last, "", 0}, c.guesses)
		}
	}
}

// plainDate is the year of digits that are a date; the nearest if there are several.
func plainDate(token []rune) (year int, ok bool) {
	for _, split := range splits[len(token)] {
		first, one := number(token[:split[0]])
		second, two := number(token[split[0]:split[1]])
		third, three := number(token[split[1]:])
		if !one || !two || !three {
			return 0, false
		}
		found, is := yearOf(first, second, third)
		distance := func(year int) int { return max(year-referenceYear, referenceYear-year) }
		if is && (!ok || distance(found) < distance(year)) {
			year, ok = found, true
		}
	}
	return year, ok
}

// separatedDate is the year of a date like 3.4.1969.
func separatedDate(token []rune) (year int, ok bool) {
	first := slices.IndexFunc(token, func(r rune) bool { return !isDigit(r) })
	if first < 1 || first > 4 || !strings.ContainsRune(`/\_.-`, token[first]) && !unicode.IsSpace(token[first]) {
		return 0, false
	}
	second := first + 1 + slices.Index(token[first+1:], token[first])
	if second <= first+1 || second > first+3 || len(token)-second-1 > 4 {
		return 0, false
	}
	a, one := number(token[:first])
	b, two := number(token[first+1 : second])
	c, three := number(token[second+1:])
	if !one || !two || !three {
		return 0, false
	}
	return yearOf(a, b, c)
}

// yearOf is the year of three numbers that are a date, with the year first or last.
func yearOf(a, b, c int) (year int, ok bool) {
	const minYear, maxYear = 1000, 2050
	if b > 31 || b <= 0 {
		return 0, false
	}
	over12, over31, under1 := 0, 0, 0
	for _, n := range []int{a, b, c} {
		if n > 99 && n < minYear || n > maxYear {
			return 0, false
		}
		if n > 31 {
			over31++
		}
		if n > 12 {
			over12++
		}
		if n <= 0 {
			under1++
		}
	}
	if over31 >= 2 || over12 == 3 || under1 >= 2 {
		return 0, false
	}
	within := func(a, b int) bool { return a >= 1 && b >= 1 && min(a, b) <= 12 && max(a, b) <= 31 } // day and month
	orders := [][3]int{{c, a, b}, {a, b, c}}
	for _, o := range orders {
		if o[0] >= minYear && o[0] <= maxYear {
			return o[0], within(o[1], o[2])
		}
	}
	for _, o := range orders {
		if !within(o[1], o[2]) {
			continue
		}
		switch year := o[0]; {
		case year > 99:
			return year, true
		case year > 50:
			return year + 1900, true
		default:
			return year + 2000, true
		}
	}
	return 0, false
}
