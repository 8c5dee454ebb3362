package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"reeve/auth"
	"reeve/auth/factor"
	"reeve/auth/oauth"
	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/activity"
	"reeve/resource/alert"
	"reeve/resource/allowedaddress"
	"reeve/resource/attempt"
	"reeve/resource/authenticator"
	"reeve/resource/client"
	"reeve/resource/contact"
	"reeve/resource/encryption"
	"reeve/resource/event"
	"reeve/resource/group"
	"reeve/resource/idempotency"
	"reeve/resource/job"
	"reeve/resource/ldap"
	"reeve/resource/me"
	"reeve/resource/message"
	"reeve/resource/module"
	"reeve/resource/passwordlink"
	"reeve/resource/permission"
	"reeve/resource/presence"
	"reeve/resource/provisioning"
	"reeve/resource/registration"
	"reeve/resource/role"
	"reeve/resource/room"
	self "reeve/resource/server"
	"reeve/resource/session"
	"reeve/resource/setting"
	"reeve/resource/stats"
	"reeve/resource/token"
	"reeve/resource/types"
	"reeve/resource/usagereport"
	"reeve/resource/user"
	"reeve/resource/version"
	"reeve/resource/webhook"
	"reeve/storage"
	"reeve/storage/postgres"
	"reeve/storage/sqlite"
)

// app is the program put together: every command works with one.
type app struct {
	log       *slog.Logger
	metrics   *metrics
	database  *storage.Outbox
	engine    *resource.Engine
	users     *storage.Table[user.User]
	sessions  *storage.Table[session.Session]
	tokens    *storage.Table[token.Token]
	groups    *storage.Table[group.Group]
	waiting   *storage.Table[group.Waiting]
	contacts  *storage.Table[contact.Contact]
	rooms     *storage.Table[room.Room]
	roles     *storage.Table[role.Role]
	second    *storage.Table[authenticator.Authenticator]
	links     *storage.Table[passwordlink.Link]
	clients   *storage.Table[client.Client]
	codes     *storage.Table[oauth.Code]
	refreshes *storage.Table[oauth.RefreshToken]
	access    *storage.Table[oauth.AccessToken]
	browsers  *storage.Table[oauth.Browser]
	pending   *storage.Table[oauth.Pending]
	devices   *storage.Table[oauth.Device]
	consents  *storage.Table[oauth.Consent]
	keys      *storage.Table[oauth.Key]
	records   *storage.Table[idempotency.Record]
	answers   *idempotency.Keeper
	tallies   *storage.Table[attempt.Tally]
	attempts  *attempt.Tallies
	activity  *activity.Log
	limiter   *auth.Limiter
	passwords *auth.Passwords
	modules   *module.Loader
	started   time.Time
	readOnly  atomic.Bool // see maintenance.read_only
	config    *configuration
	settings  *setting.Keeper
	guard     *allowedaddress.Guard
	certified []*certificate // of the listeners
	presence  *presence.Keeper
	jobs      *job.Keeper

	authorization *oauth.Server // of serve

	messages   *storage.Table[message.Message]
	recipients *storage.Table[message.Recipient]
	broadcasts *storage.Table[message.Broadcast]
	office     *message.Office
	factors    *factor.Factors
	registrar  *registration.Registrar

	directory    *ldap.Syncer
	ldapAccounts *storage.Table[ldap.Account]

	webhooks   *storage.Table[webhook.Webhook]
	deliveries *storage.Table[webhook.Delivery]
	subjects   *storage.Table[webhook.Subject]
	leases     *storage.Table[webhook.Lease]

	alerts  *storage.Table[alert.Alert]
	samples *storage.Table[alert.Sample]
	drifts  *storage.Table[drift]
}

