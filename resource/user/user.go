// Package user is the entity user: an account of the service.
package user

import (
	"context"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// User is an account. A user with CanRequestAdmin is an administrator.
type User struct {
	ID                      ulid.ULID
	Username                string
	DisplayName, Email      string
	PasswordHash            string // empty for an account that cannot sign in by password
	CanRequestAdmin         bool
	SecondFactor            bool // has an authenticator
	RegisteredIP            string
	CreatedAt, LastActiveAt time.Time
	LockedAt, DeactivatedAt time.Time
	Connected               bool
	Revision                int64

	newPassword // set where a password is given, never stored
}

// newPassword is a password that a request gives, until it has been checked.
type newPassword struct {
	given     string
	unchecked bool // how strong it is shall not matter
}

const uncheckedDoc = "Take the password however easy it is to guess."

// The conditions that a user can be in. A locked user may be deactivated too.
var (
	Locked      = resource.NotNull("locked_at")
	Deactivated = resource.NotNull("deactivated_at")
	Active      = resource.All{resource.IsNull("deactivated_at"), resource.IsNull("locked_at")}
)

func lockedAt(u *User) *time.Time      { return &u.LockedAt }
func deactivatedAt(u *User) *time.Time { return &u.DeactivatedAt }

var (
	usernameRule = resource.Matches(`^[a-z0-9=.\-/+@][a-z0-9_=.\-/+@]*$`, "must be one or more of a-z 0-9 = _ - . / + @ and not begin with _")
	addressRule  = resource.Matches(`^[0-9a-fA-F.:]{2,45}$`, "must be an IP address")
	emailRule    = resource.Matches(`^[^@\s]+@[^@\s]+$`, "must be an email address")
)

// MaySignIn reports whether the user is neither locked nor deactivated.
func (u *User) MaySignIn() bool { return u.LockedAt.IsZero() && u.DeactivatedAt.IsZero() }

// Schema is the entity user.
var Schema = resource.Schema[User]{
	Name: "user", Plural: "users",
	Doc: "An account of the service.",
	ID:  func(u *User) *ulid.ULID { return &u.ID },
	Attributes: []resource.Attribute[User]{
		resource.Attr("username", func(u *User) *string { return &u.Username }, usernameRule).
			Required().Fixed().Unique().Filter(resource.Eq, resource.Prefix).Example("kilgore-trout"),
		resource.Attr("created_at", func(u *User) *time.Time { return &u.CreatedAt }).Created().Filter(resource.Greater, resource.Less),
		resource.Attr("locked_at", lockedAt).Nullable().ReadOnly().
			Doc("A locked user is refused everywhere until unlocked; nothing of theirs ends."),
		resource.Attr("can_request_admin", func(u *User) *bool { return &u.CanRequestAdmin }).ReadOnly().Filter(resource.Eq).
			Doc("Whether the user is an administrator. The action set-admin sets it."),
		resource.Attr("second_factor", func(u *User) *bool { return &u.SecondFactor }).ReadOnly().Filter(resource.Eq).
			Doc("Whether the user has an authenticator, which is asked for besides the password."),
		resource.Attr("deactivated_at", deactivatedAt).Nullable().ReadOnly().
			Doc("A deactivated user is gone for good until reactivated; their sessions and tokens have ended."),
		resource.Attr("display_name", func(u *User) *string { return &u.DisplayName }).Nullable().Example("Kilgore Trout"),
		resource.Attr("email", func(u *User) *string { return &u.Email }, emailRule).Nullable().Unique().Example("kilgore@example.com"),
		resource.Attr("registered_ip", func(u *User) *string { return &u.RegisteredIP }, addressRule).Nullable().Fixed().
			Doc("The address from which the account was registered."),
		resource.Attr("last_active_at", func(u *User) *time.Time { return &u.LastActiveAt }).Nullable().ReadOnly().Quiet().Tallied(),
		resource.Attr("connected", func(u *User) *bool { return &u.Connected }).ReadOnly().Quiet().Filter(resource.Eq).
			Doc("Whether a live stream of the user is open."),
		resource.Input("password", func(u *User) *string { return &u.PasswordHash }, auth.HashPassword).Keeping(func(u *User) *string { return &u.given }).
			Fixed().MaxLength(auth.MaxPasswordBytes).Example("correct horse battery"),
		resource.Input("skip_password_check", func(u *User) *bool { return &u.unchecked }, func(_ context.Context, skip bool) (bool, error) { return skip, nil }).
			Fixed().Doc(uncheckedDoc),
		resource.Attr("password_hash", func(u *User) *string { return &u.PasswordHash }, auth.CheckHash).Nullable().Fixed().WriteOnly().MaxLength(512).
			Doc("The hash of a password, brought from elsewhere instead of the password: argon2id, bcrypt, scrypt or PBKDF2 (PHC strings). It is made anew at the next sign-in.").
			Example("$2b$12$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m"),
		resource.Revision(func(u *User) *int64 { return &u.Revision }),
	},
	References: []resource.Reference[User]{
		resource.ToMany[User]("roles", "role").Inverse("users").Doc("What the user may do, besides by the roles of the user's groups."),
	},
	Sorts: [][]string{{"username"}, {"created_at"}, {"last_active_at"}},
	Filters: []resource.Filter{
		{Name: "status", Doc: "Neither locked nor deactivated; locked; deactivated.", Values: map[string]resource.Condition{
			"active": Active, "locked": Locked, "deactivated": Deactivated}},
		{Name: "search", Kind: resource.String, Doc: "A part of the username, display name or email, in any case.", Where: func(part any) resource.Condition {
			return resource.Any{resource.Holds("username", resource.Contains, part),
				resource.Holds("display_name", resource.Contains, part), resource.Holds("email", resource.Contains, part)}
		}},
	},
}

// Rights are the permissions of a user.
type Rights func(ctx context.Context, u *User) ([]auth.Permission, error)

// Verify finds out whether a password is that of the user with a name. It returns auth.ErrInvalid if it is not.
type Verify func(ctx context.Context, username, password string) error

// Strength says what is wrong with a password whose owner some words are about, as an error that follows the name of the
// attribute in a sentence; nil if it is strong enough. See [auth.Strength].
type Strength func(password string, words ...string) error

// Leave is asked before a user is removed, cannot sign in any more, or is no administrator by themselves any more: whether
// somebody is left who is one.
type Leave func(tx *resource.Tx, id ulid.ULID) error

func (leave Leave) check(tx *resource.Tx, before, after *User) error {
	if before == nil || !before.MaySignIn() || after != nil && after.MaySignIn() && (after.CanRequestAdmin || !before.CanRequestAdmin) {
		return nil
	}
	return leave(tx, before.ID)
}

// Join has a new user join the groups that every one joins.
type Join func(tx *resource.Tx, id ulid.ULID) error

func (join Join) then(tx *resource.Tx, before, after *User) error {
	if before != nil {
		return nil
	}
	return join(tx, after.ID)
}

// Local refuses to have a password kept here for a user whose password is kept elsewhere.
type Local func(ctx context.Context, id ulid.ULID) error

func (local Local) passwords(tx *resource.Tx, before, after *User) error {
	if before == nil || after == nil || before.PasswordHash == after.PasswordHash {
		return nil
	}
	return local(tx, before.ID)
}

// Rules are what users need to know that others know.
type Rules struct {
	Rights   Rights
	Verify   Verify
	Strength Strength
	Local    Local
	Leave    Leave
	Join     Join
}

// Type serves users out of a store, with the linkage of their roles.
func Type(users resource.Store[User], roles resource.Linkage, rules Rules) resource.Type[User] {
	return resource.Type[User]{
		Schema: Schema, Lookups: []string{"username"}, Linkages: map[string]resource.Linkage{"roles": roles}, Forcible: true,
		List: users.List, Get: users.Get, Create: users.Create, Update: users.Update, Delete: users.Delete,
		Checks: []resource.Check[User]{
			notOneself, noMore, rules.Rights.passwords, rules.Local.passwords, rules.Strength.passwords, rules.Leave.check,
		},
		Then: rules.Join.then,
		Actions: []resource.Action[User]{
			resource.Change("lock", users.Update, resource.Stamp(lockedAt)).Doc("Refuse the user everywhere until unlocked."),
			resource.Change("unlock", users.Update, resource.Unstamp(lockedAt)).Doc("Let a locked user in again."),
			resource.Change("deactivate", users.Update, resource.Stamp(deactivatedAt)).Then(endAll).Doc("End the account, its sessions, its tokens, and its links to set a password."),
			resource.Change("reactivate", users.Update, resource.Unstamp(deactivatedAt)).Doc("Open a deactivated account again; what ended stays ended."),
			resource.Command("set-admin", users.Update, adminArguments, setAdmin).Doc("Make the user an administrator, or no longer one."),
			resource.Command("set-password", users.Update, setArguments, setPassword).Then(endLinks).Answering(resource.AnswersNothing).Putting().
				Doc("Set a new password and, unless told otherwise, finish the user's sessions, but for those of personal tokens."),
			resource.Command("change-password", users.Update, changeArguments, changePassword).First(current(rules.Verify)).Then(endLinks).Answering(resource.AnswersNothing).
				Doc("Set a new password for oneself, and finish one's other sessions unless told otherwise, but for those of personal tokens. Wrong current passwords count as attempts to sign in."),
			resource.Run[User]("finish-sessions", finishArguments, finishSessions).Answering(resource.AnswersMeta).
				Doc("Finish the user's sessions, those of personal tokens only if told so; `meta.finished` is how many they were."),
		},
	}
}

func endAll(tx *resource.Tx, u *User) error {
	_, err := tx.Do(finish(u.ID), resource.OnAll("revoke", "token", resource.FilterBy("user", u.ID.String()), resource.FilterBy("revoked", "false")))
	if err != nil {
		return err
	}
	return endLinks(tx, u)
}

// endLinks ends the links with which the user could set a password.
func endLinks(tx *resource.Tx, u *User) error {
	_, err := tx.Do(resource.OnAll("expire", "password-link", resource.FilterBy("user", u.ID.String()), resource.FilterBy("status", "active")))
	return err
}

// finish is the operation that ends the sessions of a user which meet further filters.
func finish(user ulid.ULID, further ...resource.FilterArgument) resource.Operation {
	return resource.OnAll("finish", "session",
		append(further, resource.FilterBy("user", user.String()), resource.FilterBy("status", "active"))...)
}

// signedIn are the sessions that begin with a sign-in, not those of personal tokens.
var signedIn = resource.FilterBy("kind", "browser", "oauth2", "compat", "stream")

// others are the sessions that are not the caller's.
func others(tx *resource.Tx) []resource.FilterArgument {
	if tx.Principal.Session == (ulid.ULID{}) {
		return nil
	}
	return []resource.FilterArgument{resource.FilterBy("except", tx.Principal.Session.String())}
}

type finishArgument struct{ exceptCurrent, tokens bool }

var finishArguments = []resource.Attribute[finishArgument]{
	resource.Attr("except_current", func(a *finishArgument) *bool { return &a.exceptCurrent }).Doc("Leave the session of the caller."),
	resource.Attr("tokens", func(a *finishArgument) *bool { return &a.tokens }).Doc("Revoke the user's personal tokens too."),
}

func finishSessions(tx *resource.Tx, id ulid.ULID, a *finishArgument) (resource.Meta, error) {
	var further []resource.FilterArgument
	if !a.tokens {
		further = append(further, signedIn)
	}
	if a.exceptCurrent {
		further = append(further, others(tx)...)
	}
	done, err := tx.Do(finish(id, further...))
	if err != nil {
		return nil, err
	}
	return resource.Meta{"finished": done[0].Affected}, nil
}

type adminArgument struct{ admin bool }

var adminArguments = []resource.Attribute[adminArgument]{
	resource.Attr("admin", func(a *adminArgument) *bool { return &a.admin }).Required(),
}

func setAdmin(_ *resource.Tx, u *User, a *adminArgument) error {
	u.CanRequestAdmin = a.admin
	return nil
}

type passwordArgument struct {
	newPassword
	current, hash  string
	finishSessions bool
}

var passwordArguments = []resource.Attribute[passwordArgument]{
	resource.Input("password", func(p *passwordArgument) *string { return &p.hash }, auth.HashPassword).Keeping(func(p *passwordArgument) *string { return &p.given }).
		Required().MaxLength(auth.MaxPasswordBytes).Example("correct horse battery"),
	resource.Attr("finish_sessions", func(p *passwordArgument) *bool { return &p.finishSessions }).Default(true),
}

var setArguments = append([]resource.Attribute[passwordArgument]{
	resource.Attr("skip_password_check", func(p *passwordArgument) *bool { return &p.unchecked }).Doc(uncheckedDoc),
}, passwordArguments...)

func setPassword(tx *resource.Tx, u *User, p *passwordArgument) error {
	return p.set(tx, u, signedIn)
}

// set sets the password and, unless told otherwise, ends the sessions of the user that meet filters.
func (p *passwordArgument) set(tx *resource.Tx, u *User, ends ...resource.FilterArgument) error {
	u.PasswordHash, u.newPassword = p.hash, p.newPassword
	u.Revision++
	if !p.finishSessions {
		return nil
	}
	_, err := tx.Do(finish(u.ID, ends...))
	return err
}

var changeArguments = append([]resource.Attribute[passwordArgument]{
	resource.Attr("current_password", func(p *passwordArgument) *string { return &p.current }).Required().WriteOnly().MaxLength(1024).Example("so it goes"),
}, passwordArguments...)

// current has callers prove that they know their own password.
func current(verify Verify) func(ctx context.Context, body resource.Body) error {
	return func(ctx context.Context, body resource.Body) error {
		who := resource.PrincipalOf(ctx)
		if who.Type != Schema.Name {
			return errNotOneself
		}
		password, _ := body.Attributes["current_password"].(string) // it is one
		err := verify(ctx, who.Name, password)
		if errors.Is(err, auth.ErrInvalid) {
			return resource.Errorf(resource.Invalid, "current_password is not the caller's password").At("attributes", "current_password")
		}
		return err
	}
}

var errNotOneself = resource.Errorf(resource.Forbidden, "everybody changes their own password; set-password is for that of others")

func changePassword(tx *resource.Tx, u *User, p *passwordArgument) error {
	if !oneself(tx, u) {
		return errNotOneself
	}
	return p.set(tx, u, append(others(tx), signedIn)...)
}

func oneself(tx *resource.Tx, u *User) bool {
	return tx.Principal.Type == Schema.Name && tx.Principal.ID == u.ID
}

// notOneself keeps callers from locking themselves out by mistake.
func notOneself(tx *resource.Tx, before, after *User) error {
	if before == nil || !oneself(tx, before) || tx.Forced() {
		return nil
	}
	if after == nil || before.MaySignIn() && !after.MaySignIn() || before.CanRequestAdmin && !after.CanRequestAdmin {
		return resource.Errorf(resource.Conflict, "this is your own account; force=true says that you mean it")
	}
	return nil
}

// noMore keeps callers from making administrators who are none.
func noMore(tx *resource.Tx, before, after *User) error {
	if before == nil || after == nil || before.CanRequestAdmin || !after.CanRequestAdmin {
		return nil
	}
	return resource.NoMore(tx.Principal, auth.Everything, "attributes", "admin")
}

// passwords keeps callers from signing in as somebody who may do more than they: nobody sets the password of such a
// user.
func (r Rights) passwords(tx *resource.Tx, before, after *User) error {
	if before == nil || after == nil || before.PasswordHash == after.PasswordHash || oneself(tx, before) {
		return nil
	}
	rights, err := r(tx, before)
	if err != nil {
		return err
	}
	return resource.NoMore(tx.Principal, rights, "attributes", "password")
}

// passwords keeps passwords out that are easy to guess, unless whoever sets one says that this shall not matter. What has
// been checked is forgotten.
func (s Strength) passwords(_ *resource.Tx, _, after *User) error {
	if after == nil || after.given == "" {
		return nil
	}
	password := after.newPassword
	after.newPassword = newPassword{}
	if password.unchecked {
		return nil
	}
	if err := s(password.given, after.Username, after.DisplayName, after.Email); err != nil {
		return resource.Errorf(resource.Invalid, "password %s", err).At("attributes", "password")
	}
	return nil
}
