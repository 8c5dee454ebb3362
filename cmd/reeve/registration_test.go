package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/registration"
)

// TestRegistrationScript runs the script that does each operation of registration.
func TestRegistrationScript(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) { start(t, uri, everything).script("registration.sh") })
}

// open lets people register from one address, as often as they want.
const openRegistration = "registration: {enabled: true}\nauth: {sign_in: {per_address: 0}}\n"

// registrationToken makes one.
func (s *server) registrationToken(attributes map[string]any) (id string) {
	s.Helper()
	return idOf(s.do(201, "POST", "registration-tokens", resourceDocument("registration-token", "", attributes, nil)))
}

// asNobody does a step of a registration. Where too many do so at once, it tries again.
func (s *server) asNobody(path string, body map[string]any) (a answer, err error) {
	as := *s
	as.user = ""
	for err == nil && (a.Response == nil || a.StatusCode == http.StatusServiceUnavailable) {
		a, err = as.try("POST", path, body, "Content-Type: application/json")
	}
	return a, err
}

// uses are how many uses of a token are pending and completed.
func (s *server) uses(token string) string {
	s.Helper()
	about := dig(s.get("registration-tokens/"+token), "data", "attributes")
	return fmt.Sprint(dig(about, "pending"), " ", dig(about, "completed"))
}

// TestRegistrationRace has 500 register at once, on two nodes, with a token that lets 100 do so; half of these complete
// their registration twice at once.
func TestRegistrationRace(t *testing.T) {
	oneByOne(t, func(t *testing.T, uri string) {
		one := start(t, uri, everything+openRegistration)
		nodes := []*server{one, one.another(everything + openRegistration)}
		token := one.registrationToken(map[string]any{"token": "race-to-ilium", "uses_allowed": 100})
		before := one.count("SELECT count(*) FROM users")
		var begun, made, refused atomic.Int64
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				a, err := nodes[i%2].asNobody("/api/register", map[string]any{"token": "race-to-ilium"})
				if err != nil || a.StatusCode != http.StatusOK {
					if err != nil || a.StatusCode != http.StatusForbidden {
						t.Errorf("the first step: %v, %s", err, a.text)
					}
					refused.Add(1)
					return
				}
				begun.Add(1)
				var twice sync.WaitGroup
				for n := range 1 + i%2 {
					twice.Go(func() {
						registration := dig(a.document, "meta", "registration")
						a, err := nodes[(i+n)%2].asNobody("/api/register/complete", map[string]any{
							"registration": registration, "username": fmt.Sprintf("racer-%d-%d", i, n), "password": "green-mercedes-77"})
						switch {
						case err == nil && a.StatusCode == http.StatusCreated:
							made.Add(1)
						case err != nil || a.StatusCode != http.StatusNotFound:
							t.Errorf("the second step: %v, %s", err, a.text)
						}
					})
				}
				twice.Wait()
			})
		}
		all.Wait()
		if begun.Load() != 100 || made.Load() != 100 || refused.Load() != 400 {
			t.Errorf("%d have begun, %d have an account, %d were refused", begun.Load(), made.Load(), refused.Load())
		}
		if n := one.count("SELECT count(*) FROM users") - before; n != 100 || one.uses(token) != "0 100" || one.count("SELECT count(*) FROM registrations") != 0 {
			t.Errorf("%d accounts, the uses %s", n, one.uses(token))
		}
		for verb, want := range map[string]int{"begin": 100, "complete": 100, "lapse": 0} {
			if n := one.count("SELECT count(*) FROM events WHERE target_type = 'registration-token' AND verb = '" + verb + "'"); n != want {
				t.Errorf("%d events %s", n, verb)
			}
		}
	})
}

// TestRegistrationLapses kills the program between the steps. Once the time for the second is over, each use is given back
// once, though two nodes do it, and who comes too late gets nothing.
func TestRegistrationLapses(t *testing.T) {
	oneByOne(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		p := launch(t, uri, everything+openRegistration)
		token := p.registrationToken(map[string]any{"token": "too-late", "uses_allowed": 250})
		var last any
		for range 250 { // more than one transaction ends
			a, err := p.asNobody("/api/register", map[string]any{"token": "too-late"})
			if err != nil || a.StatusCode != http.StatusOK {
				t.Fatalf("%v, %s", err, a.text)
			}
			last = dig(a.document, "meta", "registration")
		}
		if p.uses(token) != "250 0" {
			t.Fatal(p.uses(token))
		}
		if err := p.end(syscall.SIGKILL); err == nil {
			t.Fatal("the program ended by itself")
		}
		s := launch(t, uri, everything+openRegistration)
		nodes := []*app{opened(t, uri), opened(t, uri)}
		lapse := func(at time.Time) (lapsed int64) {
			var sum atomic.Int64
			var both sync.WaitGroup
			for _, a := range nodes {
				both.Go(func() {
					for n, err := 1, error(nil); n > 0; sum.Add(int64(n)) {
						if n, err = a.registrar.Lapse(t.Context(), at); err != nil {
							t.Error(err)
						}
					}
				})
			}
			both.Wait()
			return sum.Load()
		}
		if n := lapse(time.Now()); n != 0 || s.uses(token) != "250 0" {
			t.Errorf("%d have lapsed before their time, the uses are %s", n, s.uses(token))
		}
		after := time.Now().Add(registration.Window)
		if n := lapse(after); n != 250 || s.uses(token) != "0 0" || s.count("SELECT count(*) FROM registrations") != 0 {
			t.Errorf("%d have lapsed, the uses are %s", n, s.uses(token))
		}
		if n := lapse(after); n != 0 || s.count("SELECT count(*) FROM events WHERE verb = 'lapse'") != 250 {
			t.Errorf("%d have lapsed once more", n)
		}
		a, err := s.asNobody("/api/register/complete", map[string]any{"registration": last, "username": "late", "password": "green-mercedes-77"})
		if err != nil || a.StatusCode != http.StatusNotFound {
			t.Errorf("too late: %v, %s", err, a.text)
		}
	})
}

