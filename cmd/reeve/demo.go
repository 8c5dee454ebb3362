package main

import (
	"context"
	"errors"
	"fmt"

	"reeve/fixtures"
	"reeve/pagination"
	"reeve/resource"
)

// demo is the command reeve demo.
type demo struct {
	IfEmpty bool `help:"Do nothing, and do not complain, if the database has users."`
}

func (cmd demo) Run(ctx context.Context, c *configuration) error {
	a, err := openCurrent(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	there, err := a.users.List(ctx, resource.Query{Count: pagination.CountOnly})
	if err != nil {
		return err
	}
	if there.Total > 0 && cmd.IfEmpty {
		return nil
	}
	if there.Total > 0 {
		return errors.New("the demo data goes into an empty database only, and this one has users")
	}
	if err := fixtures.Demo(ctx, a.database, a.stores()); err != nil {
		return err
	}
	fmt.Printf("Loaded %d users. The administrator %s has the password %q.\n", len(fixtures.Users()), fixtures.DemoAdministrator, fixtures.DemoPassword)
	return nil
}
