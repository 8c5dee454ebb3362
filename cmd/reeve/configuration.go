package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"reeve/resource/client"
)

// configuration is what the program is told by its YAML file, by the environment, and by flags, the later ones
// winning. A variable names a key with REEVE_ before it and __ for each dot: REEVE_DATABASE__URI.
type configuration struct {
	HTTP struct {
		Listeners      []listenerConfiguration `koanf:"listeners"`
		PublicBase     string                  `koanf:"public_base"`     // how clients reach the server: https://reeve.example.com/estate
		BasePath       string                  `koanf:"base_path"`       // under which path the server finds everything: /estate
		TrustedProxies []string                `koanf:"trusted_proxies"` // addresses and networks whose X-Forwarded-For and -Proto count
		CORSOrigins    []string                `koanf:"cors_origins"`    // the origins whose pages may call the API
	} `koanf:"http"`
	Clients []clientConfiguration `koanf:"clients"`
	Policy  struct {
		Data struct {
			AdminClients []string `koanf:"admin_clients"` // the clients that may ask for urn:mas:admin
		} `koanf:"data"`
	} `koanf:"policy"`
	Database struct {
		URI            string        `koanf:"uri"`             // sqlite:///path/to/file.db or postgres://...
		Timeout        time.Duration `koanf:"timeout"`         // how long a read, or a write as a whole, may take: then 503
		CountBudget    time.Duration `koanf:"count_budget"`    // how long counting a total that no counter knows may take: then there is none
		MaxConnections int           `koanf:"max_connections"` // how many at once; 16 on PostgreSQL, 4 readers on SQLite
	} `koanf:"database"`
	Auth struct {
		Basic struct {
			Enabled bool `koanf:"enabled"`
		} `koanf:"basic"`
	} `koanf:"auth"`
	Events struct {
		Keep time.Duration `koanf:"keep"` // how long the trail is kept; 0 for ever
	} `koanf:"events"`
	Sessions struct {
		Keep time.Duration `koanf:"keep"` // how long a session is kept once it has finished; 0 for ever
	} `koanf:"sessions"`
	Secrets struct {
		MasterKey     string `koanf:"master_key"`      // 32 bytes in base64
		MasterKeyFile string `koanf:"master_key_file"` // a file that holds it
	} `koanf:"secrets"`
	Log struct {
		Level string `koanf:"level"` // debug, info, warn, error
	} `koanf:"log"`
}

// listenerConfiguration is one element of http.listeners: what is served, and where.
type listenerConfiguration struct {
	Name      string `koanf:"name"`
	Resources []struct {
		Name string `koanf:"name"`
	} `koanf:"resources"`
	Binds []struct {
		Address string `koanf:"address"` // [::]:8080, or Host and Port
		Host    string `koanf:"host"`
		Port    *int   `koanf:"port"`
	} `koanf:"binds"`
	TLS struct {
		CertificateFile string `koanf:"certificate_file"`
		KeyFile         string `koanf:"key_file"`
	} `koanf:"tls"`
	RequireTLS bool `koanf:"require_tls"` // refuse what did not come over TLS, here or at a trusted proxy
}

// clientConfiguration is one element of clients: an OAuth client that is known from the start.
type clientConfiguration struct {
	ID           string   `koanf:"client_id"`
	Name         string   `koanf:"client_name"`        // what people read when it asks them for something; its client_id if empty
	AuthMethod   string   `koanf:"client_auth_method"` // client_secret_basic, client_secret_post or none
	Secret       string   `koanf:"client_secret"`
	RedirectURIs []string `koanf:"redirect_uris"`
}

// clients are the static clients.
func (c *configuration) clients() []client.Static {
	clients := make([]client.Static, len(c.Clients))
	for i, s := range c.Clients {
		clients[i] = client.Static{ClientID: s.ID, Name: s.Name, AuthMethod: s.AuthMethod, Secret: s.Secret, RedirectURIs: s.RedirectURIs}
	}
	return clients
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

var defaults = []byte(`
http:
  listeners:
    - name: web
      resources: [{name: discovery}, {name: oauth}, {name: adminapi}, {name: userapi}, {name: health}]
      binds: [{address: "127.0.0.1:8080"}]
database: {uri: "sqlite://reeve.db", timeout: 10s, count_budget: 100ms}
auth: {basic: {enabled: true}}
events: {keep: 9600h}
sessions: {keep: 2160h}
log: {level: info}
`)

// readConfiguration reads the configuration from a file, if a path is given, from the environment, and from flags.
func readConfiguration(path string, environment []string, flags map[string]string) (*configuration, error) {
	k := koanf.New(".")
	if err := k.Load(bytesProvider(defaults), yaml.Parser()); err != nil {
		return nil, err
	}
	if path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	variables := env.Provider(".", env.Opt{
		Prefix: "REEVE_", EnvironFunc: func() []string { return environment },
		TransformFunc: func(name, value string) (string, any) {
			if !strings.Contains(name, "__") {
				return "", nil // not one of ours, which all have a dot
			}
			return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "REEVE_")), "__", "."), value
		},
	})
	if err := k.Load(variables, nil); err != nil {
		return nil, err
	}
	for key, value := range flags {
		if err := k.Set(key, value); err != nil {
			return nil, err
		}
	}
	c := &configuration{}
	err := k.UnmarshalWithConf("", c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: c, TagName: "koanf", ErrorUnused: true,
		// Variables and flags are texts, whatever they set; a number in the file stays one, lest a secret of digits
		// became another text.
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToSliceHookFunc(","), mapstructure.StringToTimeDurationHookFunc(),
			mapstructure.StringToBoolHookFunc(), mapstructure.StringToIntHookFunc()),
	}})
	if err != nil {
		return nil, fmt.Errorf("configuration: %s", strings.ReplaceAll(err.Error(), "'main.configuration'", "the configuration"))
	}
	return c, c.verify()
}

