package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"reeve/auth"
	"reeve/resource/allowedaddress"
	"reeve/resource/client"
	"reeve/resource/setting"
)

// The settings of the core.
var (
	httpListeners = setting.New("http.listeners", []listenerConfiguration{{
		Name: "web", Resources: resourcesNamed(serveDiscovery, serveOAuth, serveAdminAPI, serveUserAPI, serveHealth), Binds: []bindConfiguration{{Address: "127.0.0.1:8080"}},
	}}, "What is served, and where.", checkListeners).Fixed().Restart()
	httpPublicBase = setting.New("http.public_base", "",
		"How clients reach the server: https://reeve.example.com/estate; its first bind if empty.", checkPublicBase).Restart()
	httpBasePath = setting.New("http.base_path", "", "The path under which the server finds everything: /estate.", func(path string) error {
		if path != "" && !strings.HasPrefix(path, "/") {
			return errors.New("must begin with /")
		}
		return nil
	}).Restart()
	httpTrustedProxies   = setting.New("http.trusted_proxies", []auth.Network(nil), "The addresses and networks whose X-Forwarded-For and X-Forwarded-Proto count.")
	httpAllowedAddresses = setting.New("http.allowed_addresses", []auth.Network(nil),
		"The addresses and networks from which the admin API may be used, besides those that are stored; anywhere if there are neither.",
		func(addresses []auth.Network) error {
			if len(addresses) > allowedaddress.Max {
				return fmt.Errorf("must have at most %d items", allowedaddress.Max)
			}
			return nil
		}).Fixed()
	httpCORSOrigins = setting.New("http.cors_origins", []string(nil), "The origins whose pages may call the API.")

	clientsSetting = setting.New("clients", []clientConfiguration(nil), "The OAuth clients that are known from the start.").Fixed().Secret()
	adminClients   = setting.New("policy.data.admin_clients", []string(nil), "The clients that may ask for urn:mas:admin.").Fixed()

	databaseURI     = setting.New("database.uri", "sqlite://reeve.db", "sqlite:///path/to/file.db or postgres://…").Fixed().Secret().Restart()
	databaseTimeout = setting.New("database.timeout", 10*time.Second, "How long a read, or a write as a whole, may take: then 503.",
		atLeast(time.Millisecond)).Fixed().Restart()
	databaseCountBudget = setting.New("database.count_budget", 100*time.Millisecond,
		"How long counting a total that no counter knows may take: then there is none.", atLeast(time.Millisecond)).Fixed().Restart()
	databaseMaxConnections = setting.New("database.max_connections", 0, "How many connections at once; 0 for 16 on PostgreSQL, 4 readers on SQLite.", func(n int) error {
		if n < 0 || n == 1 {
			return errors.New("must be at least 2") // on PostgreSQL one gives events their positions
		}
		return nil
	}).Fixed().Restart()

	secretsMasterKey        = setting.New("secrets.master_key", "", "The key that seals secrets: 32 bytes in base64.").Fixed().Secret().Restart()
	secretsMasterKeyFile    = setting.New("secrets.master_key_file", "", "The file that holds the master key.").Fixed().Restart()
	secretsFormerMasterKeys = setting.New("secrets.former_master_keys", []string(nil),
		"The master keys before: a database that one of them opens is sealed under the master key at the start.").Fixed().Secret().Restart()

	authBasicEnabled = setting.New("auth.basic.enabled", true, "Whether users may send their name and password with each request.")

	// Of attempts to sign in, to show a second factor, to find the user code of a device, and, by address, to register a client or an account: each by itself.
	authSignInPerAccount = setting.New("auth.sign_in.per_account", 10, "How many attempts on one account may fail in a window; 0 for any number.", between(0, math.MaxInt32))
	authSignInPerAddress = setting.New("auth.sign_in.per_address", 100,
		"How many attempts from one address, or one IPv6 network of 64 bits, may fail in a window; 0 for any number.", between(0, math.MaxInt32))
	authSignInWindow = setting.New("auth.sign_in.window", 5*time.Minute, "How long a window is. It begins at a multiple of that.", atLeast(time.Second))

	minimumScore  = setting.New("auth.passwords.minimum_score", 3, "How hard to guess a password must be: 0, which takes any, to 4 (zxcvbn).", between(0, 4))
	minimumLength = setting.New("auth.passwords.minimum_length", 8, "How many characters a password must have.", between(1, auth.MaxPasswordBytes/4))

	authSecondFactorRequired = setting.New("auth.second_factor.required", noOne,
		"Who must have a second factor: none, administrators (those who may do everything) or everyone.", func(who string) error {
			if !slices.Contains([]string{noOne, administrators, everyone}, who) {
				return fmt.Errorf("must be %s, %s or %s", noOne, administrators, everyone)
			}
			return nil
		})

	eventsKeep     = setting.New("events.keep", 9600*time.Hour, "How long the trail is kept; 0 for ever.", checkKeep)
	sessionsKeep   = setting.New("sessions.keep", 2160*time.Hour, "How long a session is kept once it has finished; 0 for ever.", checkKeep)
	modulesEnabled = setting.New("modules.enabled", []string{"contacts", "ldap", "messages", "registration", "webhooks", "alerts", "provisioning"}, "The modules that are loaded, unless somebody has ever loaded or unloaded them.").Fixed().Restart()
	modulesPath    = setting.New("modules.path", "modules", "The folder whose files declare modules; none if empty.").Fixed().Restart()

	registrationEnabled       = setting.New("registration.enabled", false, "Whether people may register accounts for themselves.")
	registrationTokenRequired = setting.New("registration.token_required", true, "Whether it takes a registration token to register.")
	usersDefaultGroups        = setting.New("users.default_groups", []string(nil), "The keys of the groups that every new user joins. Those that are not there are left out.").Privileged()

	serverName              = setting.New("server.name", "reeve", "The name of the server: the sender of messages.")
	messagesKeep            = setting.New("messages.keep", 720*time.Hour, "How long messages and broadcasts are kept, delivered or not; 0 for ever.", checkKeep)
	messagesPrefix          = setting.New("messages.prefix", "", "What is put before the text of a message to one user.")
	messagesMulticastPrefix = setting.New("messages.multicast_prefix", "", "What is put before the text of a message to several users.")
	messagesBroadcastPrefix = setting.New("messages.broadcast_prefix", "", "What is put before the text of a broadcast.")

	jobsEnabled = setting.New("jobs.enabled", true, "Whether jobs are done; else they are queued, and wait.")
	jobsKeep    = setting.New("jobs.keep", 720*time.Hour, "How long a job is kept once it has ended; 0 for ever.", checkKeep)

	streamHeartbeat     = setting.New("stream.heartbeat", 15*time.Second, "How long a live stream is silent at most.", atLeast(time.Second))
	streamPatience      = setting.New("stream.patience", 10*time.Second, "How long a reader of a live stream may take for each piece: then the stream ends.", atLeast(time.Second))
	maintenanceReadOnly = setting.New("maintenance.read_only", false,
		"Whether nothing can be written, on any node, but this setting: writes are 503, reads go on.").Maintenance()
	logLevel = setting.New("log.level", "info", "debug, info, warn or error.", checkLevel)
)

