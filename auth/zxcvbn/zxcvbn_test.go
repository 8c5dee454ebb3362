package zxcvbn

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// TestOriginal compares with what the original says, see testdata/original.mjs.
func TestOriginal(t *testing.T) {
	text, err := os.ReadFile("testdata/original.json")
	if err != nil {
		t.Fatal(err)
	}
	var original struct {
		Year    int
		Given   []string
		Answers []struct {
			Password string
			Guesses  float64
			Score    int
			Parts    int
		}
	}
	if err := json.Unmarshal(text, &original); err != nil {
		t.Fatal(err)
	}
	if original.Year != referenceYear {
		t.Fatalf("the original was asked in %d", original.Year)
	}
	words := map[string]int{} // the original does not take them apart
	for i, word := range original.Given {
		words[word] = i + 1
	}
	for _, a := range original.Answers {
		got := estimate([]rune(a.Password), words)
		if math.Abs(got.Guesses-a.Guesses) > 1e-9*a.Guesses || got.Score() != a.Score || len(got.Sequence) != a.Parts {
			t.Errorf("%q: %g guesses, score %d, %v; the original: %g, %d, %d parts", a.Password, got.Guesses, got.Score(), got.Sequence, a.Guesses, a.Score, a.Parts)
		}
	}
	if len(original.Answers) < 500 {
		t.Errorf("%d answers", len(original.Answers))
	}
}

// TestWords gives words about the owner: a password made of them is guessed soon, and none is harder to guess for them.
func TestWords(t *testing.T) {
	about := []string{"kilgore-trout", "Kilgore Trout", "kilgore@ilium.example"}
	for _, password := range []string{"kilgore-trout", "KilgoreTrout", "K1lgore", "tuortilium"} {
		plain, known := Of(password), Of(password, about...)
		if known.Guesses >= plain.Guesses || known.Score() > 1 {
			t.Errorf("%q: %g guesses, of somebody who knows the words %g", password, plain.Guesses, known.Guesses)
		}
	}
	if e := Of("Ilium", about...); len(e.Sequence) != 1 || e.Sequence[0].List != Personal {
		t.Errorf("a word about the owner is %+v", e)
	}
}

// TestLong sees to it that the length of a password, and what it is made of, cost no time to speak of.
func TestLong(t *testing.T) {
	for _, part := range []string{"a", "4@8({[<3691!|7$5+0%2", "x1", "qwertz", "2.2.22 ", "\xff", "password", "p@ssw0rd!7|"} {
		begin := time.Now()
		e := Of(strings.Repeat(part, 1_000_000/len(part)), "kilgore", strings.Repeat("trout ", 50))
		if took := time.Since(begin); took > 5*time.Second { // it is some 50 ms
			t.Errorf("%q takes %s", part, took)
		}
		if last := e.Sequence[len(e.Sequence)-1].Last; last != MaxLength-1 {
			t.Errorf("%q is read to its character %d", part, last)
		}
	}
}

// FuzzOf wants of every password that the parts cover it, and that the score is that of the guesses.
func FuzzOf(f *testing.F) {
	for _, seed := range []string{"", "a", "so-it-goes-1969", "1.2.2003", "\x00\xff", "aaaaAAAA", "p@ssword ü 💣", "zyxwv"} {
		f.Add(seed, "kilgore")
	}
	f.Fuzz(func(t *testing.T, password, word string) {
		e := Of(password, word)
		next := 0
		for _, m := range e.Sequence {
			if m.First != next || m.Last < m.First || !(m.Guesses >= 1) {
				t.Fatalf("%q: %+v", password, e)
			}
			next = m.Last + 1
		}
		if next != min(len([]rune(password)), MaxLength) || !(e.Guesses >= 1) {
			t.Fatalf("%q: %+v", password, e)
		}
	})
}

func BenchmarkOf(b *testing.B) {
	for _, password := range []string{"so-it-goes-1969", "it was a dark and stormy night", strings.Repeat("4@8({[<3691!|7$5+0%2", 5)} {
		b.Run(password[:10], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Of(password, "kilgore-trout")
			}
		})
	}
}
