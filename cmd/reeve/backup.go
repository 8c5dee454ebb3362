package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"reeve/auth"
	"reeve/resource"
	self "reeve/resource/server"
	"reeve/storage"
)

// backup is the command reeve backup.
type backup struct {
	File string `arg:"" help:"Where the backup goes. What is there is replaced once the backup is whole."`
}

func (cmd backup) Run(ctx context.Context, c *configuration) error {
	a, err := openWhole(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	return replaceFile(cmd.File, func(file *os.File) error { return a.database.Backup(ctx, file, progress("backup")) })
}

// restore is the command reeve restore.
type restore struct {
	File    string `arg:"" help:"The backup."`
	Replace bool   `help:"Remove what is in the database."`
}

func (cmd restore) Run(ctx context.Context, c *configuration) error {
	file, err := os.Open(cmd.File)
	if err != nil {
		return err
	}
	defer file.Close()
	a, err := openWhole(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	told := resource.NewEvent(ctx, resource.Cut(time.Now()), auth.System, "restore", resource.Identifier{Type: self.Schema.Name, ID: resource.NamedID(self.Schema.Name, "")})
	err = a.database.Restore(ctx, file, told, cmd.Replace, progress("restore"))
	if errors.Is(err, storage.ErrNotEmpty) {
		return fmt.Errorf("%w: --replace removes what is there", err)
	}
	if err != nil {
		return explained(err)
	}
	if err := a.database.Analyze(ctx); err != nil { // the database does so by itself after a while
		a.log.WarnContext(ctx, "all is restored, but the planner does not know the tables yet", "error", err)
	}
	return nil
}

// openWhole puts the program together with the types of all modules that files declare, loaded or not. It changes nothing.
func openWhole(ctx context.Context, c *configuration) (*app, error) {
	a, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	var drafts []storage.Draft
	modules := declared(c, a.database.DB, func(_ context.Context, of ...storage.Draft) error {
		drafts = append(drafts, of...)
		return nil
	})
	for _, m := range modules {
		if err == nil && m.Migrate != nil {
			err = m.Migrate(ctx)
		}
	}
	if err == nil {
		err = a.database.Declare(drafts...)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// replaceFile has a file written that nobody else may read, and gives it its name once it is whole and on the disk. What
// had the name before is there until then.
func replaceFile(path string, write func(file *os.File) error) error {
	partial, err := writePartial(path, write)
	if err != nil {
		return err
	}
	if err := publish(partial, path); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	return nil
}

// partials is the pattern of the names of files that are to have a name once they are whole.
func partials(path string) string { return filepath.Base(path) + ".*.partial" }

// writePartial has a file written, onto the disk, that is to have a name, and answers which name it has until then. After
// an error there is none.
func writePartial(path string, write func(file *os.File) error) (partial string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), partials(path)) // of mode 0600
	if err != nil {
		return "", err
	}
	if err = write(file); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// publish gives a file its name.
func publish(partial, path string) error {
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder puts the names in a folder on the disk.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// progress draws a bar on the standard error, if that is a terminal.
func progress(what string) storage.Progress {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return func(int64, int64) {}
	}
	var bar *progressbar.ProgressBar
	return func(done, total int64) {
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(what),
				progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionOnCompletion(func() { fmt.Fprintln(os.Stderr) }))
		}
		if done%100 == 0 || done == total {
			_ = bar.Set64(done) // a bar that cannot be drawn stops nothing
		}
	}
}
