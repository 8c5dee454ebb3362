package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reeve/resource"
	"reeve/resource/module"
	"reeve/resource/record"
	"reeve/storage"
)

// maxFile is how many bytes a file that declares types may have, and maxFiles how many of them there may be.
const (
	maxFile  = 1 << 20
	maxFiles = 1000
)

// declaredIn reads the modules that the files of a folder declare: those that end in .yaml or .yml, each a module by its
// name. One that is wrong is a module with a fault. Adopt makes the tables of a module once it is loaded. The folder need
// not be there.
func declaredIn(folder string, db *storage.DB, adopt func(ctx context.Context, drafts ...storage.Draft) error) []module.Module {
	if folder == "" {
		return nil
	}
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []module.Module{{Name: filepath.Base(folder), Fault: err}}
	}
	var modules []module.Module
	for _, entry := range entries {
		extension := filepath.Ext(entry.Name())
		if entry.IsDir() || !slices.Contains([]string{".yaml", ".yml"}, extension) || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		m := module.Module{Name: strings.TrimSuffix(entry.Name(), extension), File: entry.Name()}
		known := func(other module.Module) bool { return other.Name == m.Name }
		switch err := record.CheckName(m.Name); {
		case err != nil:
			m.Name, m.Fault = entry.Name(), err
		case slices.ContainsFunc(modules, known):
			m.Name, m.Fault = entry.Name(), fmt.Errorf("another file declares the module %s", m.Name)
		case len(modules) == maxFiles:
			m.Fault = fmt.Errorf("there are more than %d files", maxFiles)
		default:
			m.Fault = declareFrom(filepath.Join(folder, entry.Name()), &m, db, adopt)
		}
		if modules = append(modules, m); len(modules) > maxFiles {
			break
		}
	}
	return modules
}

// declareFrom reads a module out of its file. The error says what is wrong with it.
func declareFrom(path string, m *module.Module, db *storage.DB, adopt func(ctx context.Context, drafts ...storage.Draft) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	if len(content) > maxFile {
		return fmt.Errorf("%s: it has more than %d bytes", name, maxFile)
	}
	declared, err := record.Read(name, content)
	if declared != nil {
		m.Doc, m.Needs = cmp.Or(declared.Doc, "Declared in "+name+"."), declared.Needs
	}
	if err != nil {
		return err
	}
	var types []resource.Declaration
	var drafts []storage.Draft
	for _, t := range declared.Types {
		table, err := storage.NewDraft(db, t.Schema)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		types, drafts = append(types, t.In(records{table})), append(drafts, table)
	}
	m.Types = types
	m.Migrate = func(ctx context.Context) error { return adopt(ctx, drafts...) }
	return nil
}

// records are the table of a type that a file declares.
type records struct{ *storage.Table[record.Record] }

func (r records) Linkage(name string) resource.Linkage { return r.Table.Linkage(name) }
