package main

import (
	"context"
	"errors"
	"os"

	"github.com/schollz/progressbar/v3"

	"reeve/fixtures"
)

// generate is the command reeve generate.
type generate struct {
	Users int `required:"" help:"How many users to make, each with a session on average."`
}

func (cmd generate) Run(ctx context.Context, c *configuration) error {
	if cmd.Users <= 0 {
		return errors.New("--users must be more than 0")
	}
	a, err := openCurrent(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	bar := progressbar.NewOptions(cmd.Users, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription("users"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(100_000_000))
	defer bar.Exit()
	err = fixtures.Generate(ctx, a.database, a.stores(), cmd.Users, func(n int) { _ = bar.Add(n) }) // a bar that cannot be drawn stops nothing
	if err != nil {
		return err
	}
	return a.database.Analyze(ctx) // so that the first page is as fast as the others
}
