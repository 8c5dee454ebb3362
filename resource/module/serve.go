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
		i, handler := l.route(resources, r.URL.Path)
		if handler == nil || !i.gate.Enter() {
			otherwise.ServeHTTP(w, r)
			return
		}
		defer i.gate.Leave()
		handler.ServeHTTP(w, r)
	})
}

// route finds the handler of the longest path that stands for another.
func (l *Loader) route(resources []string, path string) (of *instance, handler http.Handler) {
	longest := 0
	for _, i := range *l.loaded.Load() {
		for _, route := range i.Routes {
			below := strings.HasSuffix(route.Path, "/") && strings.HasPrefix(path, route.Path)
			if (below || path == route.Path) && len(route.Path) > longest && slices.Contains(resources, route.Resource) {
				of, handler, longest = i, route.Handler, len(route.Path)
				if guard := l.config.Guards[route.Resource]; guard != nil {
					handler = guard(handler)
				}
			}
		}
	}
	return of, handler
}
