package oauth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/authenticator"
	"reeve/resource/client"
	"reeve/resource/passwordlink"
)

// The pages are plain HTML: one template each, and one stylesheet for all. They need no script, but for passkeys.
//
//go:embed pages
var files embed.FS

var (
	templates = template.Must(template.ParseFS(files, "pages/*.html"))
	style     = mustRead("pages/style.css")
	policy    = contentPolicy(style)
)

func mustRead(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(text)
}

// contentPolicy lets a page have its own stylesheet, and nothing else. One that asks for a passkey may have a script too.
func contentPolicy(style string) string {
	hash := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; frame-ancestors 'none'; base-uri 'none'"
}

// page is what a template shows.
type page struct {
	Title       string
	Style       template.CSS
	Problem     string          // what went wrong
	User        *auth.Principal // who is signed in, nil if nobody
	Token       string          // see [visit.token]
	Username    string          // what was typed in, or what the client suggests
	Client      *client.Client  // who asks
	Destination string          // where the browser goes afterwards
	UserCode    string          // of a device
	Granted     []string        // what the client will be able to do
	Refused     []string        // what it asks for besides
	Grantable   bool
	Purpose     string // what somebody signs in for, if no client asks
	Pending     bool   // User has given the right password, and nothing else

	Authenticators []authenticator.Authenticator // of User
	Left           int                           // how many recovery codes they have
	Passkey        string                        // the options for the browser, see [factor.Site]; empty if there are no passkeys
	Secret         string                        // of an app that is to be set up
	QR             template.HTML                 // its picture
	Codes          []string                      // recovery codes
	Security       string                        // the path of the page about all this, unless it is this one
	Script         string                        // the path of the script
	Onward         string                        // where a link leads on
	Back           string                        // and where back, empty if there is no way back

	leaves bool // its form leads to a site of the client
}

// visit is a request for a page, and who makes it.
type visit struct {
	*Server
	w       http.ResponseWriter
	r       *http.Request
	browser *Browser        // nil if nobody is signed in
	user    *auth.Principal // with all of their rights; nil likewise
	again   bool            // somebody is to sign in though they have

	pending     *Pending // nil if no sign-in waits for a second factor
	pendingUser *auth.Principal
}

// servePage serves what people look at.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	v := &visit{Server: s, w: w, r: r}
	if err := v.serve(); err != nil {
		v.fail(err)
	}
}

func (v *visit) serve() (err error) {
	switch v.r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		if err := readForm(v.w, v.r); err != nil {
			return err
		}
		if v.r.URL.Path == authorizePath && !v.r.PostForm.Has("do") {
			// A client may send its request as a form (OpenID Connect Core, 3.1.2.1). It comes from another site, so the
			// cookie is not with it.
			v.redirect("?" + v.r.PostForm.Encode())
			return nil
		}
		if err := http.NewCrossOriginProtection().Check(v.r); err != nil {
			return errForged
		}
	default:
		v.w.Header().Set("Allow", "GET, HEAD, POST")
		return invalid(http.StatusMethodNotAllowed, "the methods here are GET, HEAD and POST")
	}
	if err := printable(v.r.PostForm, v.r.URL.Query()); err != nil {
		return err
	}
	if v.browser, v.user, err = v.findBrowser(v.r); err != nil {
		return err
	}
	if v.pending, v.pendingUser, err = v.findPending(v.r); err != nil {
		return err
	}
	if (v.browser != nil || v.pending != nil) && v.do() != "" && v.do() != "sign-in" && !hmac.Equal([]byte(v.r.PostForm.Get("token")), []byte(v.token())) {
		return errForged
	}
	switch v.r.URL.Path {
	case devicePath:
		return v.device()
	case securityPath:
		return v.security()
	case passwordlink.Path:
		return v.password()
	}
	return v.authorize()
}

// printable refuses what is no text. No database has to be asked about that.
func printable(forms ...url.Values) error {
	for _, form := range forms {
		for name, values := range form {
			for _, text := range append(values, name) {
				if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
					return invalid(http.StatusBadRequest, "the request has characters that are no text")
				}
			}
		}
	}
	return nil
}

var errForged = invalid(http.StatusForbidden, "this form was not sent from a page of this server; go back and try again")

// do is what the form that was sent says to do; empty if none was.
func (v *visit) do() string { return v.r.PostForm.Get("do") }

// token stands in the forms of who is signed in, or about to be: no other site can know it, since it is made of the cookie.
func (v *visit) token() string {
	var cookie string
	switch {
	case v.pending != nil:
		cookie = v.cookie(v.r, pendingCookie, auth.PendingToken)
	case v.browser != nil:
		cookie = v.cookie(v.r, browserCookie, auth.BrowserToken)
	default:
		return ""
	}
	mac := hmac.New(sha256.New, []byte(cookie))
	mac.Write([]byte("form"))
	return hex.EncodeToString(mac.Sum(nil))
}

// show answers with a page.
func (v *visit) show(status int, name string, p page) error {
	p.Style, p.User, p.Token, p.Pending = template.CSS(style), v.user, v.token(), v.pending != nil
	p.Script = v.prefix + scriptPath
	if v.r.URL.Path != securityPath {
		p.Security = v.prefix + securityPath
	}
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, p); err != nil {
		return err
	}
	v.protect()
	policy := policy
	if !p.leaves {
		// Not where a client's site comes next: browsers count what that site redirects to as well.
		policy += "; form-action 'self'"
	}
	if p.Passkey != "" {
		policy += "; script-src 'self'"
	}
	v.w.Header().Set("Content-Security-Policy", policy)
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("No-Gzip-Compression", "1") // a secret beside what the query says is not to be compressed (BREACH)
	v.w.WriteHeader(status)
	_, err := v.w.Write(text.Bytes())
	if err != nil {
		slog.DebugContext(v.r.Context(), "oauth: a page was not read", "error", err)
	}
	return nil
}

// protect says how a browser is to treat the answer: not to keep it, not to show it in a frame of another site, not to
// tell the next site where it came from.
func (v *visit) protect() {
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	} {
		v.w.Header().Set(name, value)
	}
}

// redirect sends the browser on, by GET (RFC 9700, 4.12).
func (v *visit) redirect(to string) {
	v.protect()
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(http.StatusSeeOther)
}

// fail shows an error. What went wrong inside stands in the log alone.
func (v *visit) fail(err error) {
	status, title, sentence := http.StatusInternalServerError, "Something went wrong", "This is no fault of yours. Try again in a while."
	var refused *requestError
	switch {
	case errors.As(err, &refused):
		status, title, sentence = refused.status, "This does not work", capital(refused.description)+"."
	case resource.Is(err, resource.TooManyRequests):
		status, title, sentence = http.StatusTooManyRequests, "Too many attempts", "Wait a while, then try again."
	case resource.Is(err, resource.Unavailable, resource.Maintenance):
		status, title = http.StatusServiceUnavailable, "Not just now"
	}
	if status >= http.StatusInternalServerError {
		slog.ErrorContext(v.r.Context(), "oauth: a page failed", "path", v.r.URL.Path, "error", err)
	}
	retryAfter(v.w, err)
	v.user = nil // whoever it is, there is no form to change that
	if err := v.show(status, "message", page{Title: title, Problem: sentence}); err != nil {
		slog.ErrorContext(v.r.Context(), "oauth: no page tells of a failure", "error", err)
		v.w.WriteHeader(status)
	}
}

func capital(sentence string) string { return strings.ToUpper(sentence[:1]) + sentence[1:] }
