package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"reeve/resource"
)

var attackFor = flag.Duration("attack", 2*time.Second, "how long TestAttack tries to guess a password on each database; from 10s on, others must keep their rate")

// day has a window so long that no test meets its end, but for one at midnight.
const day = "auth: {sign_in: {per_account: 4, per_address: 12, window: 24h}}\n"

// signIn tries to sign in by Basic.
func (s *server) signIn(name, password string) answer {
	s.Helper()
	as := *s
	as.user = name + ":" + password
	return as.send("GET", "/api/admin/v1/me", nil)
}

// limited checks that an answer is that to an attempt too many.
func (s *server) limited(what string, a answer) {
	s.Helper()
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.StatusCode != 429 || dig(a.document, "errors", 0, "code") != string(resource.TooManyRequests) || err != nil || seconds < 1 || seconds > 24*60*60 {
		s.Errorf("%s: %d %s, again after %q", what, a.StatusCode, a.text, a.Header.Get("Retry-After"))
	}
}

// refused waits until so many refused attempts are counted.
func (s *server) refused(n int) {
	s.Helper()
	eventually(s.T, patience, fmt.Sprint(n, " refused attempts are counted"), func() bool {
		return s.count("SELECT COALESCE(sum(refused), 0) FROM attempt_tallies") == n
	})
}

// TestSignInIsLimited has an account guessed at on two nodes: then it is refused on both, by Basic and on the page, as one
// is that nobody has; who is signed in stays so, and others are let in, until there are too many from one address.
func TestSignInIsLimited(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		one := start(t, uri, everything+seedClients+day)
		two := one.another(everything + seedClients + day)
		token := one.personalToken("owner")
		one.person("owned")
		for _, name := range []string{"owned", "nobody"} {
			for i := range 4 {
				node := []*server{one, two}[i%2]
				if a := node.signIn(name, "wrong-horse"); a.StatusCode != 401 {
					t.Errorf("attempt %d on %s: %d", i, name, a.StatusCode)
				}
			}
			one.limited(name, one.signIn(name, "so-it-goes-on-1969"))
			two.limited(name+" on the other node", two.signIn(name, "so-it-goes-on-1969"))
		}
		b := one.browser()
		page := b.submit(b.visit(one.oauthClient(pageClient, "openid").AuthCodeURL("x", oauth2.S256ChallengeOption("x"))),
			"do", "sign-in", "username", "owned", "password", "so-it-goes-on-1969")
		if page.StatusCode != 429 || page.Header.Get("Retry-After") == "" {
			t.Errorf("the page: %d", page.StatusCode)
		}
		if one.ask(token) != 200 || two.ask(token) != 200 {
			t.Error("a token is refused")
		}
		for range 20 { // as the administrator, who is the caller in these tests
			if a := two.send("GET", "/api/admin/v1/me", nil); a.StatusCode != 200 {
				t.Errorf("another account: %d", a.StatusCode)
			}
		}

		// Many at once are right: while one is under way it counts as failed, so they take turns.
		_, many := one.person("many")
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				if a, err := many.try("GET", "/api/admin/v1/me", nil); err != nil || a.StatusCode != 200 {
					t.Errorf("one of many at once: %v, %v", a.Response, err)
				}
			})
		}
		all.Wait()

		// The address has failed eight times; four more are too many.
		for i := range 4 {
			if a := one.signIn(fmt.Sprint("nobody-", i), "wrong-horse"); a.StatusCode != 401 {
				t.Errorf("attempt %d from the address: %d", i, a.StatusCode)
			}
		}
		one.limited("the address", one.signIn("nobody-5", "wrong-horse"))
		two.limited("the address on the other node", two.signIn("nobody-6", "wrong-horse"))
		if a := one.send("GET", "/api/admin/v1/me", nil); a.StatusCode != 200 {
			t.Errorf("who has just signed in from there: %d", a.StatusCode)
		}
		if one.ask(token) != 200 {
			t.Error("a token is refused from the address")
		}

		// Each node has refused some; the trail has one event for each account, and for the address.
		one.refused(3 + 2 + 2)
		if n, err := one.app.attempts.Close(t.Context(), time.Now().AddDate(0, 0, 2)); err != nil || n != 3 {
			t.Errorf("%d events: %v", n, err)
		}
		owned := idsOf(one.get("users?filter[username]=owned"))[0]
		got := map[string]bool{}
		trail := one.get("events?filter[verb]=sign-in-refused")
		for i := range idsOf(trail) {
			event := dig(trail, "data", i)
			got[fmt.Sprintf("%v from %v: %v", dig(event, "relationships", "target", "data", "id"), dig(event, "attributes", "address"), dig(event, "attributes", "count"))] = true
		}
		for _, want := range []string{owned + " from <nil>: 3", "<nil> from <nil>: 2", "<nil> from 127.0.0.1: 2"} {
			if !got[want] {
				t.Errorf("there is no event %q in %v", want, got)
			}
		}
	})
}

