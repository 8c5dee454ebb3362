package oauth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"reeve/auth/factor"
	"reeve/resource"
)

// fresh is how long ago somebody may have signed in who wants to change how they do.
const fresh = 10 * time.Minute

// security serves the page where users see to their second factors.
func (v *visit) security() error {
	again := v.browser != nil && v.config.Clock().Sub(v.browser.CreatedAt) > fresh
	if ok, err := v.signedIn(again, page{Purpose: "to see to your second factor"}); !ok {
		return err
	}
	ctx, id := v.r.Context(), v.r.PostForm.Get("authenticator")
	held, err := v.config.Factors.Of(ctx, v.user.ID)
	if err != nil {
		return err
	}
	switch {
	case v.r.URL.Query().Has("add"):
		return v.setUp(page{Back: v.prefix + securityPath}, held)
	case v.do() == "remove":
		parsed, err := resource.ParseID(id)
		if err != nil {
			return invalid(http.StatusBadRequest, "the form does not say what to remove")
		}
		if err := v.config.Factors.RemoveOwn(ctx, v.user, parsed); err != nil && !resource.Is(err, resource.NotFound) { // another tab was faster
			return err
		}
		v.redirect("?")
		return nil
	case v.do() == "renew":
		codes, err := v.config.Factors.RenewRecovery(ctx, v.user)
		if errors.Is(err, factor.ErrWrong) {
			v.redirect("?")
			return nil
		}
		if err != nil {
			return err
		}
		return v.showCodes(codes, "?")
	}
	p := page{Title: "Second factor", Authenticators: held}
	if p.Left, err = v.config.Factors.Recovery(ctx, v.user.ID); err != nil {
		return err
	}
	return v.show(http.StatusOK, "security", p)
}

// script is what passkeys need besides HTML.
var (
	script    = mustRead("pages/passkey.js")
	scriptTag = func() string {
		hash := sha256.Sum256([]byte(script))
		return `"` + hex.EncodeToString(hash[:16]) + `"`
	}()
)

// serveScript serves the script of the pages.
func serveScript(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuseMethod(w, r, "GET, HEAD")
		return
	}
	for name, value := range map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "ETag": scriptTag, "X-Content-Type-Options": "nosniff",
	} {
		w.Header().Set(name, value)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte(script)))
}
