package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/authenticator"
	"reeve/resource/passwordlink"
	"reeve/resource/user"
)

// users is the command reeve user. It works on the database itself, whether a server runs or not.
type users struct {
	Create  createUser  `cmd:"" help:"Create a user."`
	Promote promoteUser `cmd:"" help:"Make a user an administrator."`
	Invite  inviteUser  `cmd:"" help:"Make a link with which a user sets a password: an invitation, or a reset for one who has a password."`

	ResetSecondFactor resetSecondFactor `cmd:"" help:"Remove the authenticators of a user who has lost them."`
}

type createUser struct {
	Name          string `arg:"" help:"The username."`
	Admin         bool   `help:"Make the user an administrator."`
	PasswordStdin bool   `help:"Read the password from the standard input instead of asking for it."`

	SkipPasswordCheck bool `help:"Take the password however easy it is to guess."`
}

func (cmd createUser) Run(ctx context.Context, c *configuration) error {
	a, err := openCurrent(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	password, err := readPassword(cmd.PasswordStdin)
	if err != nil {
		return err
	}
	attributes := map[string]any{"username": cmd.Name}
	if password != "" {
		attributes["password"], attributes["skip_password_check"] = password, cmd.SkipPasswordCheck
	}
	// Both are one transaction, so that nobody meets the account without its rights.
	var u *user.User
	err = a.database.Transact(ctx, func(ctx context.Context) error {
		var err error
		u, err = resource.Do[user.User](ctx, a.engine, resource.Operation{
			Verb: resource.Create, Type: user.Schema.Name, Principal: auth.System, Body: resource.Body{Attributes: attributes}})
		if err == nil && cmd.Admin {
			u, err = promote(ctx, a, cmd.Name)
		}
		return err
	})
	if err == nil {
		fmt.Println(u.ID, u.Username)
	}
	return err
}

type promoteUser struct {
	Name string `arg:"" help:"The username."`
}

func (cmd promoteUser) Run(ctx context.Context, c *configuration) error {
	a, err := openCurrent(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	u, err := promote(ctx, a, cmd.Name)
	if err == nil {
		fmt.Println(u.ID, u.Username, "is an administrator.")
	}
	return err
}

type inviteUser struct {
	Name string        `arg:"" help:"The username."`
	For  time.Duration `default:"72h" help:"How long the link is good, 720h at most."`
}

func (cmd inviteUser) Run(ctx context.Context, c *configuration) error {
	a, err := openCurrent(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	u, err := resource.Only(ctx, a.users.List, "username", cmd.Name)
	if err != nil {
		return err
	}
	if u == nil {
		return fmt.Errorf("there is no user %q", cmd.Name)
	}
	purpose := passwordlink.Invitation
	if u.PasswordHash != "" {
		purpose = passwordlink.Reset
	}
	link, err := resource.Do[passwordlink.Link](ctx, a.engine, resource.Operation{
		Verb: resource.Create, Type: passwordlink.Schema.Name, Principal: auth.System, Body: resource.Body{
			Attributes:    map[string]any{"purpose": purpose, "expires_at": time.Now().Add(cmd.For).Format(time.RFC3339Nano)},
			Relationships: map[string][]resource.Identifier{"user": {{Type: user.Schema.Name, ID: u.ID}}},
		}})
	if err == nil {
		fmt.Println(link.URL)
	}
	return err
}

func promote(ctx context.Context, a *app, username string) (*user.User, error) {
	return resource.Do[user.User](ctx, a.engine, resource.Operation{
		Verb: "set-admin", Type: user.Schema.Name, Key: &resource.Key{Attribute: "username", Value: username},
		Principal: auth.System, Body: resource.Body{Attributes: map[string]any{"admin": true}},
	})
}

type resetSecondFactor struct {
	Name string `arg:"" help:"The username."`
}

func (cmd resetSecondFactor) Run(ctx context.Context, c *configuration) error {
	a, err := openCurrent(ctx, c)
	if err != nil {
		return err
	}
	defer a.close()
	u, err := resource.Only(ctx, a.users.List, "username", cmd.Name)
	if err == nil && u == nil {
		err = fmt.Errorf("there is no user %q", cmd.Name)
	}
	if err != nil {
		return err
	}
	held, err := a.factors.Of(ctx, u.ID)
	if err != nil {
		return err
	}
	var removals []resource.Operation
	for _, one := range held {
		removals = append(removals, resource.Operation{Verb: resource.Delete, Type: authenticator.Schema.Name, ID: one.ID, Principal: auth.System})
	}
	if _, err = a.engine.Do(ctx, removals...); err == nil {
		fmt.Println(u.ID, u.Username, "signs in by password alone, or sets up another second factor then.")
	}
	return err
}

// readPassword asks for a password twice, or reads it from the standard input. An empty one is none.
func readPassword(stdin bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", errors.New("there is no terminal to ask for the password at; use --password-stdin")
	}
	var given [2]string
	for i, prompt := range []string{"Password (empty for none): ", "Again: "} {
		fmt.Fprint(os.Stderr, prompt)
		password, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		if err != nil {
			return "", err
		}
		given[i] = string(password)
	}
	if given[0] != given[1] {
		return "", errors.New("the two passwords differ")
	}
	return given[0], nil
}
