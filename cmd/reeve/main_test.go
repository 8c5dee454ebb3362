package main

import (
	"strings"
	"testing"
)

// TestSentence sees that the command line says why a database cannot be opened.
func TestSentence(t *testing.T) {
	c, err := readConfiguration("", environment("sqlite://"+t.TempDir()+"/nowhere/reeve.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t.Context(), c)
	if err == nil || !strings.Contains(sentence(err).Error(), "unable to open database file") {
		t.Errorf("%v", sentence(err))
	}
}
