package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource/token"
	"reeve/resource/user"
	"reeve/storage/storagetest"
)

// credential is a token, and what can be done to whom it stands for.
type credential struct {
	header string
	id     string // of the personal token, or of the session
	owner  string // id
}

// personalToken makes an administrator and a token of theirs.
func (s *server) personalToken(name string) credential {
	s.Helper()
	owner := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": name}, nil)))
	s.do(200, "POST", "users/"+owner+"/set-admin", map[string]any{"admin": true})
	made := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": name, "scopes": []string{auth.AdminScope}},
		map[string]any{"user": toOne("user", owner)}))
	return credential{"Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token")), idOf(made), owner}
}

// memberToken makes a user who has a role as a member of a group, each with the same name, and a token of theirs.
func (s *server) memberToken(name string) credential {
	s.Helper()
	role := s.newRole(name, "user:read")
	owner := idOf(s.do(201, "POST", "users", resourceDocument("user", "", map[string]any{"username": name}, nil)))
	s.do(201, "POST", "groups", resourceDocument("group", "", map[string]any{"name": name, "key": name},
		map[string]any{"members": toMany("user", owner), "roles": toMany("role", role)}))
	made := s.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": name, "scopes": []string{"urn:reeve:user:*"}},
		map[string]any{"user": toOne("user", owner)}))
	return credential{"Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token")), idOf(made), owner}
}

// groupOf and roleOf are the ids of what memberToken has made besides.
func (s *server) groupOf(c credential) string {
	s.Helper()
	return idsOf(s.get("users/" + c.owner + "/groups"))[0]
}

func (s *server) roleOf(c credential) string {
	s.Helper()
	return idsOf(s.get("groups/" + s.groupOf(c) + "/roles"))[0]
}

const (
	exampleClient = "01J44RKQYM4G3TNVANTMTDYTX6"
	exampleSecret = "phoo8ahneir3ohY2eigh4xuu6Oodaewi"
)

// oauth sends a form to the authorization server as the example's client.
func (s *server) oauth(path, form string) map[string]any {
	s.Helper()
	client := *s
	client.user = exampleClient + ":" + exampleSecret
	a := client.send("POST", path, form, "Content-Type: application/x-www-form-urlencoded")
	if a.StatusCode != 200 {
		s.Fatalf("%s: %d %s", path, a.StatusCode, a.text)
	}
	return a.document
}

// accessToken makes a token of the example's client.
func (s *server) accessToken() credential {
	s.Helper()
	c := credential{header: "Bearer " + fmt.Sprint(s.oauth("/oauth2/token", "grant_type=client_credentials&scope="+auth.AdminScope)["access_token"])}
	me := s.send("GET", "/api/admin/v1/me", nil, "Authorization: "+c.header)
	c.id = fmt.Sprint(dig(me.document, "data", "relationships", "session", "data", "id"))
	return c
}

// ask is the status that a token gets.
func (s *server) ask(c credential) int {
	s.Helper()
	return s.send("GET", "/api/admin/v1/users?count=false&page[first]=1", nil, "Authorization: "+c.header).StatusCode
}

// warm waits until the node remembers tokens, and has it remember one, which lists users with a status.
func (s *server) warm(c credential, status int) {
	s.Helper()
	eventually(s.T, patience, "the node trusts what it remembers", func() bool {
		if got := s.ask(c); got != status {
			s.Fatalf("the token: %d, not %d", got, status)
		}
		_, known := s.app.database.Generation()
		return known
	})
}

// endings are the ways in which a token comes to be worth less, each on a token of its own.
var endings = []struct {
	name   string
	make   func(s *server, name string) credential
	end    func(s *server, c credential)
	status int // of the next request
}{
	{"revoke", (*server).personalToken, func(s *server, c credential) { s.do(200, "POST", "tokens/"+c.id+"/revoke", nil) }, 401},
	{"lock", (*server).personalToken, func(s *server, c credential) { s.do(200, "POST", "users/"+c.owner+"/lock", nil) }, 401},
	{"set-admin", (*server).personalToken, func(s *server, c credential) {
		s.do(200, "POST", "users/"+c.owner+"/set-admin", map[string]any{"admin": false})
	}, 403},
	{"role changed", (*server).memberToken, func(s *server, c credential) {
		id := s.roleOf(c)
		s.do(200, "PATCH", "roles/"+id, resourceDocument("role", id, map[string]any{"permissions": []string{"session:read"}}, nil))
	}, 403},
	{"role deleted", (*server).memberToken, func(s *server, c credential) { s.do(204, "DELETE", "roles/"+s.roleOf(c), nil) }, 403},
	{"role taken away", (*server).memberToken, func(s *server, c credential) {
		s.do(204, "DELETE", "groups/"+s.groupOf(c)+"/relationships/roles", toMany("role", s.roleOf(c)))
	}, 403},
	{"member removed", (*server).memberToken, func(s *server, c credential) {
		s.do(204, "PATCH", "groups/"+s.groupOf(c)+"/relationships/members", toMany("user"))
	}, 403},
	{"group deleted", (*server).memberToken, func(s *server, c credential) { s.do(204, "DELETE", "groups/"+s.groupOf(c), nil) }, 403},
	{"deactivate", (*server).personalToken, func(s *server, c credential) { s.do(200, "POST", "users/"+c.owner+"/deactivate", nil) }, 401},
	{"delete", (*server).personalToken, func(s *server, c credential) { s.do(204, "DELETE", "users/"+c.owner, nil) }, 401},
	{"finish", func(s *server, _ string) credential { return s.accessToken() }, func(s *server, c credential) {
		s.do(200, "POST", "sessions/"+c.id+"/finish", nil)
	}, 401},
	{"finish-personal", (*server).personalToken, func(s *server, c credential) { s.do(200, "POST", "sessions/"+s.sessionOf(c)+"/finish", nil) }, 401},
	{"regenerate", (*server).personalToken, func(s *server, c credential) { s.do(200, "POST", "tokens/"+c.id+"/regenerate", nil) }, 401},
	{"oauth2-revoke", func(s *server, _ string) credential { return s.accessToken() }, func(s *server, c credential) {
		s.oauth("/oauth2/revoke", "token="+strings.TrimPrefix(c.header, "Bearer "))
	}, 401},
}

