//go:build bench

package main

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

var floorDatabase = flag.String("floor", "", "serve the floor out of this database, for TestBench")

// TestFloor is the floor, in a process that TestBench starts: the same list and the same creation of users as
// Reeve's, written by hand for one table. It runs the same statement and answers the same bytes. It knows no
// permissions, no events, no errors worth the name, and nothing but what TestBench asks it for.
func TestFloor(t *testing.T) {
	if *floorDatabase == "" {
		return
	}
	f, err := openFloor(*floorDatabase)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("the floor listens on http://%s\n", listener.Addr())
	t.Fatal(http.Serve(listener, f))
}

// floor serves users, and what accountsFile declares.
type floor struct {
	write           *sql.DB
	token, insert   *sql.Stmt
	users, accounts floorType
	id              func(ulid.ULID) any
	time            func(time.Time) any
	known           sync.Map // of each token, until when it is not asked for again
	scan            func(rows *sql.Rows, total *int64, prev *bool, u *floorUser) error
}

// floorType is a type that the floor lists.
type floorType struct {
	name, path string
	related    bool // it has the relationships of users
	page       *sql.Stmt
}

type floorUser struct {
	id                             ulid.ULID
	username                       string
	created                        time.Time
	admin, second, connected       bool
	locked, deactivated, active    sql.NullTime
	displayName, email, registered sql.NullString
}

const (
	floorToken = "SELECT revoked_at, expires_at FROM tokens WHERE hash = $1"
	floorPage  = `SELECT (SELECT CAST(coalesce(sum(n0 + n1 + n2 + n3 + n4 + n5 + n6 + n7), 0) AS bigint) FROM users_count),
		(SELECT 1 FROM users WHERE deactivated_at IS NULL AND locked_at IS NULL AND id <= $1 ORDER BY id DESC LIMIT 1) IS NOT NULL,
		id, username, time(created_at), time(locked_at), can_request_admin, second_factor, time(deactivated_at), display_name, email, registered_ip,
		time(last_active_at), connected
		FROM users WHERE deactivated_at IS NULL AND locked_at IS NULL AND id > $2 ORDER BY id LIMIT 101`
	floorInsert = `INSERT INTO users (id, username, username_folded, created_at, can_request_admin, second_factor, connected)
		VALUES ($1, $2, $3, $4, $5, false, false)`
)

func openFloor(uri string) (*floor, error) {
	f := &floor{}
	read, err := f.open(uri)
	if err != nil {
		return nil, err
	}
	if f.token, err = read.Prepare(floorToken); err != nil {
		return nil, err
	}
	form := "("
	if !strings.HasPrefix(uri, "sqlite:") {
		form = "timestamptz_send(" // lib/pq takes long to parse times
	}
	page := strings.ReplaceAll(floorPage, "time(", form)
	f.users = floorType{name: "user", path: floorPath, related: true}
	if f.users.page, err = read.Prepare(page); err != nil {
		return nil, err
	}
	f.accounts = floorType{name: "account", path: floorAccounts}
	page = strings.NewReplacer("users_count", "accounts_count", "n0 + n1 + n2 + n3 + n4 + n5 + n6 + n7", "n0", "FROM users", "FROM accounts").Replace(page)
	if f.accounts.page, err = read.Prepare(page); err != nil {
		return nil, err
	}
	f.insert, err = f.write.Prepare(floorInsert)
	return f, err
}

// open opens the pools as Reeve does, and returns the readers.
func (f *floor) open(uri string) (*sql.DB, error) {
	path, ok := strings.CutPrefix(uri, "sqlite://")
	if !ok {
		f.id = uuid
		f.time, f.scan = func(t time.Time) any { return t }, scanPostgres
		db, err := sql.Open("postgres", uri)
		if err == nil {
			db.SetMaxOpenConns(16)
			db.SetMaxIdleConns(16)
			f.write = db
		}
		return db, err
	}
	f.id = func(id ulid.ULID) any { return id[:] }
	f.time, f.scan = func(t time.Time) any { return t.UnixMicro() }, scanSQLite
	source := "file:" + path + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=cache_size(-8192)"
	var err error
	if f.write, err = sql.Open("sqlite", source+"&_txlock=immediate"); err != nil {
		return nil, err
	}
	f.write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", source)
	if err == nil {
		read.SetMaxOpenConns(4)
		read.SetMaxIdleConns(4)
	}
	return read, err
}

