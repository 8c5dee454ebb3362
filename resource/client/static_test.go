package client_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/client"
	"reeve/resource/event"
	"reeve/storage"
	"reeve/storage/sqlite"
)

// The clients of the seed mas-admin-api.txt, and one each of the other kinds.
var (
	scripts = client.Static{ClientID: "01J44RKQYM4G3TNVANTMTDYTX6", AuthMethod: client.SecretBasic, Secret: "phoo8ahneir3ohY2eigh4xuu6Oodaewi"}
	swagger = client.Static{ClientID: "01J44Q10GR4AMTFZEEF936DTCM", Name: "Swagger", AuthMethod: client.SecretPost,
		Secret: "wie9oh2EekeeDeithei9Eipaeh2sohte", RedirectURIs: []string{"https://mas.example.com/api/doc/oauth2-redirect"}}
	named  = client.Static{ClientID: "nightly report", AuthMethod: client.SecretPost, Secret: "hunter-of-the-22"}
	public = client.Static{ClientID: "01j44qc8bcy7fcfm7wghqgkmtj", AuthMethod: client.Public, RedirectURIs: []string{"http://127.0.0.1/"}}
)

// open opens a database for clients.
func open(t *testing.T) (resource.Transactor, resource.Store[client.Client]) {
	t.Helper()
	db, err := storage.Open(t.Context(), sqlite.Dialect{}, "sqlite://"+filepath.Join(t.TempDir(), "clients.db"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	outbox, err := storage.NewOutbox(db, event.Schema)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := storage.NewTable(db, client.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return outbox, clients
}

func TestSchema(t *testing.T) {
	if err := client.Schema.Verify(); err != nil {
		t.Error(err)
	}
}

func TestConfigure(t *testing.T) {
	db, clients := open(t)
	now := time.Date(2024, 7, 12, 12, 11, 46, 911578123, time.UTC)
	configure := func(admins []string, statics ...client.Static) {
		t.Helper()
		if err := client.Configure(t.Context(), db, clients, now, statics, admins); err != nil {
			t.Fatal(err)
		}
	}
	get := func(s client.Static) *client.Client {
		t.Helper()
		c, err := clients.Get(t.Context(), client.ID(s.ClientID))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	registered := &client.Client{ID: ulid.Make(), ClientID: "registered", AuthMethod: client.Public, RedirectURIs: []string{}, GrantTypes: []string{}}
	if err := clients.Create(t.Context(), registered); err != nil {
		t.Fatal(err)
	}

	configure([]string{scripts.ClientID}, scripts, swagger, named, public)
	for _, s := range []client.Static{scripts, swagger, named, public} {
		c := get(s)
		if c.ClientID != s.ClientID || c.AuthMethod != s.AuthMethod || !c.Static || !c.CreatedAt.Equal(resource.Cut(now)) ||
			!slices.Equal(c.RedirectURIs, s.RedirectURIs) || c.Admin != (s.ClientID == scripts.ClientID) {
			t.Errorf("%s is %+v", s.ClientID, c)
		}
		if s.Secret != "" && strings.Contains(c.SecretHash, s.Secret) {
			t.Errorf("the secret of %s is stored", s.ClientID)
		}
		for secret, want := range map[string]bool{s.Secret: s.Secret != "", "": false, s.Secret + "x": false, c.SecretHash: false} {
			if got := c.VerifySecret(secret); got != want {
				t.Errorf("%s: VerifySecret(%q) = %v", s.ClientID, secret, got)
			}
		}
	}
	if c := get(scripts); c.ID.String() != scripts.ClientID || !slices.Equal(c.GrantTypes, []string{"client_credentials"}) {
		t.Errorf("scripts is %+v", c)
	}
	if c := get(public); c.ID.String() == strings.ToUpper(public.ClientID) || slices.Contains(c.GrantTypes, "client_credentials") {
		t.Errorf("public is %+v: client_ids that differ in case are different", c)
	}
	if c := get(swagger); c.Name != "Swagger" || !slices.Equal(c.GrantTypes, []string{"authorization_code", "refresh_token", "client_credentials"}) {
		t.Errorf("swagger is %+v", c)
	}

	// The next start: one is gone, one has another secret, one is no administrator any more, one became public.
	before, hash := get(named), get(scripts).SecretHash
	now = now.Add(time.Hour)
	changed, open := scripts, swagger
	changed.Secret = "eequie6Oth4Ip2InahT5zuQu8OuPohLi"
	open.AuthMethod, open.Secret = client.Public, ""
	configure(nil, changed, named, open)
	if c := get(changed); c.Admin || c.SecretHash == hash || !c.CreatedAt.Before(now) {
		t.Errorf("scripts is %+v", c)
	}
	if c := get(named); c.SecretHash != before.SecretHash {
		t.Error("the hash of a secret changed, though the secret did not")
	}
	if c := get(open); c.SecretHash != "" || slices.Contains(c.GrantTypes, "client_credentials") {
		t.Errorf("a client that became public is %+v", c)
	}
	if _, err := clients.Get(t.Context(), client.ID(public.ClientID)); !resource.Is(err, resource.NotFound) {
		t.Errorf("a client that is gone from the configuration: %v", err)
	}

	configure(nil)
	page, err := clients.List(t.Context(), resource.Query{Window: pagination.First(10)})
	if err != nil || page.Total != 1 || page.Rows[0].ID != registered.ID {
		t.Errorf("without static clients there are %+v, %v", page, err)
	}
}

func TestConfigureManyAndNone(t *testing.T) {
	db, clients := open(t)
	var many []client.Static
	for range 250 {
		many = append(many, client.Static{ClientID: ulid.Make().String(), AuthMethod: client.Public})
	}
	for _, statics := range [][]client.Static{many, many[:5], nil} {
		if err := client.Configure(t.Context(), db, clients, time.Now(), statics, nil); err != nil {
			t.Fatal(err)
		}
		page, err := clients.List(t.Context(), resource.Query{Window: pagination.First(1)})
		if err != nil || page.Total != int64(len(statics)) {
			t.Errorf("%d clients of %d, %v", page.Total, len(statics), err)
		}
	}
}

// TestConfigureRefuses lists what a configuration must not say: each mistake is reported, and nothing is done.
func TestConfigureRefuses(t *testing.T) {
	db, clients := open(t)
	wrong := []client.Static{
		{ClientID: "", AuthMethod: client.Public}, {ClientID: "a\x00", AuthMethod: client.Public}, {ClientID: "é", AuthMethod: client.Public},
		{ClientID: strings.Repeat("x", 256), AuthMethod: client.Public},
		{ClientID: "short", AuthMethod: client.SecretBasic, Secret: "123456789012345"}, {ClientID: "none", AuthMethod: client.SecretPost},
		{ClientID: "bytes", AuthMethod: client.SecretPost, Secret: strings.Repeat("é", 15)},
		{ClientID: "long", AuthMethod: client.SecretPost, Secret: strings.Repeat("x", 1025)},
		{ClientID: "public", AuthMethod: client.Public, Secret: "phoo8ahneir3ohY2eigh4xuu6Oodaewi"}, {ClientID: "jwt", AuthMethod: "private_key_jwt"},
		{ClientID: "unsaid"},
	}
	for _, s := range wrong {
		if err := client.Configure(t.Context(), db, clients, time.Now(), []client.Static{public, s}, nil); err == nil {
			t.Errorf("%+v is taken", s)
		} else if s.Secret != "" && strings.Contains(err.Error(), s.Secret) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
	for _, admin := range []string{"nobody", public.ClientID} {
		if err := client.Configure(t.Context(), db, clients, time.Now(), []client.Static{public}, []string{admin}); err == nil {
			t.Errorf("the client %s may ask for the scopes of the admin API", admin)
		}
	}
	err := client.Configure(t.Context(), db, clients, time.Now(), append(wrong, public, public), nil)
	if err == nil || strings.Count(err.Error(), "\n") != len(wrong) {
		t.Errorf("%d mistakes are reported as: %v", len(wrong)+1, err)
	}
	if page, err := clients.List(t.Context(), resource.Query{Window: pagination.First(1)}); err != nil || page.Total != 0 {
		t.Errorf("%d clients were configured nevertheless, %v", page.Total, err)
	}
}
