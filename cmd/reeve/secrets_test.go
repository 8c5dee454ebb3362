package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"reeve/fixtures"
	"reeve/resource"
)

// secrets are what the tests send or are given that nobody else may see: passwords, tokens, codes, cookies, keys. None of
// them may stand in an answer, but for the one that hands it out, in the log, or in the database, as it is or in another
// form that anybody can read.
//
// Nobody has to name one: what passes by in a request or an answer, where secrets have their places, is one.
type secrets struct {
	mu     sync.RWMutex
	names  map[string]bool   // of members and parameters that are secrets ...
	plain  map[string]bool   // ... but not as attributes of these types: "webhook url"
	public map[string]bool   // what documents show as an example
	whence map[string]string // of each secret
	forms  map[uint64][]form // by their first bytes
	first  [1 << 17]byte     // a bit for each hash of the first bytes of a form, so that most of a text is passed over
	read   int64             // how far the log has been read
	found  []string
}

// form is one of the ways to write a secret.
type form struct{ text, secret string }

// minSecret is how many bytes a secret has at least. A shorter one, as a password that is to be refused, may well stand
// elsewhere by chance.
const minSecret = 8

func newSecrets() *secrets {
	s := &secrets{names: map[string]bool{}, plain: map[string]bool{}, public: map[string]bool{}, whence: map[string]string{}, forms: map[uint64][]form{}}
	for _, name := range []string{
		"access_token", "refresh_token", "token", "code", "code_verifier", "device_code", "user_code", "client_secret", "password", "registration",
	} {
		s.names[name] = true
	}
	return s
}

// learn has the secrets of the types that a program serves be known by their names.
func (s *secrets) learn(types []*resource.Description) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range types {
		all := d.Attributes
		for _, a := range all {
			s.plain[d.Name+" "+a.Name] = a.Visible() && !a.Once
		}
		for _, action := range d.Actions {
			all = append(all[:len(all):len(all)], action.Arguments...)
		}
		for _, a := range all {
			if a.Once || a.Secret || a.WriteOnly && !slices.Contains([]string{"password_hash", "to"}, a.Name) { // hashes are stored as they are, and to are usernames
				s.names[a.Name] = true
			}
			s.public[fmt.Sprint(a.Example)] = true
		}
	}
}

// named reports whether a member is a secret, of a resource of some type if it is of any.
func (s *secrets) named(name, typ string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.names[name] && !s.plain[typ+" "+name]
}

// add has a text be a secret from now on.
func (s *secrets) add(secret, whence string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(secret) < minSecret || s.public[secret] || s.whence[secret] != "" {
		return
	}
	s.whence[secret] = whence
	texts := []string{secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for before := range 3 { // bytes that stand before it
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, before), secret...))
			texts = append(texts, text[(before*8+5)/6:(before+len(secret))*8/6]) // what depends on the secret alone
		}
	}
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		key := binary.LittleEndian.Uint64([]byte(text))
		s.forms[key] = append(s.forms[key], form{text, secret})
		h := hash(key)
		s.first[h/8] |= 1 << (h % 8)
	}
}

func hash(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> 44 }

// in are the secrets that stand in a text.
func (s *secrets) in(text []byte) (found []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range len(text) - minSecret + 1 {
		key := binary.LittleEndian.Uint64(text[i:])
		if h := hash(key); s.first[h/8]&(1<<(h%8)) == 0 {
			continue
		}
		for _, f := range s.forms[key] {
			if bytes.HasPrefix(text[i:], []byte(f.text)) {
				found = append(found, f.secret)
			}
		}
	}
	return found
}

// cameAs are the secrets that came under a name.
func (s *secrets) cameAs(name string) (all []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for secret, whence := range s.whence {
		if strings.HasSuffix(whence, ", "+name) {
			all = append(all, secret)
		}
	}
	return all
}

// scan notes the secrets that stand in a text.
func (s *secrets) scan(text []byte, where string, except ...string) {
	for _, secret := range s.in(text) {
		if slices.Contains(except, secret) {
			continue
		}
		s.mu.Lock()
		if found := fmt.Sprintf("%s has %.5s..., which came by %s", where, secret, s.whence[secret]); !slices.Contains(s.found, found) {
			s.found = append(s.found, found)
		}
		s.mu.Unlock()
	}
}