// TestTriesAreLimited guesses at the codes of devices, and registers clients, until there have been too many.
func TestTriesAreLimited(t *testing.T) {
	onBoth(t, func(t *testing.T, uri string) {
		s := start(t, uri, everything+seedClients+day)
		b := s.browser()
		page := b.signIn(b.visit(s.bases[0] + "/device"))
		device, err := s.oauthClient(terminalClient, "openid").DeviceAuth(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		guess := func(code string, status int) {
			t.Helper()
			if page = b.visit(s.bases[0] + "/device?user_code=" + code); page.StatusCode != status {
				t.Errorf("%s: %d", code, page.StatusCode)
			}
		}
		for range 6 {
			guess(device.UserCode, 200)
		}
		for _, letter := range "BCDF" {
			guess(strings.Repeat(string(letter), 8), 404)
		}
		guess(device.UserCode, 429)
		if page.Header.Get("Retry-After") == "" {
			t.Error("the page does not say when to try again")
		}

		metadata := map[string]any{"redirect_uris": []string{"https://x.example.com/"}}
		s.register(400, map[string]any{"redirect_uris": []string{"nowhere"}}) // which is no attempt
		for range 12 {
			s.register(201, metadata)
		}
		a := s.send("POST", "/oauth2/registration", metadata, "Authorization: ", "Content-Type: application/json")
		if a.StatusCode != 429 || a.document["error"] != string(resource.TooManyRequests) || a.Header.Get("Retry-After") == "" {
			t.Errorf("one client more: %d %s", a.StatusCode, a.text)
		}
		if a := s.signIn("quentin", "wrong-horse"); a.StatusCode != 401 {
			t.Errorf("what else is tried: %d", a.StatusCode)
		}
	})
}

// attackRate is how many attempts a second an attack makes.
const attackRate = 1000

// outcome is what an attack came to.
type outcome struct{ failed, refused, busy atomic.Int64 }

// attack tries to guess a password for a while, as often as it should in all.
func (s *server) attack(name string, duration time.Duration, o *outcome) {
	guesses, attackers := make(chan int), sync.WaitGroup{}
	for range 32 {
		attackers.Go(func() {
			for i := range guesses {
				r, err := http.NewRequestWithContext(s.Context(), "GET", s.bases[0]+"/api/admin/v1/me", nil)
				if err != nil {
					s.Error(err)
					continue
				}
				r.SetBasicAuth(name, fmt.Sprint("guess-", i))
				response, err := s.client.Do(r)
				if err != nil {
					s.Error(err)
					continue
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					s.Error(err)
				}
				response.Body.Close()
				again := response.Header.Get("Retry-After") != ""
				switch {
				case response.StatusCode == 401 && !again:
					o.failed.Add(1)
				case response.StatusCode == 429 && again:
					o.refused.Add(1)
				case response.StatusCode == 503 && again:
					o.busy.Add(1)
				default:
					s.Errorf("guess %d: %d", i, response.StatusCode)
				}
			}
		})
	}
	begin := time.Now()
	for i := range int(duration.Seconds() * attackRate) {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / attackRate)))
		guesses <- i
	}
	close(guesses)
	attackers.Wait()
	if took := time.Since(begin); took > duration+duration/10 && duration >= 10*time.Second {
		s.Errorf("the attack of %s took %s", duration, took)
	}
}

// rates are how many requests with a token are answered in a second while something goes on, in each half of a second.
func (s *server) rates(token credential, while func()) (rates []float64) {
	var answered atomic.Int64
	var done atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !done.Load() {
				if a, err := s.try("GET", "/api/admin/v1/users?page[first]=100", nil, "Authorization: "+token.header); err != nil || a.StatusCode != 200 {
					s.Errorf("a request of somebody else: %v, %v", a.Response, err)
				}
				answered.Add(1)
			}
		})
	}
	clients.Go(func() {
		for !done.Load() {
			begin, before := time.Now(), answered.Load()
			time.Sleep(500 * time.Millisecond)
			rates = append(rates, float64(answered.Load()-before)/time.Since(begin).Seconds())
		}
	})
	while()
	done.Store(true)
	clients.Wait()
	return rates
}

