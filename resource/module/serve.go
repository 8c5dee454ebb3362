package module

import (
	"net/http"
	"slices"
	"strings"
)

// Serve serves the routes of the modules that are loaded, of a listener that names some resources; what none of them
// has goes to otherwise.
func (l *Loader) Serve(resources []string, otherwise http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, route, handler := l.route(resources, r.URL.Path)
		if handler == nil || !i.gate.Enter() {
			otherwise.ServeHTTP(w, r)
			return
		}
		defer i.gate.Leave()
		r.Pattern = route // for the log
		handler.ServeHTTP(w, r)
	})
}

// route finds the longest path that stands for another, and its handler.
func (l *Loader) route(resources []string, path string) (of *instance, longest string, handler http.Handler) {
	for _, i := range *l.loaded.Load() {
		for _, route := range i.Routes {
			below := strings.HasSuffix(route.Path, "/") && strings.HasPrefix(path, route.Path)
			if (below || path == route.Path) && len(route.Path) > len(longest) && slices.Contains(resources, route.Resource) {
				of, longest, handler = i, route.Path, route.Handler
				if guard := l.config.Guards[route.Resource]; guard != nil {
					handler = guard(handler)
				}
			}
		}
	}
	return of, longest, handler
}
