package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/fixtures"
	"reeve/resource"
	"reeve/resource/openapi"
	"reeve/resource/openapi/openapitest"
	"reeve/resource/webhook"
)

var specInfo = openapi.Info{Version: "test", TokenURL: "https://reeve.example.com/oauth2/token", Basic: true}

// spec is the OpenAPI document of the program.
func (s *server) spec() []byte {
	s.Helper()
	text, err := json.Marshal(openapi.Document(s.app.engine.Registry().Descriptions(), specInfo))
	if err != nil {
		s.Fatal(err)
	}
	return text
}

// newSession signs a user in at the client of the document's example.
func (s *server) newSession() (string, error) {
	var id ulid.ULID
	err := s.app.database.Transact(s.Context(), func(ctx context.Context) (err error) {
		id, err = s.app.newSession(ctx, auth.System, ulid.MustParse("01J44RKQYM4G3TNVANTMTDYTX6"), ulid.MustParse(quentin))
		return err
	})
	return id.String(), err
}

// TestSpecIsTrue calls each operation of the OpenAPI document, and checks each answer against it.
func TestSpecIsTrue(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		if err := (&spacing{}).know(t.Context(), s.app); err != nil {
			t.Fatal(err)
		}
		doc, err := openapitest.Load(s.spec())
		if err != nil {
			t.Fatal(err)
		}
		s.do(201, "POST", "allowed-addresses", resourceDocument("allowed-address", "", map[string]any{"address": "127.0.0.0/8"}, nil)) // so that others lock nobody out
		s.set(200, "jobs.enabled", false)                                                                                              // so that they stay what they are
		s.directedUser()                                                                                                               // so that there is a server of the directory
		const password = "correct horse battery"                                                                                       // of users that are made here
		change := func(int) map[string]any { return map[string]any{"current_password": password, "password": password} }
		email := func(n int) map[string]any { return map[string]any{"email": fmt.Sprintf("changed-%d@example.com", n)} }
		quiet := func(n int) map[string]any {
			return map[string]any{"events": []string{"module.deleted"}, "description": fmt.Sprint("made ", n)}
		} // of which nobody is told
		alerted := func(n int) map[string]any { return map[string]any{"name": fmt.Sprint("changed ", n)} }
		named := func(n int) map[string]any { return map[string]any{"value": fmt.Sprint("named ", n)} }
		err = openapitest.Check(doc, openapitest.Server{
			Do: func(r *http.Request) *http.Response {
				r = r.Clone(t.Context())
				if id, ok := strings.CutSuffix(r.URL.Path, "/reset"); ok {
					s.fails(id[strings.LastIndex(id, "/")+1:])
				}
				r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", s.bases[0][len("http://"):]
				s.freeJob(r)
				if r.Header.Get("Authorization") == "" {
					r.SetBasicAuth(s.whoCalls(r.URL.Path, password))
				}
				response, err := s.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				return response
			},
			Make: map[string]func() (string, error){"setting": func() (string, error) {
				s.set(200, "server.name", fmt.Sprint("made at ", time.Now())) // so that something is stored
				return idOf(s.get("settings/by-name/server.name")), nil
			}, "session": s.newSession, "client": func() (string, error) {
				return fmt.Sprint(s.register(201, map[string]any{"redirect_uris": []string{"https://x.example.com/"}})["client_id"]), nil
			}, "module": func() (string, error) { return idOf(s.module(200, "space", "load")), nil }, "recipient": func() (string, error) {
				sent := s.do(201, "POST", "messages", resourceDocument("message", "", map[string]any{"body": "So it goes.", "to": []string{"quentin"}}, nil))
				return fmt.Sprint(dig(s.get("messages/"+idOf(sent)+"/recipients"), "data", 0, "id")), nil
			}, "authenticator": func() (string, error) {
				id, _ := s.person("factor-" + strings.ToLower(ulid.Make().String()))
				s.app.enrol(t, id)
				held, err := s.app.factors.Of(t.Context(), ulid.MustParse(id))
				return held[0].ID.String(), err
			}, "ldap-account": func() (string, error) {
				return s.directedUser().ID.String(), nil
			}, "webhook-delivery": func() (string, error) {
				_, d, _ := s.toldWebhook()
				return d.ID.String(), nil
			}, "webhook-topic": func() (string, error) {
				_, _, topic := s.toldWebhook()
				return topic.ID.String(), nil
			}},
			Members: map[string]func(int) map[string]any{
				"createRole":       func(n int) map[string]any { return map[string]any{"name": fmt.Sprint("made-", n)} },
				"updateRole":       func(n int) map[string]any { return map[string]any{"name": fmt.Sprint("changed-", n)} },
				"updateRoleByName": func(n int) map[string]any { return map[string]any{"name": fmt.Sprint("changed-by-name-", n)} },
				"updateUser":       email, "updateUserByUsername": email, "putUserByUsername": email, "updateSetting": named, "updateSettingByName": named,
				"createAllowedAddress": func(n int) map[string]any {
					return map[string]any{"address": fmt.Sprintf("10.%d.%d.0/24", n>>8&255, n&255)}
				},
				"changePasswordUser": change, "changePasswordUserByUsername": change,
				"createUser": func(n int) map[string]any {
					return map[string]any{"username": fmt.Sprint("made-", n), "email": fmt.Sprintf("made-%d@example.com", n)}
				},
				"operate": func(n int) map[string]any {
					return map[string]any{"atomic:operations": []any{operation("add", "data", newUser(fmt.Sprint("operated-", n)))}}
				},
				"bulkMessages": func(int) map[string]any {
					return map[string]any{"messages": []any{map[string]any{"to": "quentin", "body": "So it goes."}}}
				},
				"createAlert": func(n int) map[string]any { return map[string]any{"name": fmt.Sprint("made ", n)} },
				"updateAlert": alerted, "updateAlertByName": alerted,
				"createWebhook": quiet, "updateWebhook": quiet,
				"createRegistrationToken": func(n int) map[string]any { return map[string]any{"token": fmt.Sprint("made-", n)} },
				"createGroup":             func(n int) map[string]any { return map[string]any{"key": fmt.Sprint("made-", n)} },
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// fails has a webhook, if there is one of this id, fail to be told of something, so that it can be reset.
func (s *server) fails(id string) {
	s.Helper()
	parsed, err := ulid.Parse(id)
	if err != nil {
		return
	}
	_, err = s.app.webhooks.Update(s.Context(), parsed, func(w *webhook.Webhook) error { w.FailingSince = time.Now(); return nil })
	if err != nil && !resource.Is(err, resource.NotFound) {
		s.Fatal(err)
	}
}

// whoCalls is who may call a path, with a password: the demo's administrator, but for what everybody does about
// themselves, who are given one.
func (s *server) whoCalls(path, password string) (string, string) {
	if user, ok := strings.CutSuffix(path, "/change-password"); ok {
		if a := s.send("GET", user, nil); a.StatusCode == http.StatusOK {
			s.send("POST", user+"/set-password", map[string]any{"password": password})
			return fmt.Sprint(dig(a.document, "data", "attributes", "username")), password
		}
	}
	return fixtures.DemoAdministrator, fixtures.DemoPassword
}

// freeJob cancels the jobs that stand in the way of a request which creates or retries one.
func (s *server) freeJob(r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/jobs") && r.Method == http.MethodPost || strings.HasSuffix(r.URL.Path, "/retry") {
		s.do(200, "POST", "jobs/cancel?filter[state]=queued", nil)
	}
}

// TestGoldenSpec compares the OpenAPI document with the one in fixtures; make golden writes it anew.
func TestGoldenSpec(t *testing.T) {
	s := start(t, sqliteURI(t), everything)
	golden(t, "spec.json", indent(t, s.spec()))
}

// TestGoldenSettings compares the page of reeve settings.
func TestGoldenSettings(t *testing.T) {
	c, err := readConfiguration("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "settings.md", []byte(c.Reference()))
}

// TestGoldenList compares the first page of the demo's users, byte for byte.
func TestGoldenList(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything)
		golden(t, "users.json", indent(t, s.send("GET", "/api/admin/v1/users?page[first]=5", nil).text))
		golden(t, "sessions.json", indent(t, s.send("GET", "/api/admin/v1/sessions?page[last]=2", nil).text))
		golden(t, "group.json", indent(t, s.send("GET", "/api/admin/v1/groups/by-key/support", nil).text))
	})
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("..", "..", "fixtures", "golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed; see the difference by: make golden && git diff fixtures/golden", name)
	}
}
