package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// pageSize is how many entries a server is asked for at once (RFC 2696).
const pageSize = 200

// idle is how long a listing is kept that nobody reads on; a variable for the tests.
var idle = time.Minute

// Listing is everybody in the directory, page by page, from one server. It is not safe for concurrent use.
type Listing struct {
	client  *Client
	url     string
	config  Config
	conn    *connection
	paging  *ldap.ControlPaging
	members map[string]map[string]bool // of groups, by DN
	end     *time.Timer
}

// List begins to list everybody, with those of some groups that each is in. It returns ErrUnreachable or ErrRefused.
// Whoever does not read on for a minute has to begin again.
func (c *Client) List(ctx context.Context, groups []string) (*Listing, error) {
	config := c.config()
	l := &Listing{client: c, config: config, paging: ldap.NewControlPaging(pageSize)}
	u, err := c.ask(ctx, config, func(conn *connection) error {
		l.members = map[string]map[string]bool{} // a server before may have told of some
		for _, dn := range groups {
			if err := l.read(conn, dn); err != nil {
				return err
			}
		}
		conn.stop() // the next page is asked for in another context
		l.conn = conn
		return conn.raw.SetDeadline(time.Time{})
	})
	if err != nil {
		return nil, err
	}
	l.url, l.end = u, time.AfterFunc(idle, l.conn.Close)
	return l, nil
}

// read reads the members of a group. A group that is not there has none.
func (l *Listing) read(conn *connection, dn string) error {
	result, err := conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{l.config.Member}, nil))
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject) {
		return nil
	}
	if err != nil {
		return err
	}
	members := map[string]bool{}
	for _, e := range result.Entries {
		for _, a := range e.Attributes {
			if strings.Contains(a.Name, ";range=") { // of Active Directory, which answers a part
				return fmt.Errorf("%w: the group %s has more members than it tells at once", ErrRefused, dn)
			}
			for _, member := range a.Values {
				members[l.config.key(member)] = true
			}
		}
	}
	l.members[dn] = members
	return nil
}

// Next is the next page, and whether it is the last one. An error, ErrUnreachable or ErrRefused, ends the listing.
func (l *Listing) Next(ctx context.Context) (people []Person, last bool, err error) {
	if !l.end.Stop() { // nobody read on, which tells nothing of the server
		return nil, false, ErrUnreachable
	}
	defer context.AfterFunc(ctx, func() { _ = l.conn.raw.Close() })()
	if err := l.conn.raw.SetDeadline(time.Now().Add(l.config.Timeout)); err != nil {
		return nil, false, l.failed(ctx, err)
	}
	result, err := l.conn.Search(l.config.search("", 0, l.paging))
	if err != nil {
		return nil, false, l.failed(ctx, err)
	}
	for _, e := range result.Entries {
		p := l.config.person(e)
		for dn, members := range l.members {
			if members[l.config.key(l.config.member(p))] {
				p.Groups = append(p.Groups, dn)
			}
		}
		slices.Sort(p.Groups)
		people = append(people, p)
	}
	paging, _ := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
	if paging == nil || len(paging.Cookie) == 0 {
		l.Close()
		l.client.listed(l.url)
		return people, true, nil
	}
	l.paging.SetCookie(paging.Cookie)
	if err := l.conn.raw.SetDeadline(time.Time{}); err != nil {
		return nil, false, l.failed(ctx, err)
	}
	l.end.Reset(idle)
	return people, false, nil
}

// listed notes that a server has told of everybody.
func (c *Client) listed(u string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server(u).ListedAt = time.Now()
}

func (l *Listing) failed(ctx context.Context, err error) error {
	l.Close()
	if ctx.Err() != nil { // whoever asks is gone: that tells nothing of the server
		return context.Cause(ctx)
	}
	if err = refusal(err); errors.Is(err, ErrRefused) {
		return err
	}
	l.client.note(l.url, err)
	return ErrUnreachable
}

// Close ends the listing.
func (l *Listing) Close() {
	l.end.Stop()
	l.conn.Close()
}
