// Command reeve is the admin API of a service: it serves users, sessions, tokens, groups, modules and whatever
// else an administrator touches as JSON:API resources, out of SQLite or PostgreSQL.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"reeve/resource"
	"reeve/resource/version"
)

// program is the command line: one field, and one file, a command.
type program struct {
	Config string            `help:"Read the configuration from this YAML file." type:"existingfile" short:"c"`
	Set    map[string]string `help:"Set a key of the configuration, as database.uri=sqlite://reeve.db." placeholder:"KEY=VALUE" mapsep:"none"`

	Serve    serve    `cmd:"" help:"Serve the API (without a configuration: on 127.0.0.1:8080, out of reeve.db)."`
	Migrate  migrate  `cmd:"" help:"Bring the database's tables up to date, or back."`
	Check    check    `cmd:"" help:"Recount the counters, and compare what else is kept twice; repair what is wrong."`
	Backup   backup   `cmd:"" help:"Write the whole database into a file, as it is now, while it is served."`
	Restore  restore  `cmd:"" help:"Fill an empty database from a backup of any database."`
	User     users    `cmd:"" help:"Create users and make them administrators, in the database itself."`
	Demo     demo     `cmd:"" help:"Load the demo data into an empty database."`
	Settings settings `cmd:"" help:"Print what the program can be told, as a page in Markdown."`
	Generate generate `cmd:"" help:"Fill the database with made-up users and sessions."`

	Version kong.VersionFlag `help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // whoever does not wait for the end can signal again
	var p program
	command := kong.Parse(&p, kong.Name("reeve"), kong.Description("The admin API that every service would otherwise have to write for itself."),
		kong.Vars{"version": version.Current().String()}, kong.BindTo(ctx, (*context.Context)(nil)), kong.UsageOnError())
	configuration, err := readConfiguration(p.Config, os.Environ(), p.Set)
	if err == nil {
		err = command.Run(configuration)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reeve:", sentence(err))
		stop()
		os.Exit(1)
	}
}

// sentence is an error for whoever sits at the terminal: what the engine says of a refusal, without what the
// database said to it. Why the database does not answer, it alone says.
func sentence(err error) error {
	if failures := resource.AllErrors(err); failures.Status() < http.StatusInternalServerError {
		return failures
	}
	return err
}