// declarations are the settings of the core, and of the modules that come with the program.
var declarations = []setting.Declaration{
	httpListeners, httpPublicBase, httpBasePath, httpTrustedProxies, httpCORSOrigins, httpAllowedAddresses, clientsSetting, adminClients,
	databaseURI, databaseTimeout, databaseCountBudget, databaseMaxConnections, secretsMasterKey, secretsMasterKeyFile, secretsFormerMasterKeys,
	ldapURLs, ldapAllowPlain, ldapCAFile, ldapBindDN, ldapBindPassword, ldapTimeout, ldapUserBase, ldapUserFilter, ldapUsername, ldapEmail, ldapDisplayName, ldapID, ldapMember,
	ldapMappings, ldapSyncInterval,
	authBasicEnabled, authSecondFactorRequired, authSignInPerAccount, authSignInPerAddress, authSignInWindow,
	minimumScore, minimumLength, registrationEnabled, registrationTokenRequired, usersDefaultGroups, eventsKeep, sessionsKeep, serverName, messagesKeep, messagesPrefix, messagesMulticastPrefix, messagesBroadcastPrefix,
	webhooksAllowPrivate, webhooksAllowedNetworks, webhooksTimeout, webhooksPauseAfter, webhooksKeep,
	alertsInterval, provisioningPath, provisioningWatch, jobsEnabled, jobsKeep, exportsPath, streamHeartbeat, streamPatience, modulesEnabled, modulesPath, maintenanceReadOnly, logLevel, tracingEndpoint, tracingHeaders, tracingPercent,
}

// Who must have a second factor.
const (
	noOne          = "none"
	administrators = "administrators"
	everyone       = "everyone"
)