// open puts the program together over its database, whose tables may still be out of date.
func open(ctx context.Context, c *configuration) (*app, error) {
	a := &app{started: resource.Cut(time.Now()), config: c}
	var level, libraries slog.LevelVar
	logLevel.Follow(c.Store, func(text string) {
		if err := level.UnmarshalText([]byte(text)); err == nil { // it is checked
			libraries.Set(max(level.Level(), slog.LevelWarn)) // they are heard only when something is wrong
		}
	})
	a.log = slog.New(tracedLog{slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: &level})})
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: &libraries})))
	dialects := map[string]storage.Dialect{
		"sqlite": sqlite.Dialect{}, "postgres": postgres.Dialect{}, "postgresql": postgres.Dialect{},
	}
	uri := databaseURI.In(c)
	scheme, _, _ := strings.Cut(uri, ":")
	dialect := dialects[scheme]
	if dialect == nil {
		return nil, fmt.Errorf("configuration: database.uri must begin with sqlite:// or postgres://")
	}
	key, former, err := c.masterKeys()
	if err != nil {
		return nil, err
	}
	db, err := storage.Open(ctx, dialect, uri, storage.Options{
		MasterKey: key, FormerMasterKeys: former, ReadOnly: a.readOnly.Load, Log: a.log, Timeout: databaseTimeout.In(c), CountBudget: databaseCountBudget.In(c), Connections: databaseMaxConnections.In(c),
	})
	if err != nil {
		return nil, explained(err)
	}
	if err := a.declare(c, db); err != nil {
		return nil, fmt.Errorf("%w (and closing: %v)", err, db.Close())
	}
	return a, nil
}

// declare names every table and serves every type.
func (a *app) declare(c *configuration, db *storage.DB) error {
	d := &declaring{db: db}
	a.users = table(d, user.Schema)
	a.clients = table(d, client.Schema)
	a.sessions = table(d, session.Schema)
	a.tokens = table(d, token.Schema)
	a.groups = table(d, group.Schema)
	a.waiting = table(d, group.WaitingSchema)
	a.contacts = table(d, contact.Schema)
	a.rooms = table(d, room.Schema)
	a.roles = table(d, role.Schema)
	a.links = table(d, passwordlink.Schema)
	a.codes = table(d, oauth.CodeSchema)
	a.refreshes = table(d, oauth.RefreshSchema)
	a.access = table(d, oauth.TokenSchema)
	a.browsers = table(d, oauth.BrowserSchema)
	a.pending = table(d, oauth.PendingSchema)
	a.devices = table(d, oauth.DeviceSchema)
	a.consents = table(d, oauth.ConsentSchema)
	a.keys = table(d, oauth.KeySchema)
	a.records = table(d, idempotency.Schema)
	loadings := table(d, module.LoadingSchema)
	a.tallies = table(d, attempt.Schema)
	a.messages, a.recipients, a.broadcasts = table(d, message.Schema), table(d, message.RecipientSchema), table(d, message.BroadcastSchema)
	nodes, connections := table(d, presence.NodeSchema), table(d, presence.ConnectionSchema)
	a.webhooks, a.deliveries = table(d, webhook.Schema), table(d, webhook.DeliverySchema)
	a.subjects, a.leases = table(d, webhook.SubjectSchema), table(d, webhook.LeaseSchema)
	a.alerts, a.samples = table(d, alert.Schema), table(d, alert.SampleSchema)
	a.drifts = table(d, driftSchema)
	overrides := table(d, setting.OverrideSchema)
	addresses := table(d, allowedaddress.Schema)
	registrationTokens, registrations := table(d, registration.Schema), table(d, registration.PendingSchema)
	a.second = table(d, authenticator.Schema)
	recovery := table(d, factor.RecoverySchema)
	jobs := table(d, job.Schema)
	provisioned, changes := table(d, provisioning.ProvisionedSchema), table(d, provisioning.ChangeSchema)
	a.ldapAccounts = table(d, ldap.AccountSchema)
	if d.err != nil {
		return d.err
	}
	var err error
	if a.database, err = storage.NewOutbox(db, event.Schema); err != nil {
		return err
	}
	if a.metrics, err = a.newMetrics(); err != nil {
		return err
	}
	a.attempts = attempt.New(unrefused{a.database}, a.tallies)
	a.presence = presence.New(presence.Config{
		Nodes: nodes, Connections: connections, Connect: a.connect, Finish: a.finish, Alone: db.Embedded(), Log: a.log,
	})
	a.factors = factor.New(factor.Config{
		Database: a.database, Users: a.users, Authenticators: a.second, RecoveryCodes: recovery, Clock: time.Now,
	})
	a.activity = a.newActivity()
	if a.limiter, err = a.newLimiter(c); err != nil {
		return err
	}
	a.passwords = auth.NewPasswords(auth.PasswordsConfig{
		Lookup: a.password, Rehash: a.rehash, Failed: a.signInFailed, Elsewhere: a.elsewhere, Limiter: a.limiter, Clock: time.Now,
	})
	a.answers = idempotency.New(idempotency.Config{Database: a.database, Records: a.records})
	a.settings = setting.NewKeeper(setting.Config{Store: a.config.Store, Database: a.database, Overrides: overrides, Log: a.log})
	a.guard = allowedaddress.NewGuard(allowedaddress.Config{Database: a.database, Addresses: addresses, Log: a.log})
	administrators := role.NewAdministrators(a.users, user.Active)
	registry := &resource.Registry{}
	a.engine = resource.NewEngine(registry, a.database, time.Now)
	a.modules = module.NewLoader(module.Config{
		Registry: registry, Database: db, Loadings: loadings, Log: a.log, Files: func() []module.Module { return declared(c, db, db.Adopt) },
		Guards: map[string]func(http.Handler) http.Handler{serveAdminAPI: a.guarded},
		Jobs:   func(ctx context.Context, kinds []job.Kind) error { return a.jobs.Run(ctx, kinds) },
	})
	a.jobs = job.NewKeeper(job.Config{
		Database: a.database, Jobs: jobs, Kinds: a.modules.Kinds, Enabled: func() bool { return jobsEnabled.In(c) && !a.readOnly.Load() },
		Node: a.presence.ID(), Nodes: a.presence.Nodes, Log: a.log,
	})
	return a.modules.Know(module.Module{
		Name: "core", Doc: "What every service has: accounts, their sessions and tokens, groups, roles, the trail, and the server's own types.", Core: true,
		Types: []resource.Declaration{
			user.Type(a.users, role.Granted(a.users.Linkage("roles"), a.roles, administrators, role.OfUser), user.Rules{
				Rights: a.rights, Verify: a.verify, Strength: c.checkStrength, Local: a.passwordHere, Leave: administrators.WithoutUser, Join: a.joinDefaultGroups,
			}),
			client.Type(a.clients), session.Type(a.sessions, a.sessionEnded), token.Type(a.tokens, token.Sessions{Open: a.openSessions, Hold: a.holdSession}, a.rightsOf),
			group.Type(a.groups, role.Joined(a.groups.Linkage("members"), a.roles, administrators),
				role.Granted(a.groups.Linkage("roles"), a.roles, administrators, role.OfGroup), administrators.WithoutGroup, a.waiting),
			passwordlink.Type(a.links, a.recipient, c.publicBase()),
			authenticator.Type(a.second, a.factors.Remove, a.rightsOf), role.Type(a.roles, registry), permission.Of(registry), event.Type(a.database.Events()),
			module.Type(a.modules), types.Of(registry), me.Type(), version.Type(),
			setting.Type(a.settings), allowedaddress.Type(a.guard), self.Type(a.server, a.reload), a.jobs.Type(), stats.Type(a.stats), usagereport.Type(a.usageReport), encryption.Type(a.encryption, db.RotateDataKeys),
		},
		Jobs: []job.Kind{a.recount(), a.reEncrypt(), a.prune(c, jobs), a.erase(c), a.export(c)},
	}, a.contactsModule(), a.newMessages(c), a.newRegistration(c, registrationTokens, registrations), a.newWebhooks(c), a.newLDAP(c, jobs), a.newAlerts(c),
		a.newProvisioning(c, provisioned, changes))
}

