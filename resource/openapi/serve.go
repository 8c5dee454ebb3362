package openapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"reeve/resource"
)

// The paths below Info.Prefix at which [Handler] and [UI] are to be served, to GET and HEAD.
const (
	SpecPath = "/api/spec.json"
	UIPath   = "/api/doc/"
)

// Handler serves the document of what is registered right now, to anyone. It makes the document anew only when
// the registry has changed, or the info.
func Handler(registry *resource.Registry, info func() Info) http.Handler {
	return &handler{registry: registry, info: info}
}

type handler struct {
	registry *resource.Registry
	info     func() Info

	mu    sync.Mutex
	types []*resource.Description // that text describes
	said  Info                    // what it says apart from them
	text  []byte
	etag  string
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, etag := h.current()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache") // ask again whether it has changed
	w.Header().Set("ETag", etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// current is the document and its tag. A type that is registered keeps its description, so comparing pointers
// tells whether the registry has changed.
func (h *handler) current() (text []byte, etag string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if types, info := h.registry.Descriptions(), h.info(); h.text == nil || info != h.said || !slices.Equal(types, h.types) {
		text, err := json.Marshal(Document(types, info))
		if err != nil {
			panic(fmt.Sprintf("openapi: a declaration holds what JSON cannot: %v", err))
		}
		h.types, h.said, h.text, h.etag = types, info, text, fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(text)))
	}
	return h.text, h.etag
}

// redirectPaths are where the redirect page is, by its names in the Matrix Authentication Service: in its document, and
// since.
var redirectPaths = []string{UIPath + "oauth2-redirect", UIPath + "oauth2-callback"}

// redirectPage is where the authorization code flow of the page returns to: it hands the code to the page that
// opened it.
//
//go:embed oauth2-redirect.html
var redirectPage []byte

// UI serves Swagger UI from the binary at [UIPath], and below it. It shows the document at [SpecPath].
func UI(info Info) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(strings.TrimSuffix(UIPath, "/"), http.RedirectHandler(info.Prefix+UIPath, http.StatusMovedPermanently))
	mux.Handle(UIPath, v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "Reeve", SwaggerJSON: info.Prefix + SpecPath,
		BasePath: info.Prefix + UIPath, InternalBasePath: UIPath,
		SettingsUI: map[string]string{
			"docExpansion":      `"none"`,
			"oauth2RedirectUrl": "window.location.origin + " + strconv.Quote(info.Prefix+redirectPaths[0]),
			"onComplete":        "() => window.ui.initOAuth({usePkceWithAuthorizationCodeGrant: true})",
		},
	}))
	for _, path := range redirectPaths {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(redirectPage))
		})
	}
	return mux
}