func uuid(id ulid.ULID) any {
	x := hex.EncodeToString(id[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

func scanSQLite(rows *sql.Rows, total *int64, prev *bool, u *floorUser) error {
	var id sql.RawBytes
	var created int64
	var locked, deactivated, active sql.NullInt64
	err := rows.Scan(total, prev, &id, &u.username, &created, &locked, &u.admin, &u.second, &deactivated,
		&u.displayName, &u.email, &u.registered, &active, &u.connected)
	copy(u.id[:], id)
	u.created = time.UnixMicro(created)
	u.locked = sql.NullTime{Time: time.UnixMicro(locked.Int64), Valid: locked.Valid}
	u.deactivated = sql.NullTime{Time: time.UnixMicro(deactivated.Int64), Valid: deactivated.Valid}
	u.active = sql.NullTime{Time: time.UnixMicro(active.Int64), Valid: active.Valid}
	return err
}

func scanPostgres(rows *sql.Rows, total *int64, prev *bool, u *floorUser) error {
	var id, created, locked, deactivated, active sql.RawBytes
	err := rows.Scan(total, prev, &id, &u.username, &created, &locked, &u.admin, &u.second, &deactivated,
		&u.displayName, &u.email, &u.registered, &active, &u.connected)
	if err == nil {
		err = resource.ScanID([]byte(id), &u.id)
	}
	u.created = received(created).Time
	u.locked, u.deactivated, u.active = received(locked), received(deactivated), received(active)
	return err
}

// received is a time as timestamptz_send has it: microseconds since 2000.
func received(sent []byte) sql.NullTime {
	if sent == nil {
		return sql.NullTime{}
	}
	const since = 946684800e6
	return sql.NullTime{Time: time.UnixMicro(int64(binary.BigEndian.Uint64(sent)) + since), Valid: true}
}

const (
	floorPath     = "/api/admin/v1/users"
	floorAccounts = "/api/admin/v1/accounts"
)

func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	listed := &f.users
	switch r.URL.Path {
	case floorPath:
	case floorAccounts:
		listed = &f.accounts
	default:
		http.NotFound(w, r)
		return
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(token))
	if until, ok := f.known.Load(sum); !ok || time.Now().After(until.(time.Time)) {
		var revoked, expires any
		if err := f.token.QueryRowContext(r.Context(), hex.EncodeToString(sum[:])).Scan(&revoked, &expires); err != nil ||
			revoked != nil || expires != nil {
			http.Error(w, "401", http.StatusUnauthorized)
			return
		}
		f.known.Store(sum, time.Now().Add(time.Second))
	}
	answer, status := func(r *http.Request) ([]byte, error) { return f.list(r, listed) }, http.StatusOK
	if r.Method == http.MethodPost {
		answer, status = f.create, http.StatusCreated
	}
	body, err := answer(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/vnd.api+json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// list answers one page of 100 that are active.
func (f *floor) list(r *http.Request, t *floorType) ([]byte, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || query.Get("filter[status]") != "active" || query.Get("page[first]") != "100" {
		return nil, fmt.Errorf("the floor does not know %q", r.URL.RawQuery)
	}
	after, err := ulid.ParseStrict(query.Get("page[after]"))
	if err != nil {
		return nil, err
	}
	bound := f.id(after)
	rows, err := t.page.QueryContext(r.Context(), bound, bound)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var u floorUser
	var total int64
	var prev bool
	var first, last ulid.ULID
	var items [32 << 10]byte
	data := items[:0]
	n := 0
	for rows.Next() && n <= 100 {
		if err := f.scan(rows, &total, &prev, &u); err != nil {
			return nil, err
		}
		if n++; n == 101 {
			break
		}
		if n == 1 {
			first = u.id
		} else {
			data = append(data, ',')
		}
		last = u.id
		data = u.append(data, t, true)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	dst := make([]byte, 0, len(data)+1024)
	dst = append(dst, `{"meta":{"count":`...)
	dst = strconv.AppendInt(dst, total, 10)
	dst = append(dst, `},"data":[`...)
	dst = append(append(dst, data...), `],"links":{"self":"`...)
	list := t.path + "?filter[status]=active"
	dst = append(append(dst, list+"&page[first]=100&page[after]="...), after.String()...)
	dst = append(dst, `","first":"`+list+`&page[first]=100","last":"`+list+`&page[last]=100"`...)
	if n == 101 {
		dst = append(append(dst, `,"next":"`+list+`&page[first]=100&page[after]=`...), last.String()...)
		dst = append(dst, '"')
	}
	if prev {
		dst = append(append(dst, `,"prev":"`+list+`&page[last]=100&page[before]=`...), first.String()...)
		dst = append(dst, '"')
	}
	return append(dst, "}}"...), nil
}

// append appends the user as a resource object.
func (u *floorUser) append(dst []byte, t *floorType, cursor bool) []byte {
	var text [ulid.EncodedSize]byte
	id := resource.AppendID(text[:0], u.id)
	dst = append(append(append(append(dst, `{"type":"`...), t.name...), `","id":"`...), id...)
	dst = resource.AppendString(append(dst, `","attributes":{"username":`...), u.username)
	dst = resource.AppendTime(append(dst, `,"created_at":"`...), u.created)
	dst = floorTime(append(dst, `","locked_at":`...), u.locked)
	dst = strconv.AppendBool(append(dst, `,"can_request_admin":`...), u.admin)
	dst = strconv.AppendBool(append(dst, `,"second_factor":`...), u.second)
	dst = floorTime(append(dst, `,"deactivated_at":`...), u.deactivated)
	dst = floorString(append(dst, `,"display_name":`...), u.displayName)
	dst = floorString(append(dst, `,"email":`...), u.email)
	dst = floorString(append(dst, `,"registered_ip":`...), u.registered)
	dst = floorTime(append(dst, `,"last_active_at":`...), u.active)
	dst = strconv.AppendBool(append(dst, `,"connected":`...), u.connected)
	if !t.related {
		return floorEnd(append(append(dst, `},"links":{"self":"`+floorAccounts+`/`...), id...), id, cursor)
	}
	dst = append(append(dst, `},"relationships":{"roles":{"links":{"self":"`+floorPath+`/`...), id...)
	dst = append(append(dst, `/relationships/roles","related":"`+floorPath+`/`...), id...)
	dst = append(append(dst, `/roles"}},"authenticators":{"links":{"related":"`+floorPath+`/`...), id...)
	dst = append(append(dst, `/authenticators"}},"contacts":{"links":{"related":"`+floorPath+`/`...), id...)
	dst = append(append(dst, `/contacts"}},"groups":{"links":{"related":"`+floorPath+`/`...), id...)
	dst = append(append(dst, `/groups"}},"sessions":{"links":{"related":"`+floorPath+`/`...), id...)
	dst = append(append(dst, `/sessions"}},"tokens":{"links":{"related":"`+floorPath+`/`...), id...)
	dst = append(append(dst, `/tokens"}}},"links":{"self":"`+floorPath+`/`...), id...)
	return floorEnd(dst, id, cursor)
}

// floorEnd appends what stands behind the link of a resource.
func floorEnd(dst, id []byte, cursor bool) []byte {
	if cursor {
		dst = append(append(dst, `"},"meta":{"page":{"cursor":"`...), id...)
		return append(dst, `"}}}`...)
	}
	return append(dst, `"}}`...)
}

func floorTime(dst []byte, t sql.NullTime) []byte {
	if !t.Valid {
		return append(dst, "null"...)
	}
	return append(resource.AppendTime(append(dst, '"'), t.Time), '"')
}

func floorString(dst []byte, s sql.NullString) []byte {
	if !s.Valid {
		return append(dst, "null"...)
	}
	return resource.AppendString(dst, s.String)
}

// create inserts one user, by one statement that is a transaction of its own.
func (f *floor) create(r *http.Request) ([]byte, error) {
	var body struct {
		Data struct {
			Attributes struct {
				Username string `json:"username"`
			} `json:"attributes"`
		} `json:"data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, err
	}
	u := floorUser{id: ulid.Make(), username: body.Data.Attributes.Username, created: resource.Cut(time.Now())}
	_, err := f.insert.ExecContext(r.Context(), f.id(u.id), u.username, u.username, f.time(u.created), false)
	if err != nil {
		return nil, err
	}
	dst := u.append([]byte(`{"data":`), &f.users, false)
	dst = append(append(dst, `,"links":{"self":"`+floorPath+`/`...), u.id.String()...)
	return append(dst, `"}}`...), nil
}

var _ = pq.Driver{} // registers "postgres"