// declaring keeps the first error of several declarations.
type declaring struct {
	db  *storage.DB
	err error
}

func table[T any](d *declaring, schema resource.Schema[T]) *storage.Table[T] {
	if d.err != nil {
		return nil
	}
	t, err := storage.NewTable(d.db, schema)
	d.err = err
	return t
}

// openCurrent puts the program together and brings its tables, and what comes with it, up to date.
func openCurrent(ctx context.Context, c *configuration) (*app, error) {
	a, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	err = a.database.Migrate(ctx)
	if err == nil {
		err = role.BuiltIn(ctx, a.database, a.roles, time.Now())
	}
	if err == nil {
		err = a.settings.Load(ctx)
	}
	if err == nil {
		err = a.modules.Open(ctx, a.engine, modulesEnabled.In(c))
	}
	if err != nil {
		return nil, fmt.Errorf("%w (and closing: %v)", err, a.database.Close())
	}
	return a, nil
}

// stores are the tables that fixtures go into.
func (a *app) stores() fixtures.Stores {
	return fixtures.Stores{Users: a.users, Sessions: a.sessions, Groups: a.groups, Members: a.groups.Linkage("members"), Contacts: a.contacts}
}

// close closes the database. Whoever calls it is done, so an error is only worth a line.
func (a *app) close() {
	if err := a.database.Close(); err != nil {
		a.log.Error("closing the database", "error", err)
	}
}