// listenerConfiguration is one element of http.listeners: what is served, and where.
type listenerConfiguration struct {
	Name      string                  `json:"name"`
	Resources []resourceConfiguration `json:"resources"`
	Binds     []bindConfiguration     `json:"binds"`
	TLS       tlsConfiguration        `json:"tls,omitzero"`
	// RequireTLS refuses what did not come over TLS, here or at a trusted proxy.
	RequireTLS bool `json:"require_tls,omitempty"`
}

type resourceConfiguration struct {
	Name string `json:"name"`
}

func resourcesNamed(names ...string) (resources []resourceConfiguration) {
	for _, name := range names {
		resources = append(resources, resourceConfiguration{name})
	}
	return resources
}

// bindConfiguration is an address, as [::]:8080, or a host and a port.
type bindConfiguration struct {
	Address string `json:"address,omitempty"`
	Host    string `json:"host,omitempty"`
	Port    *int   `json:"port,omitempty"`
}

type tlsConfiguration struct {
	CertificateFile string `json:"certificate_file"`
	KeyFile         string `json:"key_file"`
}

// clientConfiguration is one element of clients: an OAuth client that is known from the start.
type clientConfiguration struct {
	ID           string   `json:"client_id"`
	Name         string   `json:"client_name"`        // what people read when it asks them for something; its client_id if empty
	AuthMethod   string   `json:"client_auth_method"` // client_secret_basic, client_secret_post or none
	Secret       string   `json:"client_secret"`
	RedirectURIs []string `json:"redirect_uris"`
}

// staticClients are the clients of a configuration.
func staticClients(values setting.Values) []client.Static {
	var clients []client.Static
	for _, s := range clientsSetting.In(values) {
		clients = append(clients, client.Static{ClientID: s.ID, Name: s.Name, AuthMethod: s.AuthMethod, Secret: s.Secret, RedirectURIs: s.RedirectURIs})
	}
	return clients
}

// checkStrength says what is wrong with a password, see [user.Strength].
func (c *configuration) checkStrength(password string, words ...string) error {
	return auth.Strength{MinimumScore: minimumScore.In(c), MinimumLength: minimumLength.In(c)}.Check(password, words...)
}

// What a listener can serve.
const (
	serveDiscovery  = "discovery"
	serveOAuth      = "oauth"
	serveAdminAPI   = "adminapi"
	serveUserAPI    = "userapi"
	serveHealth     = "health"
	servePrometheus = "prometheus"
)

// configuration has the settings of the program, and knows where they come from: a YAML file, if a path is given, the
// environment, and flags, the later ones winning. A variable names a setting with REEVE_ before it and __ for each dot:
// REEVE_DATABASE__URI.
type configuration struct {
	*setting.Store
	path        string
	environment []string
	flags       map[string]string
}

func readConfiguration(path string, environment []string, flags map[string]string) (*configuration, error) {
	c := &configuration{setting.NewStore(), path, environment, flags}
	if err := c.Declare(declarations...); err != nil {
		return nil, err
	}
	reading, err := c.read()
	if err != nil {
		return nil, err
	}
	reading.Take()
	return c, nil
}

// read reads all sources anew, and reports everything that is wrong with them.
func (c *configuration) read() (*setting.Reading, error) {
	layers := []setting.Layer{
		{Source: setting.File}, {Source: setting.Environment, Values: map[string]any{}}, {Source: setting.Flag, Values: map[string]any{}},
	}
	if c.path != "" {
		text, err := os.ReadFile(c.path)
		if err == nil {
			err = yaml.Unmarshal(text, &layers[0].Values)
		}
		if err != nil {
			return nil, fmt.Errorf("configuration: %s: %w", c.path, err)
		}
	}
	for _, variable := range c.environment {
		variable, value, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(variable, "REEVE_")
		name := strings.ReplaceAll(strings.ToLower(rest), "__", ".")
		if ours && (strings.Contains(name, ".") || c.Has(name)) {
			layers[1].Values[name] = value
		}
	}
	for name, value := range c.flags {
		layers[2].Values[name] = value
	}
	reading, err := c.Read(layers...)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return reading, nil
}

func checkListeners(listeners []listenerConfiguration) error {
	var found []error
	find := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	known := []string{serveDiscovery, serveOAuth, serveAdminAPI, serveUserAPI, serveHealth, servePrometheus}
	if len(listeners) == 0 {
		find("must not be empty")
	}
	for _, l := range listeners {
		for _, r := range l.Resources {
			if !slices.Contains(known, r.Name) {
				find("has the listener %q with a resource %q: there are only %s", l.Name, r.Name, strings.Join(known, ", "))
			}
		}
		if len(l.Binds) == 0 || len(l.Resources) == 0 {
			find("has the listener %q with no binds, or no resources", l.Name)
		}
		for i := range l.Binds {
			if _, err := l.address(i); err != nil {
				find("has the listener %q wrong: %w", l.Name, err)
			}
		}
		if (l.TLS.CertificateFile == "") != (l.TLS.KeyFile == "") {
			find("has the listener %q with a tls that lacks certificate_file or key_file", l.Name)
		}
	}
	return errors.Join(found...)
}