// TestRegistrationIsLimited guesses at tokens until nobody from there is listened to, on either node. What succeeds does
// not count with a token, and does without.
func TestRegistrationIsLimited(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		const open = everything + day + "registration: {enabled: true}\n"
		one := start(t, uri, open)
		two := one.another(open)
		one.registrationToken(map[string]any{"token": "listen-billy"})
		begin := func(s *server, token string) answer {
			t.Helper()
			a, err := s.asNobody("/api/register", map[string]any{"token": token})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		for i := range 20 {
			if a := begin(one, "listen-billy"); a.StatusCode != http.StatusOK {
				t.Fatalf("registration %d: %s", i, a.text)
			}
		}
		for i := range 12 {
			if a := begin([]*server{one, two}[i%2], fmt.Sprint("guess-", i)); a.StatusCode != http.StatusForbidden {
				t.Fatalf("guess %d: %s", i, a.text)
			}
		}
		one.limited("a guess too many", begin(one, "guess-13"))
		two.limited("the right one, too late", begin(two, "listen-billy"))
	})
}

// TestRegistrationTokenIsValid asks at the very instants around an expiry, and with every state of the uses: what valid
// shows, what its filter finds and what that counts agree.
func TestRegistrationTokenIsValid(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		a := opened(t, uri)
		now := resource.Cut(time.Now())
		clock := func() time.Time { return now }
		engine := resource.NewEngine(a.engine.Registry(), a.database, clock)
		do := func(op resource.Operation) resource.Result {
			t.Helper()
			op.Type, op.Principal = registration.Schema.Name, auth.System
			results, err := engine.Do(t.Context(), op)
			if err != nil {
				t.Fatal(err)
			}
			return results[0]
		}
		expiry := now.Add(time.Hour)
		want := map[ulid.ULID]bool{} // before the expiry
		for _, uses := range []any{nil, 0, 1, 2} {
			for _, expires := range []any{nil, expiry.Format(time.RFC3339Nano)} {
				for _, revoked := range []bool{false, true} {
					id := do(resource.Operation{Verb: resource.Create, Body: resource.Body{Attributes: map[string]any{"uses_allowed": uses, "expires_at": expires}}}).ID
					if revoked {
						do(resource.Operation{Verb: "revoke", ID: id})
					}
					want[id] = !revoked && uses != 0
				}
			}
		}
		for _, at := range []time.Duration{-time.Microsecond, 0, time.Microsecond} {
			now = expiry.Add(at)
			total := int64(0)
			for _, valid := range []string{"true", "false"} {
				found := do(resource.Operation{Verb: resource.List, Filters: []resource.FilterArgument{resource.FilterBy("valid", valid)}, Window: pagination.First(100)})
				if found.Page.Total != int64(found.Resources.Len()) {
					t.Errorf("%s: %d valid=%s, of which %d are listed", at, found.Page.Total, valid, found.Resources.Len())
				}
				total += found.Page.Total
				for i := range found.Resources.Len() {
					one, err := resource.Do[registration.Token](t.Context(), engine, resource.Operation{
						Verb: resource.Get, Type: registration.Schema.Name, ID: found.Resources.ID(i), Principal: auth.System})
					if err != nil {
						t.Fatal(err)
					}
					right := want[one.ID] && (one.ExpiresAt.IsZero() || at < 0)
					if shown := string(found.Resources.AppendAttributes(nil, i)); !strings.Contains(shown, `"valid":`+valid) || right != (valid == "true") {
						t.Errorf("%s: filter[valid]=%s finds %s", at, valid, shown)
					}
				}
			}
			if total != int64(len(want)) {
				t.Errorf("%s: %d tokens are valid or not, of %d", at, total, len(want))
			}
		}
	})
}