// report is what has been found since the last time.
func (s *secrets) report() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.found
	s.found = nil
	return found
}

// members adds the secrets of a JSON text.
func (s *secrets) members(text []byte, whence string) {
	var walk func(name, typ string, v any)
	walk = func(name, typ string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if of, ok := v["type"].(string); ok {
				typ = of
			}
			for name, member := range v {
				walk(name, typ, member)
			}
		case []any:
			for _, item := range v {
				walk(name, typ, item)
			}
		case string:
			// A code is that of an error; registration tokens are for administrators to read.
			if s.named(name, typ) && name != "code" && !(name == "token" && strings.Contains(whence, "/regist")) {
				s.add(v, whence+", "+name)
			}
			if name == "user_code" { // people type it without the hyphen
				s.add(strings.ReplaceAll(v, "-", ""), whence+", "+name)
			}
		}
	}
	for lines := json.NewDecoder(bytes.NewReader(text)); ; {
		var document any
		if lines.Decode(&document) != nil { // it ends, or was never meant to be understood
			return
		}
		walk("", "", document)
	}
}

// parameters adds the secrets of a form or a query.
func (s *secrets) parameters(values url.Values, whence string) {
	for name, all := range values {
		if !s.named(name, "") || name == "token" && values.Has("do") { // which stands in every page
			continue
		}
		for _, value := range all {
			s.add(value, whence+", "+name)
		}
	}
}

// maxParsed is how large the bodies are that are searched for new secrets: no larger one holds any.
const maxParsed = 1 << 20

// sent adds the secrets of a request.
func (s *secrets) sent(r *http.Request) {
	whence := r.Method + " " + r.URL.Path
	if _, password, ok := r.BasicAuth(); ok {
		s.add(password, whence+", Authorization")
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		s.add(token, whence+", Authorization")
	}
	for _, cookie := range r.Cookies() {
		s.add(cookie.Value, whence+", Cookie")
	}
	s.add(r.Header.Get("Idempotency-Key"), whence+", Idempotency-Key")
	if r.GetBody == nil || r.ContentLength > maxParsed {
		return
	}
	body, err := r.GetBody()
	if err != nil {
		return
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if form, err := url.ParseQuery(string(text)); err == nil {
			s.parameters(form, whence)
		}
		return
	}
	s.members(text, whence)
}

// watch has all that goes by a transport be seen.
func (s *secrets) watch(next http.RoundTripper) http.RoundTripper { return watched{next, s} }

type watched struct {
	http.RoundTripper
	secrets *secrets
}

func (w watched) CloseIdleConnections() {
	if closing, ok := w.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		closing.CloseIdleConnections()
	}
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	w.secrets.sent(r)
	response, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	a := &answered{ReadCloser: response.Body, response: response, secrets: w.secrets, where: "the answer to " + r.Method + " " + r.URL.Path}
	var header bytes.Buffer
	if err := response.Header.Write(&header); err != nil {
		return nil, err
	}
	a.scan(header.Bytes())
	for _, cookie := range response.Cookies() {
		w.secrets.add(cookie.Value, a.where+", Set-Cookie")
	}
	if to, err := response.Location(); err == nil {
		w.secrets.parameters(to.Query(), a.where+", Location")
	}
	response.Body = a
	return response, nil
}

// answered is the body of an answer. It is scanned for what has been a secret before, and may hand out new ones.
type answered struct {
	io.ReadCloser
	response *http.Response
	secrets  *secrets
	where    string
	text     []byte // what is still to be scanned
	large    bool   // some has been
}

// longest is how many bytes a form of a secret has at most that is found in two parts of a body.
const longest = 2048

func (a *answered) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	a.text = append(a.text, p[:n]...)
	switch {
	case err != nil:
		a.end()
	case len(a.text) > maxParsed:
		a.scan(a.text)
		a.text, a.large = append(a.text[:0], a.text[len(a.text)-longest:]...), true
	}
	return n, err
}