// bytesProvider gives koanf a text that is part of the program.
type bytesProvider []byte

func (b bytesProvider) ReadBytes() ([]byte, error)    { return b, nil }
func (b bytesProvider) Read() (map[string]any, error) { return nil, errors.New("needs a parser") }

// verify reports everything that is wrong with the configuration.
func (c *configuration) verify() error {
	var found []error
	find := func(format string, args ...any) { found = append(found, fmt.Errorf("configuration: "+format, args...)) }
	known := []string{serveDiscovery, serveOAuth, serveAdminAPI, serveUserAPI, serveHealth, servePrometheus}
	if len(c.HTTP.Listeners) == 0 {
		find("http.listeners is empty")
	}
	for _, l := range c.HTTP.Listeners {
		for _, r := range l.Resources {
			if !slices.Contains(known, r.Name) {
				find("listener %q: there is no resource %q, only %s", l.Name, r.Name, strings.Join(known, ", "))
			}
		}
		if len(l.Binds) == 0 || len(l.Resources) == 0 {
			find("listener %q has no binds, or no resources", l.Name)
		}
		for i := range l.Binds {
			if _, err := l.address(i); err != nil {
				find("listener %q: %v", l.Name, err)
			}
		}
		if (l.TLS.CertificateFile == "") != (l.TLS.KeyFile == "") {
			find("listener %q: tls needs both certificate_file and key_file", l.Name)
		}
	}
	if _, err := c.proxies(); err != nil {
		find("http.trusted_proxies: %v", err)
	}
	if base := c.HTTP.PublicBase; base != "" {
		if u, err := url.Parse(base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
			find("http.public_base must be a URL such as https://reeve.example.com/estate")
		}
	}
	if c.Database.Timeout < time.Millisecond {
		find("database.timeout must be a duration such as 10s")
	}
	if c.Database.CountBudget < time.Millisecond {
		find("database.count_budget must be a duration such as 100ms")
	}
	if n := c.Database.MaxConnections; n < 0 || n == 1 {
		find("database.max_connections must be at least 2") // on PostgreSQL one gives events their positions
	}
	for name, keep := range map[string]time.Duration{"events.keep": c.Events.Keep, "sessions.keep": c.Sessions.Keep} {
		if keep != 0 && keep < time.Hour {
			find("%s must be 0, for ever, or a duration of at least 1h", name)
		}
	}
	if path := c.HTTP.BasePath; path != "" && !strings.HasPrefix(path, "/") {
		find("http.base_path must begin with /")
	}
	for _, id := range c.Policy.Data.AdminClients {
		if !slices.ContainsFunc(c.Clients, func(s clientConfiguration) bool { return s.ID == id && s.AuthMethod != client.Public }) {
			find("policy.data.admin_clients: there is no client %q with a secret", id)
		}
	}
	return errors.Join(found...)
}

// address is where bind i listens, as host:port.
func (l *listenerConfiguration) address(i int) (string, error) {
	bind := l.Binds[i]
	address := bind.Address
	switch whole := address != ""; {
	case whole == (bind.Host != "" || bind.Port != nil), !whole && bind.Port == nil:
		return "", errors.New("a bind has either address, or host and port")
	case !whole:
		address = net.JoinHostPort(bind.Host, strconv.Itoa(*bind.Port))
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return "", fmt.Errorf("%q is no address such as 127.0.0.1:8080", address)
	}
	return address, nil
}

// proxies are the networks of http.trusted_proxies.
func (c *configuration) proxies() ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range c.HTTP.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if address, single := netip.ParseAddr(text); single == nil {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			return nil, err
		}
		networks = append(networks, network)
	}
	return networks, nil
}

// prefix is the path that stands before every path in links: that of public_base, else base_path.
func (c *configuration) prefix() string {
	if base, err := url.Parse(c.HTTP.PublicBase); err == nil && c.HTTP.PublicBase != "" { // verify has parsed it
		return strings.TrimRight(base.Path, "/")
	}
	return c.basePath()
}

func (c *configuration) basePath() string { return strings.TrimRight(c.HTTP.BasePath, "/") }

// publicBase is how clients reach the server, without a slash at its end.
func (c *configuration) publicBase() string {
	if c.HTTP.PublicBase != "" {
		return strings.TrimRight(c.HTTP.PublicBase, "/")
	}
	for _, l := range c.HTTP.Listeners {
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
	text, path := c.Secrets.MasterKey, c.Secrets.MasterKeyFile
	if text == "" && path == "" {
		if !strings.HasPrefix(c.Database.URI, "sqlite:") {
			return nil, errors.New("configuration: secrets.master_key_file or REEVE_SECRETS__MASTER_KEY must name the key that seals secrets; make one by: openssl rand -base64 32")
		}
		path = strings.TrimPrefix(c.Database.URI, "sqlite://") + ".key"
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
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != 32 {
		return nil, errors.New("configuration: the master key must be 32 bytes in base64")
	}
	return key, nil
}
