package resource_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/storage/storagetest"
)

func TestGateClosesOnceEmpty(t *testing.T) {
	var gate resource.Gate
	for range 2 {
		if !gate.Enter() {
			t.Fatal("a new gate is closed")
		}
	}
	gate.Leave()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := gate.Close(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("closed though somebody is inside: %v", err)
	}
	if gate.Enter() {
		t.Error("a closed gate lets somebody in")
	}
}

// TestConcurrentGate sees that nobody is inside once a gate is closed.
func TestConcurrentGate(t *testing.T) {
	for range 100 {
		var gate resource.Gate
		var inside atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for gate.Enter() {
					inside.Add(1)
					inside.Add(-1)
					gate.Leave()
				}
			})
		}
		if err := gate.Close(t.Context()); err != nil || inside.Load() != 0 {
			t.Fatalf("%d are inside: %v", inside.Load(), err)
		}
		group.Wait()
	}
}

// TestConcurrentRegistries sees that a declaration can be registered while another registry serves it.
func TestConcurrentRegistries(t *testing.T) {
	store := storagetest.NewMemory(lamps)
	typ := resource.Type[lamp]{Schema: lamps, List: store.List, Get: store.Get, Create: store.Create}
	registry := &resource.Registry{}
	if err := registry.Register(typ); err != nil {
		t.Fatal(err)
	}
	engine := resource.NewEngine(registry, &journal{}, time.Now)
	var group sync.WaitGroup
	group.Go(func() {
		for range 100 {
			if err := (&resource.Registry{}).Register(typ); err != nil {
				t.Error(err)
			}
		}
	})
	for range 100 {
		made, err := engine.Do(t.Context(), resource.Operation{
			Verb: resource.Create, Type: "lamp", Principal: auth.System, Body: resource.Body{Attributes: map[string]any{"place": ulid.Make().String()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		made[0].Resources.AppendAttributes(nil, 0)
	}
	group.Wait()
}

// TestTypesBehindGate sees that a request that was let in before its type is taken away is carried out, and that one
// that has only been prepared finds no type any more.
func TestTypesBehindGate(t *testing.T) {
	store := storagetest.NewMemory(lamps)
	registry, gate := &resource.Registry{}, &resource.Gate{}
	begun, goOn := make(chan struct{}), make(chan struct{})
	typ := resource.Type[lamp]{Schema: lamps, List: store.List, Get: store.Get, Create: func(ctx context.Context, rows ...*lamp) error {
		close(begun)
		<-goOn
		return store.Create(ctx, rows...)
	}}
	if err := registry.Replace(nil, gate, typ); err != nil {
		t.Fatal(err)
	}
	engine := resource.NewEngine(registry, &journal{}, time.Now)
	create := resource.Operation{
		Verb: resource.Create, Type: "lamp", Principal: auth.System, Body: resource.Body{Attributes: map[string]any{"place": "hall"}},
	}
	prepared, err := engine.Prepare(t.Context(), create)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := engine.Do(t.Context(), create)
		done <- err
	}()
	<-begun
	registry.Unregister("lamp")
	closed := make(chan error)
	go func() { closed <- gate.Close(t.Context()) }()
	select {
	case <-closed:
		t.Error("the gate is closed while a request is under way")
	default:
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Errorf("what was under way: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := prepared.Do(t.Context()); !resource.Is(err, resource.NotFound) {
		t.Errorf("what was only prepared: %v", err)
	}
	if _, err := engine.Do(t.Context(), create); !resource.Is(err, resource.NotFound) {
		t.Errorf("what comes later: %v", err)
	}
}
