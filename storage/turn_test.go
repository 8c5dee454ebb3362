package storage

import (
	"crypto/sha256"
	"sync"
	"testing"
)

// TestConcurrentTurns has many ask the same at once: one counts, the others wait until it is done.
func TestConcurrentTurns(t *testing.T) {
	var totals totals
	question := sha256.Sum256([]byte("how many"))
	waited, end := totals.turn(t.Context(), question)
	if waited {
		t.Fatal("the first waited")
	}
	if other, done := totals.turn(t.Context(), sha256.Sum256([]byte("another"))); other {
		t.Error("another question waited")
	} else {
		done()
	}
	var others sync.WaitGroup
	for range 64 {
		others.Go(func() {
			totals.keep(sha256.Sum256(nil), keptTotal{}) // turns hold no lock
			waited, end := totals.turn(t.Context(), question)
			end()
			if kept := totals.find(question); waited && !kept.found {
				t.Error("it waited, and nothing was counted")
			}
		})
	}
	totals.keep(question, keptTotal{found: true})
	end()
	others.Wait()
	if waited, end := totals.turn(t.Context(), question); waited {
		t.Error("the turn has not ended")
	} else {
		end()
	}
}