// TestTokenEnds sees that what ends a token is effective on the next request to the same node, and within a second
// on another one, whether that hears of it or not.
func TestTokenEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		here := start(t, uri, everything+example)
		there := here.another(everything + example)
		postgres, deafened := strings.HasPrefix(uri, "postgres"), 0
		for i, ending := range endings {
			c := ending.make(here, fmt.Sprintf("ends-%d", i))
			here.warm(c, 200)
			there.warm(c, 200)
			if postgres && i%2 == 1 {
				deafened += here.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
			}
			ending.end(here, c)
			ended := time.Now()
			if status := here.ask(c); status != ending.status {
				t.Errorf("%s: the next request got %d, not %d", ending.name, status, ending.status)
			}
			for {
				sent := time.Now()
				if status := there.ask(c); status == ending.status {
					break
				} else if sent.Sub(ended) > time.Second {
					t.Errorf("%s: another node answered %d after %s", ending.name, status, sent.Sub(ended))
					break
				}
			}
		}
		if postgres && deafened == 0 {
			t.Error("nobody listens")
		}
	})
}

// TestTokenOfCommandLine sees that a server learns within a second what a command does past it.
func TestTokenOfCommandLine(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		c := s.personalToken("promoted")
		s.do(200, "POST", "users/"+c.owner+"/set-admin", map[string]any{"admin": false})
		s.warm(c, 403)
		configuration, err := readConfiguration("", environment(uri), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := (promoteUser{Name: "promoted"}).Run(context.Background(), configuration); err != nil {
			t.Fatal(err)
		}
		promoted := time.Now()
		for {
			sent := time.Now()
			if status := s.ask(c); status == 200 {
				break
			} else if sent.Sub(promoted) > time.Second {
				t.Fatalf("%d after %s", status, sent.Sub(promoted))
			}
		}
	})
}

// TestConcurrentRevocation revokes tokens that are being used: no request that is sent after the answer gets by.
func TestConcurrentRevocation(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		for i := range 5 {
			c := s.personalToken(fmt.Sprintf("busy-%d", i))
			s.warm(c, 200)
			var revoked atomic.Bool
			var users sync.WaitGroup
			for range 4 {
				users.Go(func() {
					for ended := false; !ended; {
						ended = revoked.Load() // before the request is sent
						r, err := http.NewRequest("GET", s.bases[0]+"/api/admin/v1/me", nil)
						if err != nil {
							t.Error(err)
							return
						}
						r.Header.Set("Authorization", c.header)
						response, err := s.client.Do(r)
						if err != nil {
							t.Error(err)
							return
						}
						if err := response.Body.Close(); err != nil {
							t.Error(err)
						}
						if ended && response.StatusCode != 401 {
							t.Errorf("after the token was revoked: %d", response.StatusCode)
						}
					}
				})
			}
			s.do(200, "POST", "tokens/"+c.id+"/revoke", nil)
			revoked.Store(true)
			users.Wait()
		}
	})
}

// BenchmarkToken is what it costs to find out whom a token stands for, once it is remembered and when it is not.
func BenchmarkToken(b *testing.B) {
	for database, uri := range map[string]string{"sqlite": "sqlite://" + filepath.Join(b.TempDir(), "reeve.db"), "postgres": storagetest.Postgres(b)} {
		ctx := b.Context()
		c, err := readConfiguration("", environment(uri), nil)
		if err != nil {
			b.Fatal(err)
		}
		a, err := openCurrent(ctx, c)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(a.close)
		owner, text := ulid.Make(), auth.NewToken(auth.PersonalToken)
		if err := a.users.Create(ctx, &user.User{ID: owner, Username: "owner", CanRequestAdmin: true}); err != nil {
			b.Fatal(err)
		}
		if err := a.tokens.Create(ctx, &token.Token{ID: ulid.Make(), User: owner, Hash: token.Hash(auth.HashToken(text))}); err != nil {
			b.Fatal(err)
		}
		for how, known := range map[string]bool{"remembered": true, "looked up": false} {
			authenticator := auth.NewAuthenticator(auth.Lookups{
				Token: func(ctx context.Context, _ string, hash []byte) (*auth.Principal, time.Time, error) {
					return a.personal(ctx, hash)
				},
				Generation: func() (uint64, bool) {
					n, _ := a.database.Generation()
					return n, known
				},
			}, time.Now)
			b.Run(database+"/"+how, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := authenticator.Authenticate(ctx, "Bearer "+text); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