// median is the figure in the middle: it tells nothing of when the machine did something else for a while.
func median(figures []float64) float64 {
	slices.Sort(figures)
	n := len(figures)
	return (figures[(n-1)/2] + figures[n/2]) / 2
}

// TestAttack has one account guessed at a thousand times a second. As many guesses get through as may; the others are
// refused, and told of. Others go on meanwhile, memory stays as it is, and the owner gets in after the window.
func TestAttack(t *testing.T) {
	oneByOne(t, func(t *testing.T, uri string) {
		prepare(t, uri)
		window := *attackFor + 3*time.Second
		p := launch(t, uri, everything+fmt.Sprintf("auth: {sign_in: {window: %s}}\n", window))
		token := p.personalToken("other")
		owner, _ := p.person("owned")
		made := p.do(201, "POST", "tokens", resourceDocument("token", "", map[string]any{"name": "x", "scopes": []string{"urn:reeve:*:*"}},
			map[string]any{"user": toOne("user", owner)}))
		owned := credential{header: "Bearer " + fmt.Sprint(dig(made, "data", "attributes", "token"))}

		quiet := func() { time.Sleep(*attackFor / 2) }
		rates, idle := p.rates(token, quiet), p.memory("VmRSS")
		begin := time.Now().Truncate(window).Add(window)
		time.Sleep(time.Until(begin)) // so that all of it is in one window, unless the machine is slow
		var guesses outcome
		var owners int64 // attempts that are refused
		during := median(p.rates(token, func() {
			var attack sync.WaitGroup
			attack.Go(func() { p.attack("owned", *attackFor, &guesses) })
			for guesses.refused.Load() == 0 && time.Since(begin) < 2**attackFor {
				time.Sleep(10 * time.Millisecond)
			}
			if a := p.signIn("owned", "so-it-goes-on-1969"); a.StatusCode != 429 {
				t.Errorf("the owner in the midst of it: %d", a.StatusCode)
			}
			owners++
			if a := p.send("GET", "/api/admin/v1/me", nil, "Authorization: "+owned.header); a.StatusCode != 200 {
				t.Errorf("the owner's token: %d", a.StatusCode)
			}
			attack.Wait()
		}))
		end := time.Now()
		alone := median(append(rates, p.rates(token, quiet)...))
		windows := 1 + int64(end.Truncate(window).Sub(begin.Truncate(window))/window)
		failed, refused, busy := guesses.failed.Load(), guesses.refused.Load(), guesses.busy.Load()
		t.Logf("%d guesses failed in %d windows, %d were refused, %d found too many waiting", failed, windows, refused, busy)
		if failed < 10 || failed > 10*windows {
			t.Errorf("%d guesses got through in %d windows", failed, windows)
		}
		kept := during / alone
		t.Logf("others sent %.0f requests a second before and after, and %.0f meanwhile: they kept %.2f", alone, during, kept)
		if *attackFor >= 10*time.Second && kept < 0.8 {
			t.Error("others did not keep 0.8 of their rate")
		}
		peak := p.memory("VmHWM")
		t.Logf("memory was %d MiB, and at most %d", idle>>20, peak>>20)
		if peak > 192<<20 {
			t.Error("memory was not bounded")
		}

		for a := p.signIn("owned", "so-it-goes-on-1969"); a.StatusCode != 200; a = p.signIn("owned", "so-it-goes-on-1969") {
			if a.StatusCode != 429 || time.Since(end) > 2*window {
				t.Fatalf("the owner %s after the attack: %d", time.Since(end), a.StatusCode)
			}
			owners++
			seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(seconds) * time.Second)
		}
		if err := p.end(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if n := p.count("SELECT count(*) FROM events WHERE verb = 'sign-in-failed'"); int64(n) != failed {
			t.Errorf("%d events of %d attempts that failed", n, failed)
		}
		told, err := opened(t, uri).attempts.Close(t.Context(), time.Now().Add(time.Hour))
		if err != nil || int64(told) > windows || told == 0 {
			t.Errorf("%d events of what was refused in %d windows: %v", told, windows, err)
		}
		if n := p.count("SELECT sum(count) FROM events WHERE verb = 'sign-in-refused'"); int64(n) != refused+owners {
			t.Errorf("%d attempts were refused and %d told of", refused+owners, n)
		}
	})
}

// memory is what the kernel says of the memory of the process, in bytes: VmRSS for now, VmHWM for the most ever.
func (p *process) memory(what string) (bytes int64) {
	p.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, what+":"); ok {
			if _, err := fmt.Sscanf(rest, "%d kB", &bytes); err != nil {
				p.Fatal(err)
			}
			return bytes << 10
		}
	}
	p.Fatalf("there is no %s", what)
	return 0
}
