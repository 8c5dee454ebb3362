package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

// migrate is the command reeve migrate: the tables, brought up to date or back.
type migrate struct {
	Status migrateStatus `cmd:"" help:"Show which migrations have run."`
	Up     migrateUp     `cmd:"" help:"Bring the tables up to date, as serve does."`
	Down   migrateDown   `cmd:"" help:"Undo the last migration."`
}

type migrateStatus struct{}

func (migrateStatus) Run(ctx context.Context, c *configuration) error {
	a, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	migrations, err := a.database.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, m := range migrations {
		switch {
		case !m.Applied:
			fmt.Fprintf(w, "%s\tpending\n", m.Name)
		case m.At.IsZero():
			fmt.Fprintf(w, "%s\tapplied\n", m.Name)
		default:
			fmt.Fprintf(w, "%s\tapplied\t%s\n", m.Name, m.At.UTC().Format(time.RFC3339))
		}
	}
	return w.Flush()
}

type migrateUp struct{}

func (migrateUp) Run(ctx context.Context, c *configuration) error {
	a, err := openCurrent(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	fmt.Println("The tables are up to date.")
	return nil
}

type migrateDown struct{}

func (migrateDown) Run(ctx context.Context, c *configuration) error {
	a, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	undone, err := a.database.MigrateDown(ctx)
	if err != nil {
		return err
	}
	fmt.Println("Undone:", undone)
	return nil
}
