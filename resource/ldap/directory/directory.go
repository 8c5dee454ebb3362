// Package directory asks LDAP servers (RFC 4511) who somebody is, and whether a password is theirs.
package directory

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"reeve/resource"
)

// Config is which servers there are, and how people are found there.
type Config struct {
	URLs       []string // of servers with the same entries, in the order in which they are asked; see [CheckURL]
	AllowPlain bool     // ask those of ldap:// without TLS, so that passwords travel in the clear
	CAFile     string   // whose certificates servers have (PEM); those that the system trusts if empty
	BindDN     string   // who searches; nobody in particular if empty
	Password   string   // of that one
	Timeout    time.Duration

	Base, Filter                     string // of people
	Username, Email, DisplayName, ID string // attributes of theirs; what an ID has is never given to another entry
	Member                           string // the attribute of groups that names members by their DN or, if it is memberUid, by their username
}

var (
	// ErrPassword says that a password is not that of a person, or that nobody is meant who may sign in.
	ErrPassword = errors.New("directory: the name and the password are nobody's")
	// ErrUnreachable says that no server answers as it should.
	ErrUnreachable = errors.New("directory: no server answers")
	// ErrRefused says that a server answers, and does not tell what it is asked: another would not either. What it says
	// instead, such as a result code (RFC 4511, 4.1.9), is in the error around it.
	ErrRefused = errors.New("directory: the server does not tell")
)

const (
	// pause is how long a server that does not answer is left alone, so that not everybody waits for it.
	pause = 5 * time.Second
	// maxError is how many characters of an error are told.
	maxError = 500
)

// CheckURL refuses what is no address of a server: ldaps://host, with TLS from the first byte, or ldap://host, with
// StartTLS. The ports are 636 and 389 unless said otherwise.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be such as ldaps://ldap.example.com or ldap://ldap.example.com:389")
	}
	return nil
}

// CheckFilter refuses what is no filter (RFC 4515).
func CheckFilter(filter string) error {
	if _, err := ldap.CompileFilter(filter); err != nil {
		return errors.New("must be a filter such as (objectClass=person)")
	}
	return nil
}

// CheckDN refuses what is no distinguished name (RFC 4514). The empty one is one.
func CheckDN(dn string) error {
	if _, err := ldap.ParseDN(dn); err != nil {
		return errors.New("must be a distinguished name such as ou=people,dc=example,dc=com")
	}
	return nil
}

var attributeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$|^[0-9]+(\.[0-9]+)+$`)

// CheckAttribute refuses what names no attribute (RFC 4512, 1.4).
func CheckAttribute(name string) error {
	if !attributeForm.MatchString(name) {
		return errors.New("must be the name of an attribute such as uid")
	}
	return nil
}

// Person is what the directory knows of somebody.
type Person struct {
	DN                           string
	ID                           string // what never changes, in hexadecimal digits; empty if the entry has none
	Username, Email, DisplayName string // a username is in lower case
	Groups                       []string
}

// Server is what is known of a server.
type Server struct {
	URL       string
	Reachable bool   // at CheckedAt
	Error     string // why not
	CheckedAt time.Time
	ListedAt  time.Time // when it has told of everybody
	SignIns   int64     // passwords that it has found right
	Refusals  int64     // and wrong
}

// Client asks the servers of a directory. It keeps no connections, since whoever has signed in is remembered elsewhere.
// It is safe for concurrent use.
type Client struct {
	config func() Config
	log    *slog.Logger

	mu      sync.Mutex
	servers map[string]*server // by their URLs
}

// server is a server, and until when it is left alone.
type server struct {
	Server
	until time.Time
}

// New asks as a configuration says, which may change.
func New(config func() Config, log *slog.Logger) *Client {
	return &Client{config: config, log: log, servers: map[string]*server{}}
}

// Servers are the servers of the configuration, in their order.
func (c *Client) Servers() (all []Server) {
	urls := c.config().URLs
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range urls {
		all = append(all, c.server(u).Server)
	}
	return all
}

// server is what is kept of a server. Its caller has the lock.
func (c *Client) server(u string) *server {
	if c.servers[u] == nil {
		c.servers[u] = &server{Server: Server{URL: u}}
	}
	return c.servers[u]
}

// note keeps what has become of a server.
func (c *Client) note(u string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, now := c.server(u), time.Now()
	was := s.Reachable || s.CheckedAt.IsZero()
	s.Reachable, s.Error, s.CheckedAt, s.until = err == nil, "", now, time.Time{}
	if err != nil {
		s.Error, s.until = resource.ShortText(err.Error(), maxError), now.Add(pause)
		if was {
			c.log.Warn("a server of the directory does not answer as it should", "url", u, "error", s.Error)
		}
	}
}

// due reports whether a server may be asked. One that did not answer is asked by one at a time.
func (c *Client) due(u string, timeout time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, now := c.server(u), time.Now()
	if s.until.IsZero() {
		return true
	}
	if now.Before(s.until) {
		return false
	}
	s.until = now.Add(timeout)
	return true
}

// Check refuses a configuration whose certificates cannot be read.
func (c *Client) Check() error {
	path := c.config().CAFile
	if path == "" {
		return nil
	}
	_, err := authorities(path)
	return err
}

// Probe asks every server whether it answers.
func (c *Client) Probe(ctx context.Context) {
	config := c.config()
	var all sync.WaitGroup
	for _, u := range config.URLs {
		all.Go(func() {
			conn, err := dial(ctx, config, u)
			if err == nil {
				conn.Close()
			}
			if ctx.Err() == nil {
				c.note(u, err)
			}
		})
	}
	all.Wait()
}

// ask has the first server that answers asked, by a question that may be put to several. It returns ErrUnreachable, or
// the question's own ErrPassword or ErrRefused.
func (c *Client) ask(ctx context.Context, config Config, question func(conn *connection) error) (u string, err error) {
	for _, u := range config.URLs {
		if !c.due(u, config.Timeout) {
			continue
		}
		conn, err := dial(ctx, config, u)
		if err == nil {
			if err = refusal(question(conn)); err != nil {
				conn.Close()
			}
		}
		if ctx.Err() != nil { // whoever asks is gone: that tells nothing of the server
			if err == nil {
				conn.Close()
			}
			return u, context.Cause(ctx)
		}
		if err == nil || errors.Is(err, ErrPassword) || errors.Is(err, ErrRefused) {
			c.note(u, nil)
			if errors.Is(err, ErrRefused) {
				c.log.WarnContext(ctx, "a server of the directory does not tell what it is asked", "url", u, "error", err)
			}
			return u, err
		}
		c.note(u, err)
	}
	return "", ErrUnreachable
}

// refusal is an error of a question, which is ErrRefused if it is the result code of a server that can answer others.
func refusal(err error) error {
	var result *ldap.Error
	if errors.As(err, &result) && result.ResultCode < ldap.ErrorNetwork && !ldap.IsErrorAnyOf(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable) {
		return fmt.Errorf("%w: %s", ErrRefused, resource.CleanText(err.Error()))
	}
	return err
}

// search finds people who meet a filter besides that of the configuration.
func (c Config) search(further string, limit int, controls ...ldap.Control) *ldap.SearchRequest {
	return ldap.NewSearchRequest(c.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, limit, 0, false,
		"(&"+c.Filter+further+")", []string{c.Username, c.Email, c.DisplayName, c.ID}, controls)
}

func (c Config) person(e *ldap.Entry) Person {
	text := func(attribute string) string { // nothing, if it is none
		value := e.GetEqualFoldAttributeValue(attribute)
		if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 {
			return ""
		}
		return value
	}
	return Person{
		DN: resource.CleanText(e.DN), ID: hex.EncodeToString(e.GetEqualFoldRawAttributeValue(c.ID)),
		Username: strings.ToLower(text(c.Username)), Email: text(c.Email), DisplayName: text(c.DisplayName),
	}
}

// equals is the filter of entries that have a value in an attribute, whatever stands in that (RFC 4515, 3).
func equals(attribute, value string) string {
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + ")"
}

// Name says who is meant: by the username, or once that is known by the ID. Neither stands for nobody.
type Name struct{ Username, ID string }

func (n Name) filter(config Config) (string, error) {
	if n.ID == "" {
		return equals(config.Username, n.Username), nil
	}
	id, err := hex.DecodeString(n.ID)
	return equals(config.ID, string(id)), err
}

// Verify finds out whether a password is somebody's, and if it is, who they are and which of some groups they are in, by
// their DN. Where it is not, it takes as long for those who are not there as for others. It returns [ErrPassword],
// [ErrUnreachable] or [ErrRefused]; a password that is empty would be no sign-in at all (RFC 4513, 5.1.2), and is nobody's.
func (c *Client) Verify(ctx context.Context, who Name, password string, groups []string) (*Person, error) {
	if password == "" || strings.IndexByte(password, 0) >= 0 {
		who = Name{} // nobody is asked about, so that it takes as long
	}
	config := c.config()
	var found *Person
	u, err := c.ask(ctx, config, func(conn *connection) (err error) {
		defer conn.Close()
		found, err = conn.verify(ctx, config, who, password, groups, c.log)
		return err
	})
	c.count(u, err)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// verify asks a server what [Client.Verify] asks any. Until the password has turned out to be right, whoever is there is
// asked the same as nobody.
func (c *connection) verify(ctx context.Context, config Config, who Name, password string, groups []string, log *slog.Logger) (*Person, error) {
	nobody := rand.Text()
	if who == (Name{}) {
		who.Username = nobody
	}
	filter, err := who.filter(config)
	if err != nil {
		return nil, err
	}
	result, err := c.Search(config.search(filter, 2))
	more := ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded)
	if err != nil && !more {
		return nil, err
	}
	dn, given := "cn="+nobody+","+config.Base, nobody
	var person *Person
	switch {
	case more || len(result.Entries) > 1:
		log.WarnContext(ctx, "the directory has several people with the same username", "filter", filter)
	case len(result.Entries) == 1:
		p := config.person(result.Entries[0])
		person, dn, given = &p, p.DN, password
	}
	_, err = c.SimpleBind(&ldap.SimpleBindRequest{Username: dn, Password: given})
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInappropriateAuthentication,
		ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultInvalidDNSyntax):
		return nil, ErrPassword
	case err != nil:
		return nil, err
	case person == nil: // it lets anybody in
		return nil, ErrPassword
	}
	if err := c.enter(config); err != nil { // a person may not read the groups
		return nil, err
	}
	person.Groups, err = c.groups(config, *person, groups)
	return person, err
}

// count counts what has become of a password.
func (c *Client) count(u string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.server(u).SignIns++
	case errors.Is(err, ErrPassword):
		c.server(u).Refusals++
	}
}

// groups are those of some groups that a person is in.
func (c *connection) groups(config Config, p Person, groups []string) (in []string, err error) {
	for _, dn := range groups {
		result, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
			config.has(p), []string{"1.1"}, nil)) // no attributes (RFC 4511, 4.5.1.8)
		if err != nil && !ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject) {
			return nil, err
		}
		if err == nil && len(result.Entries) > 0 {
			in = append(in, dn)
		}
	}
	return in, nil
}

// byName reports whether groups name their members by username.
func (c Config) byName() bool { return strings.EqualFold(c.Member, "memberUid") }

// has is the filter of groups that a person is in. Usernames are compared without case, as [Config.key] does, though
// memberUid has a rule of its own (RFC 2307, 2.2); a server that knows no other goes by that.
func (c Config) has(p Person) string {
	if c.byName() {
		return "(|" + equals(c.Member, p.Username) + equals(c.Member+":caseIgnoreIA5Match:", p.Username) + ")"
	}
	return equals(c.Member, p.DN)
}

// member is what groups name a person by.
func (c Config) member(p Person) string {
	if c.byName() {
		return p.Username
	}
	return p.DN
}

// key is a name of a member in a form that can be compared.
func (c Config) key(member string) string {
	if c.byName() {
		return strings.ToLower(member)
	}
	dn, err := ldap.ParseDN(member)
	if err != nil {
		return member // which then is nobody's
	}
	return strings.ToLower(dn.String())
}
