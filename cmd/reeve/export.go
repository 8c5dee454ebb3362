package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	documents "reeve/resource/document"
	"reeve/resource/httpapi"
	"reeve/resource/job"
	"reeve/resource/setting"
)

var exportsPath = setting.New("exports.path", "", "The folder that the files of jobs of the kind export go into: of this server, and no other. There are no such jobs if it is empty.").Fixed().Restart()

// exporting is how the file of an export is named: by the type that it lists, and the job.
const exporting = "%s-%s.ndjson"

// export is the kind of job that writes a list into a file of exports.path, as a request for it with Accept:
// application/x-ndjson is answered: with the permissions of the one who asked for the job, out of one state of the database.
//
// That state ends with the node that reads it, so the job is one step, and whoever takes it over begins again. The file gets
// its name just before the job ends, so one counts that a report names; until then it has another, and is removed if it
// comes to nothing. What a node that was killed leaves of that is removed by the next export.
func (a *app) export(c *configuration) job.Kind {
	return job.Kind{
		Name: "export", Doc: "Write a list into a file of the folder exports.path, a resource a line. The report names the file, its rows and bytes, and its SHA-256.",
		Accept: func(ctx context.Context, asker *auth.Principal, argument string) error {
			if exportsPath.In(c) == "" {
				return resource.Errorf(resource.Conflict, "exports.path names no folder for the files")
			}
			_, err := a.exported(ctx, asker, argument)
			return err
		},
		Step: func(ctx context.Context, r *job.Run) (job.Write, error) {
			asker, err := r.Asker()
			if err != nil {
				return nil, err
			}
			op, err := a.exported(ctx, asker, r.Argument)
			if err != nil {
				return nil, err
			}
			folder := exportsPath.In(c)
			if folder == "" {
				return nil, resource.Errorf(resource.Conflict, "exports.path names no folder on the node that began to do it")
			}
			total, err := a.soonCounted(ctx, op)
			if err != nil {
				return nil, err
			}
			if err := removePartials(folder); err != nil {
				return nil, unwritable(err)
			}
			path := filepath.Join(folder, fmt.Sprintf(exporting, op.Type, r.ID))
			var rows, size int64
			sum := sha256.New()
			partial, err := writePartial(path, func(file *os.File) error {
				w := io.MultiWriter(file, sum)
				var lines []byte
				return a.engine.Export(ctx, op, func(page resource.Result) error {
					lines = documents.AppendLines(lines[:0], c.prefix()+httpapi.Base, &page)
					if _, err := w.Write(lines); err != nil {
						return err
					}
					rows, size = rows+int64(page.Resources.Len()), size+int64(len(lines))
					return r.Tell(ctx, rows, total)
				})
			})
			if err != nil {
				return nil, unwritable(err)
			}
			r.After(func() { _ = os.Remove(partial) }) // it mostly has its name
			named := false
			return func(_ context.Context, p *job.Progress) error {
				if !named {
					if err := publish(partial, path); err != nil {
						return unwritable(err)
					}
					named = true
				}
				p.Done, p.Total, p.Report = rows, rows, nil
				p.Note("file %s", filepath.Base(path))
				p.Note("rows %d", rows)
				p.Note("bytes %d", size)
				p.Note("sha256 %s", hex.EncodeToString(sum.Sum(nil)))
				p.Finish()
				return nil
			}, nil
		},
	}
}

// exported reads and authorizes the list of an export.
func (a *app) exported(ctx context.Context, asker *auth.Principal, list string) (resource.Operation, error) {
	op, err := httpapi.ReadList(a.engine.Registry(), list)
	if err != nil {
		return op, err
	}
	op.Principal = asker
	_, err = a.engine.Prepare(ctx, op)
	return op, err
}

// soonCounted is how many resources a list has, 0 if that takes too long to count.
func (a *app) soonCounted(ctx context.Context, op resource.Operation) (int64, error) {
	op.Window, op.Count = pagination.First(1), pagination.CountOnly
	results, err := a.engine.Do(ctx, op)
	switch {
	case resource.Is(err, resource.Unavailable):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return results[0].Page.Total, nil
}

// removePartials removes the files of exports that have come to nothing: there is one at a time.
func removePartials(folder string) error {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		left, _ := filepath.Match(partials(fmt.Sprintf(exporting, "*", "*")), entry.Name()) // the pattern is well formed
		if left && err == nil {
			err = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
	return err
}

// unwritable says why a file could not be written, if that is it, but not where.
func unwritable(err error) error {
	var reason error
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		reason = failed.Err
	}
	if failed := (*os.LinkError)(nil); errors.As(err, &failed) { // of a rename
		reason = failed.Err
	}
	if reason == nil || resource.Is(err, resource.Unavailable) {
		return err
	}
	return fmt.Errorf("%w (%w)", resource.Errorf(resource.Conflict, "the file cannot be written: %v", reason), err)
}
