package zxcvbn

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// lines are the words of the dictionaries, sorted, each with its rank and its [List] on a line: "password 2p".
//
//go:embed words.txt
var lines string

// List is the kind of a dictionary.
type List string

// The lists.
const (
	Passwords List = "p" // common passwords
	Names     List = "n" // names and surnames of the United States
	English   List = "e" // words of Wikipedia, television and film
	Personal  List = "o" // the words that [Of] was given
)

// lookup finds a word. More says whether there are longer ones that begin with it.
func lookup(word string) (rank int, list List, more bool) {
	low, high := 0, len(lines)
	for low < high { // low is where a line begins, high is where one ends
		middle := (low + high) / 2
		begin := low + strings.LastIndexByte(lines[low:middle], '\n') + 1
		end := begin + strings.IndexByte(lines[begin:], '\n') + 1
		if found, _, _ := strings.Cut(lines[begin:end], " "); found < word {
			low = end
		} else {
			high = begin
		}
	}
	found, after, _ := strings.Cut(lines[low:], " ")
	if !strings.HasPrefix(found, word) {
		return 0, "", false
	}
	if found != word {
		return 0, "", true
	}
	line, _, _ := strings.Cut(after, "\n")
	rank, err := strconv.Atoi(line[:len(line)-1])
	if err != nil {
		panic(err) // it is part of the program
	}
	return rank, List(line[len(line)-1:]), true
}

// personal are the ranks of words, and of the parts of them that have at least three letters or digits: of
// "kilgore@example.com" also "kilgore".
func personal(words []string) map[string]int {
	ranks := map[string]int{}
	add := func(word string) {
		if _, there := ranks[word]; !there && word != "" {
			ranks[word] = len(ranks) + 1
		}
	}
	for _, word := range words {
		add(lower(word))
	}
	for _, word := range words {
		for _, part := range strings.FieldsFunc(lower(word), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if len(part) >= 3 {
				add(part)
			}
		}
	}
	return ranks
}

// lower is the text in lower case, character by character.
func lower(text string) string { return strings.Map(unicode.ToLower, text) }

// dictionary finds words, reversed words, and words with characters that look like their letters.
func (a *analysis) dictionary() {
	n := len(a.password)
	a.eachWord(a.password, func(first, last, rank int, list List) {
		a.found(Match{Dictionary, first, last, list, 0}, float64(rank)*uppercases(a.password[first:last+1]))
	})
	reversed := slices.Clone(a.password)
	slices.Reverse(reversed)
	a.eachWord(reversed, func(first, last, rank int, list List) {
		a.found(Match{Dictionary, n - 1 - last, n - 1 - first, list, 0}, 2*float64(rank)*uppercases(reversed[first:last+1]))
	})
	for _, substitution := range substitutions(a.password) {
		substituted := slices.Clone(a.password)
		for i, r := range substituted {
			if letter, ok := substitution[r]; ok {
				substituted[i] = letter
			}
		}
		a.eachWord(substituted, func(first, last, rank int, list List) {
			token := a.password[first : last+1]
			if len(token) > 1 && lower(string(token)) != lower(string(substituted[first:last+1])) {
				a.found(Match{Dictionary, first, last, list, 0}, float64(rank)*uppercases(token)*lookalikes(token, substitution))
			}
		})
	}
}

// eachWord calls found with each word that stands in a text.
func (a *analysis) eachWord(text []rune, found func(first, last, rank int, list List)) {
	longest := 0
	for word := range a.words {
		longest = max(longest, len(word))
	}
	small := []rune(lower(string(text)))
	for first := range small {
		more := true
		for last := first; last < len(small) && (more || last-first < longest); last++ {
			word := string(small[first : last+1])
			if more {
				rank, list, goesOn := lookup(word)
				if more = goesOn; rank > 0 {
					found(first, last, rank, list)
				}
			}
			if rank := a.words[word]; rank > 0 {
				found(first, last, rank, Personal)
			}
		}
	}
}

func isUpper(r rune) bool { return r >= 'A' && r <= 'Z' }
func isLower(r rune) bool { return r >= 'a' && r <= 'z' }
func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func count(token []rune, is func(rune) bool) (n int) {
	for _, r := range token {
		if is(r) {
			n++
		}
	}
	return n
}

// uppercases is in how many ways a word is written with as many capital letters; the usual ones come first.
func uppercases(token []rune) float64 {
	upper, small, last := count(token, isUpper), count(token, isLower), len(token)-1
	switch {
	case upper == 0:
		return 1
	case small == 0, upper == 1 && last > 0 && (isUpper(token[0]) || isUpper(token[last])):
		return 2
	}
	return choices(upper+small, min(upper, small))
}

// alike are the characters that look like a letter, by letter.
var alike = []struct {
	letter     rune
	characters string
}{
	{'a', "4@"}, {'b', "8"}, {'c', "({[<"}, {'e', "3"}, {'g', "69"}, {'i', "1!|"}, {'l', "1|7"}, {'o', "0"}, {'s', "$5"}, {'t', "+7"}, {'x', "%"}, {'z', "2"},
}

// maxSubstitutions is how many of them are tried: only what is made up of all such characters has more.
const maxSubstitutions = 100

// substitutions are the ways in which characters of a password can stand for letters. In one of them a letter has one
// such character, and a character is one letter.
func substitutions(password []rune) []map[rune]rune {
	type pair struct{ character, letter rune }
	all := [][]pair{nil}
	for _, a := range alike {
		var next [][]pair
		known := map[string]bool{}
		add := func(pairs []pair) {
			slices.SortFunc(pairs, func(a, b pair) int { return int(a.character - b.character) })
			var key []rune
			for _, p := range pairs {
				key = append(key, p.character, p.letter)
			}
			if !known[string(key)] {
				known[string(key)] = true
				next = append(next, pairs)
			}
		}
		for _, character := range a.characters {
			if !slices.Contains(password, character) {
				continue
			}
			for _, pairs := range all {
				i := slices.IndexFunc(pairs, func(p pair) bool { return p.character == character })
				more := append(slices.Clone(pairs), pair{character, a.letter})
				if i >= 0 {
					add(slices.Clone(pairs))
					more = slices.Delete(more, i, i+1)
				}
				add(more)
			}
		}
		if next != nil {
			all = next[:min(len(next), maxSubstitutions)]
		}
	}
	var maps []map[rune]rune
	for _, pairs := range all {
		if len(pairs) > 0 {
			m := map[rune]rune{}
			for _, p := range pairs {
				m[p.character] = p.letter
			}
			maps = append(maps, m)
		}
	}
	return maps
}

// lookalikes is in how many ways a word is written with as many characters in the place of letters.
func lookalikes(token []rune, substitution map[rune]rune) float64 {
	variations := 1.0
	for character, letter := range substitution {
		substituted := count(token, func(r rune) bool { return r == character })
		kept := count(token, func(r rune) bool { return unicode.ToLower(r) == letter })
		switch {
		case substituted == 0:
		case kept == 0:
			variations *= 2
		default:
			variations *= choices(substituted+kept, min(substituted, kept))
		}
	}
	return variations
}
