package main

import (
	"context"
	"errors"

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
	done, tell := 0, progress("users")
	err = fixtures.Generate(ctx, a.database, a.stores(), cmd.Users, func(n int) {
		done += n
		tell(int64(done), int64(cmd.Users))
	})
	if err != nil {
		return err
	}
	return a.database.Analyze(ctx) // so that the first page is as fast as the others
}
