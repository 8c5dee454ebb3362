package provisioning

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"reeve/auth"
	"reeve/resource"
)

// watchInterval is how often files are looked at for changes, and how soon what could not be applied since the database was
// away is tried again.
const watchInterval = time.Second

// applyLimit is how long a kind may take that is applied by itself: hashing many passwords takes a while. By the action it
// has the time of any write.
const applyLimit = 5 * time.Minute

// Run applies all files, then those that change if they are watched, and follows what other nodes apply, until the context
// ends.
func (k *Keeper) Run(ctx context.Context) error {
	var workers errgroup.Group
	workers.Go(func() error {
		k.config.Database.Follow(ctx, k.Load)
		return nil
	})
	workers.Go(func() error {
		k.watch(ctx)
		return nil
	})
	defer k.known.Store(nil) // nobody keeps them so any more
	return workers.Wait()
}

func (k *Keeper) watch(ctx context.Context) {
	applied := make([]string, len(k.config.Kinds)) // what the files of each kind looked like; empty if they are yet to be applied
	seen := make([]string, len(k.config.Kinds))    // the same when they were last looked at
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		for i := range k.config.Kinds {
			kind := &k.config.Kinds[i]
			if kind.Type == "" || applied[i] != "" && !k.config.Watch() {
				continue
			}
			looks := k.looks(kind)
			atRest := looks == seen[i] || applied[i] == "" // what is being written lacks what its file is to say
			seen[i] = looks
			if looks != applied[i] && atRest && k.apply(ctx, kind) {
				applied[i] = looks
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// apply applies the files of a kind. It reports whether that was tried: else it is to be tried again.
func (k *Keeper) apply(ctx context.Context, kind *Kind) bool {
	limited, cancel := context.WithTimeout(ctx, applyLimit)
	defer cancel()
	results, err := k.config.Engine.Do(limited, resource.Operation{Verb: "reload", Type: Schema.Name, ID: idOf(kind.Name), Principal: actor})
	if ctx.Err() != nil {
		return false
	}
	if err == nil {
		if results[0].Affected > 0 {
			k.config.Log.InfoContext(ctx, "files are applied", "kind", kind.Name, "changes", results[0].Affected)
		}
		return true
	}
	text := resource.ShortText(resource.AllErrors(err).Error(), maxError)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.errors[kind.Name] != text { // else it was tried again
		k.config.Log.ErrorContext(ctx, "files are not applied", "kind", kind.Name, "error", err)
	}
	k.errors[kind.Name] = text
	return !resource.Is(err, resource.Unavailable, resource.Maintenance)
}

// looks tells the files of a kind from what they were before: by their names, sizes and times.
func (k *Keeper) looks(kind *Kind) string {
	hash := sha256.New()
	root := k.config.Path()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, path)
		if err == nil && entry.IsDir() && folder != "." && auth.Provisioner(folder) != kind.Name {
			return fs.SkipDir
		}
		info, unread := entry.Info()
		if err = errors.Join(err, unread); err == nil {
			fmt.Fprintln(hash, path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	fmt.Fprintln(hash, err) // there is none is as good as any
	return string(hash.Sum(nil))
}