func (a *answered) Close() error {
	a.end()
	return a.ReadCloser.Close()
}

func (a *answered) end() {
	a.scan(a.text)
	if a.response.Request.Method == http.MethodPost && !a.large { // nothing else is answered by a new secret
		a.secrets.members(a.text, a.where)
	}
	a.text = nil
}

// scan looks for secrets. A request that is repeated has the answer of the first; the page of a device shows its code, for
// people to compare, and that of an app its secret, until it is confirmed.
func (a *answered) scan(text []byte) {
	if a.response.Header.Get("Idempotency-Replayed") != "" {
		return
	}
	var except []string
	if a.response.Request.URL.Path == "/device" {
		except = a.secrets.cameAs("user_code")
	}
	if r := a.response.Request; r.GetBody != nil && slices.Contains([]string{"/account/security", "/authorize", "/device"}, r.URL.Path) {
		if body, err := r.GetBody(); err == nil {
			sent, _ := io.ReadAll(body) // of a form, which is in memory
			if form, err := url.ParseQuery(string(sent)); err == nil {
				except = append(except, form["secret"]...)
			}
		}
	}
	a.secrets.scan(text, a.where, except...)
}

// log scans what a log file has had since the last time, and passes on to w what tells of errors.
func (s *secrets) log(path string, w io.Writer) error {
	s.mu.Lock()
	from := s.read
	s.mu.Unlock()
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, from, 1<<40))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.read = from + int64(len(text))
	s.mu.Unlock()
	for line := range bytes.Lines(text) {
		s.scan(line, fmt.Sprintf("the log line %.200q", line))
		if !bytes.Contains(line, []byte(`"level":"DEBUG"`)) && !bytes.Contains(line, []byte(`"level":"INFO"`)) && !bytes.Contains(line, []byte(`"level":"WARN"`)) {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// database scans every column of every table of a database.
func (s *secrets) database(ctx context.Context, uri string) error {
	db, err := byHand(uri)
	if err != nil {
		return err
	}
	defer db.Close()
	tables := "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema"
	if strings.HasPrefix(uri, "sqlite") {
		tables = `SELECT '"' || name || '"' FROM sqlite_schema WHERE type = 'table'`
	}
	names, err := column(ctx, db, tables)
	if err != nil {
		return err
	}
	for _, table := range names {
		if err := s.table(ctx, db, table); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return nil
}

// column is the first column of a query.
func column(ctx context.Context, db *sql.DB, query string) (all []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

func (s *secrets) table(ctx context.Context, db *sql.DB, table string) error {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, places := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		for i, value := range values {
			s.scan(value, "the column "+table+"."+columns[i])
		}
	}
	return rows.Err()
}

// held are the secrets of the tests of this process; logFile is where its programs log.
var (
	held    = newSecrets()
	logFile string
)

// holdSecrets has all that the programs of this process log, and what goes by the default transport, be seen.
func holdSecrets() error {
	file, err := os.CreateTemp("", "reeve-test-*.log")
	if err != nil {
		return err
	}
	path := file.Name()
	if err := file.Close(); err != nil {
		return err
	}
	if file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return err
	}
	logFile, terminal, os.Stderr = path, os.Stderr, file
	http.DefaultTransport = held.watch(http.DefaultTransport)
	held.public[oauth2.S256ChallengeFromVerifier(verifier)] = true // which a test takes for a verifier
	for _, secret := range []string{testKey, fixtures.DemoPassword, exampleSecret, pageClient.ClientSecret, scriptsClient.ClientSecret} {
		held.add(secret, "the configuration")
	}
	if key, err := base64.StdEncoding.DecodeString(testKey); err == nil {
		held.add(string(key), "the configuration")
	}
	return nil
}

// terminal is where people look at what goes wrong.
var terminal = os.Stderr

// silent fails the test if a secret was seen since the last time, in an answer or in the log.
func silent(t *testing.T) {
	t.Helper()
	if err := held.log(logFile, terminal); err != nil {
		t.Error(err)
	}
	for _, found := range held.report() {
		t.Error("a secret in the clear:", found)
	}
}

// sealed has the test fail if its database holds a secret in the end.
func sealed(t *testing.T, uri string) string {
	t.Helper()
	t.Cleanup(func() {
		if err := held.database(context.Background(), uri); err != nil {
			t.Error(err)
		}
		silent(t)
	})
	return uri
}

// TestScan plants a secret in each place, and in each form, and sees it found.
func TestScan(t *testing.T) {
	const secret = "a-planted-secret/0123?"
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+example)
		s.send("GET", "/oauth2/keys.json", nil) // that makes a key
		planted := newSecrets()
		planted.add(secret, "here")
		finds := func(what string, want bool) {
			t.Helper()
			if found := planted.report(); (len(found) > 0) != want {
				t.Errorf("%s: found %q", what, found)
			}
		}
		db := s.hand()
		defer db.Close()
		for column, value := range map[string]any{
			"users.display_name": "it is " + secret + ".", "users.email": hex.EncodeToString([]byte(secret)), "signing_keys.private": []byte(secret),
			"events.changes": `{"name":{"to":"` + secret + `"}}`, "sessions.user_agent": "x " + base64.StdEncoding.EncodeToString([]byte("quentin:"+secret)),
			"clients.redirect_uris": `["https://x.example.com/?x=` + url.QueryEscape(secret) + `"]`, "data_keys.keyset": []byte(strings.ToUpper(hex.EncodeToString([]byte(secret)))),
		} {
			scanned := func(want bool) {
				t.Helper()
				if err := planted.database(t.Context(), uri); err != nil {
					t.Fatal(err)
				}
				finds(column, want)
			}
			table, name, _ := strings.Cut(column, ".")
			one := fmt.Sprintf("WHERE id = (SELECT id FROM %s ORDER BY id LIMIT 1)", table)
			var former any
			if err := db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT %s FROM %s %s", name, table, one)).Scan(&former); err != nil {
				t.Fatal(column, err)
			}
			put := func(value any) {
				t.Helper()
				if _, err := db.ExecContext(t.Context(), fmt.Sprintf("UPDATE %s SET %s = $1 %s", table, name, one), value); err != nil {
					t.Fatal(column, err)
				}
			}
			scanned(false)
			put(value)
			scanned(true)
			put(former)
		}

		path := filepath.Join(t.TempDir(), "log")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		log := slog.New(slog.NewJSONHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug}))
		for text, want := range map[string]bool{"harmless": false, secret: true} {
			log.Debug("request", "path", text)
			if err := planted.log(path, io.Discard); err != nil {
				t.Fatal(err)
			}
			finds("the log", want)
		}

		var answers string
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.Header().Set("X-Secret", secret)
			}
			_, _ = io.WriteString(w, answers)
		}))
		defer elsewhere.Close()
		client := &http.Client{Transport: planted.watch(elsewhere.Client().Transport)}
		ask := func(what, method, answer string, want bool) {
			t.Helper()
			answers = answer
			r, err := http.NewRequestWithContext(t.Context(), method, elsewhere.URL, strings.NewReader(`{"password": "a-password-that-is-sent"}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer a-token-that-is-sent")
			r.Header.Set("Cookie", "reeve=a-cookie-that-is-sent")
			r.Header.Set("Idempotency-Key", "a-key-that-is-sent")
			response, err := client.Do(r)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
			}
			if err != nil {
				t.Fatal(err)
			}
			finds(what, want)
		}
		ask("a header", "HEAD", "", true)
		ask("a body", "GET", "it is "+secret, true)
		ask("a long body", "GET", strings.Repeat("-", maxParsed-5)+secret+strings.Repeat("-", maxParsed), true)
		for _, sent := range []string{"a-password-that-is-sent", "a-token-that-is-sent", "a-cookie-that-is-sent", "a-key-that-is-sent"} {
			ask(sent, "POST", sent, true)
		}
		handed := `{"data":{"attributes":{"token":"a-token-that-is-handed-out"}}}`
		ask("a body that hands out", "POST", handed, false)
		ask("a body that shows it again", "GET", handed, true)
	})
}
