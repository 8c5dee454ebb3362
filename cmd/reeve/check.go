package main

import (
	"context"
	"fmt"
)

// check is the command reeve check: it compares what the database keeps twice, and repairs it.
type check struct {
	DryRun bool `help:"Repair nothing, and fail if something is wrong."`
}

func (cmd check) Run(ctx context.Context, c *configuration) error {
	start := openCurrent
	if cmd.DryRun {
		start = open // bringing the tables up to date would repair some of them
	}
	a, err := start(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	found, err := a.database.Check(ctx, !cmd.DryRun)
	byTable := map[string]int{}
	for _, f := range found {
		byTable[f.Table]++
	}
	if err == nil && !cmd.DryRun {
		err = a.noteDrift(ctx, byTable)
	}
	wrong := 0
	for _, f := range found {
		if !f.Repaired {
			wrong++
		}
		fmt.Println(f)
	}
	switch {
	case err != nil:
		return err
	case wrong > 0:
		return fmt.Errorf("%d things are wrong with the database", wrong)
	case len(found) == 0:
		fmt.Println("Nothing is wrong.")
	}
	return nil
}