func checkPublicBase(base string) error {
	if base == "" {
		return nil
	}
	if u, err := url.Parse(base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return errors.New("must be a URL such as https://reeve.example.com/estate")
	}
	return nil
}

func between(least, most int) func(int) error {
	return func(n int) error {
		if n < least || n > most {
			return fmt.Errorf("must be from %d to %d", least, most)
		}
		return nil
	}
}

func atLeast(least time.Duration) func(time.Duration) error {
	return func(d time.Duration) error {
		if d < least {
			return fmt.Errorf("must be at least %s", least)
		}
		return nil
	}
}

func checkKeep(keep time.Duration) error {
	if keep != 0 && keep < time.Hour {
		return errors.New("must be 0, for ever, or at least 1h")
	}
	return nil
}

func checkLevel(text string) error {
	if new(slog.Level).UnmarshalText([]byte(text)) != nil {
		return errors.New("must be debug, info, warn or error")
	}
	return nil
}

// address is where bind i listens, as host:port.
func (l *listenerConfiguration) address(i int) (string, error) {
	at := l.Binds[i]
	address := at.Address
	switch whole := address != ""; {
	case whole == (at.Host != "" || at.Port != nil), !whole && at.Port == nil:
		return "", errors.New("a bind has either address, or host and port")
	case !whole:
		address = net.JoinHostPort(at.Host, strconv.Itoa(*at.Port))
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return "", fmt.Errorf("%q is no address such as 127.0.0.1:8080", address)
	}
	return address, nil
}

// prefix is the path that stands before every path in links: that of public_base, else base_path.
func (c *configuration) prefix() string {
	if base, err := url.Parse(httpPublicBase.In(c)); err == nil && httpPublicBase.In(c) != "" { // verify has parsed it
		return strings.TrimRight(base.Path, "/")
	}
	return c.basePath()
}

func (c *configuration) basePath() string { return strings.TrimRight(httpBasePath.In(c), "/") }

// publicBase is how clients reach the server, without a slash at its end.
func (c *configuration) publicBase() string {
	if httpPublicBase.In(c) != "" {
		return strings.TrimRight(httpPublicBase.In(c), "/")
	}
	for _, l := range httpListeners.In(c) {
		address, err := l.address(0)
		if err != nil {
			continue // verify has seen that each listener has a bind
		}
		scheme := "http"
		if l.TLS.CertificateFile != "" {
			scheme = "https"
		}
		host, port, err := net.SplitHostPort(address)
		if ip, bad := netip.ParseAddr(host); err == nil && (host == "" || bad == nil && ip.IsUnspecified()) {
			address = net.JoinHostPort("localhost", port) // every address is also this one
		}
		return scheme + "://" + address + c.basePath()
	}
	return c.basePath()
}

// masterKey is the key that seals the secrets in the database: from the configuration, or from a file. Without
// either, a SQLite database has its key in a file beside it, made when it is first needed.
func (c *configuration) masterKey() ([]byte, error) {
	text, path := secretsMasterKey.In(c), secretsMasterKeyFile.In(c)
	if text == "" && path == "" {
		if !strings.HasPrefix(databaseURI.In(c), "sqlite:") {
			return nil, errors.New("configuration: secrets.master_key_file or REEVE_SECRETS__MASTER_KEY must name the key that seals secrets; make one by: openssl rand -base64 32")
		}
		path = strings.TrimPrefix(databaseURI.In(c), "sqlite://") + ".key"
		if err := makeKey(path); err != nil {
			return nil, err
		}
	}
	if text == "" {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		text = string(content)
	}
	return decodeKey(text)
}

// masterKeys are the master key, and those before it.
func (c *configuration) masterKeys() (key []byte, former [][]byte, err error) {
	if key, err = c.masterKey(); err != nil {
		return nil, nil, err
	}
	for _, text := range secretsFormerMasterKeys.In(c) {
		key, err := decodeKey(text)
		if err != nil {
			return nil, nil, err
		}
		former = append(former, key)
	}
	return key, former, nil
}

func decodeKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != 32 {
		return nil, errors.New("configuration: a master key must be 32 bytes in base64")
	}
	return key, nil
}
