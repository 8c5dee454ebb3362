package storagetest_test

import (
	"testing"

	"reeve/storage/storagetest"
)

func TestMemory(t *testing.T) {
	storagetest.Run(t, storagetest.Toys, storagetest.NewMemory(storagetest.Toys), storagetest.NewToy(storagetest.NewBox(0).ID))
}
