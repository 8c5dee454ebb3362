package module

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"reeve/resource"
)

// settle loads, reloads and unloads until this node has what is stored. The error is the database's; what cannot be
// loaded is noted, and not tried again until somebody loads it again.
func (l *Loader) settle(ctx context.Context) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	stored, err := l.stored(ctx)
	if err != nil {
		return err
	}
	for _, i := range slices.Backward(*l.loaded.Load()) {
		if !i.Core && stored[i.Name].At.IsZero() {
			l.unload(ctx, i)
		}
	}
	var wanted []string
	for name, loading := range stored {
		i, failed := l.instance(name), l.failed(name)
		settled := i != nil && i.at.Equal(loading.At) || failed.err != nil && failed.at.Equal(loading.At)
		if !loading.At.IsZero() && !settled {
			wanted = append(wanted, name)
		}
	}
	if wanted == nil {
		return nil
	}
	slices.Sort(wanted)
	for _, m := range ordered(l.known(stored), wanted) {
		if !slices.Contains(wanted, m.Name) {
			continue
		}
		at := stored[m.Name].At
		err := l.load(ctx, m, at)
		if resource.Is(err, resource.Unavailable) {
			return err
		}
		if err != nil {
			l.config.Log.WarnContext(ctx, "a module cannot be loaded", "module", m.Name, "error", err)
		}
		l.fail(m.Name, failure{at, shown(err)})
	}
	return nil
}

// shown is why something failed as the entity may tell: what is no refusal only the log says.
func shown(err error) error {
	switch {
	case err == nil:
		return nil
	case resource.Is(err, resource.Internal):
		return errors.New("something went wrong; the log says what")
	}
	return resource.AllErrors(err)
}

// load loads a module, or puts it in the place of the one of its name that is loaded. If it fails, that stays.
func (l *Loader) load(ctx context.Context, m Module, at time.Time) error {
	if m.Fault != nil {
		return resource.Errorf(resource.Conflict, "%s", m.Fault)
	}
	for _, need := range m.Needs {
		if l.instance(need) == nil {
			return resource.Errorf(resource.Conflict, "%s needs %s, not loaded", m.Name, need)
		}
	}
	if m.Migrate != nil {
		if err := m.Migrate(ctx); err != nil {
			return err
		}
	}
	var former []string
	other, i := l.instance(m.Name), &instance{Module: m, at: at, gate: &resource.Gate{}}
	if other != nil {
		former = resource.Names(other.Types)
		l.halt(other)
	}
	if err := l.config.Registry.Replace(former, i.gate, m.Types...); err != nil {
		if other != nil {
			l.start(other)
		}
		return resource.Errorf(resource.Conflict, "%s", err)
	}
	l.keep(i, other)
	l.start(i)
	if l.working != nil { // else at the start, or in a command: then it is no news
		l.config.Log.InfoContext(ctx, "module loaded", "module", m.Name)
	}
	return nil
}

// unload ends the worker of a module, takes its types and routes away, and waits for those who use them.
func (l *Loader) unload(ctx context.Context, i *instance) {
	l.halt(i)
	l.config.Registry.Unregister(resource.Names(i.Types)...)
	l.keep(nil, i)
	l.fail(i.Name, failure{})
	waiting, cancel := context.WithTimeout(ctx, l.config.Patience)
	defer cancel()
	if err := i.gate.Close(waiting); err != nil {
		l.config.Log.WarnContext(ctx, "requests go on though their module is unloaded", "module", i.Name)
	}
	l.config.Log.InfoContext(ctx, "module unloaded", "module", i.Name)
}

// start starts the worker of an instance, if workers run here.
func (l *Loader) start(i *instance) {
	if i.Run == nil && i.Jobs == nil || l.working == nil {
		return
	}
	ctx, cancel := context.WithCancel(l.working)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.run(ctx, i); err != nil && ctx.Err() == nil {
			l.config.Log.ErrorContext(ctx, "the worker of a module has failed", "module", i.Name, "error", err)
			l.fail(i.Name, failure{i.at, errors.New("its worker has failed; the log says why")})
		}
	}()
	i.stop = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(l.config.Patience):
			l.config.Log.WarnContext(ctx, "the worker of a module does not end", "module", i.Name)
		}
	}
}

// run is the worker of an instance, and does the jobs that it brings.
func (l *Loader) run(ctx context.Context, i *instance) error {
	var workers errgroup.Group
	if i.Jobs != nil {
		workers.Go(func() error { return l.config.Jobs(ctx, i.Jobs) })
	}
	if i.Run != nil {
		workers.Go(func() error { return i.Run(ctx) })
	}
	return workers.Wait()
}

// halt ends the worker of an instance.
func (l *Loader) halt(i *instance) {
	if i.stop != nil {
		i.stop()
		i.stop = nil
	}
}
