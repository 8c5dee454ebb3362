package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/httpapi"
	"reeve/resource/version"
)

// metrics are what /metrics tells (Prometheus). Every label has few values: routes are templates, types are those that
// are registered, methods and statuses are few. None has a name, an id or an address.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
}

// scrapeTimeout is how long the database may take for what a scrape asks of it.
const scrapeTimeout = 2 * time.Second

func (a *app) newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reeve_requests_total", Help: "Requests, by the template of their route, the type whose path it is, the method, and the class of the status.",
		}, []string{"route", "type", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "reeve_request_duration_seconds", Help: "How long requests took, by the template of their route and the type whose path it is. Live streams are not in it.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10},
		}, []string{"route", "type"}),
	}
	about := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "reeve_info", Help: "Always 1; its label is the version.", ConstLabels: prometheus.Labels{"version": version.Current().Version},
	})
	about.Set(1)
	m.registry.MustRegister(
		m.requests, m.durations, about, &state{a}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// observe counts a request that was answered.
func (m *metrics) observe(seen httpapi.Observation) {
	method := seen.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // a client may make any up
	}
	m.requests.WithLabelValues(seen.Route, seen.Type, method, classes[seen.Status/100%len(classes)]).Inc()
	if !seen.Stream {
		m.durations.WithLabelValues(seen.Route, seen.Type).Observe(seen.Duration.Seconds())
	}
}

// classes are those of statuses (RFC 9110, section 15).
var classes = [...]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"}

// handler serves the metrics. What the database does not tell just now is left out.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// state is what a scrape asks for.
type state struct{ *app }

var (
	poolConnections = prometheus.NewDesc("reeve_pool_connections", "Connections to the database, by what they do.", []string{"pool", "state"}, nil)
	poolMost        = prometheus.NewDesc("reeve_pool_max_connections", "How many connections to the database there may be.", []string{"pool"}, nil)
	poolWaits       = prometheus.NewDesc("reeve_pool_waits_total", "How often a connection to the database had to be waited for.", []string{"pool"}, nil)
	poolWaited      = prometheus.NewDesc("reeve_pool_wait_seconds_total", "How long connections to the database were waited for.", []string{"pool"}, nil)
	queueLength     = prometheus.NewDesc("reeve_queue_length", "What waits to be done, on all nodes together.", []string{"queue"}, nil)
	readOnlyMode    = prometheus.NewDesc("reeve_read_only", "1 while maintenance.read_only is on.", nil, nil)
)

// queue is something that waits. Its length is NotFound while its module is not loaded.
type queue struct {
	name   string
	length func(ctx context.Context) (int64, error)
}

func (s *state) queues() []queue {
	return []queue{
		{"messages", total(s.recipients.List, resource.IsNull("delivered_at"))},
		{"jobs", s.total("job", "state", "queued")},
		{"running_jobs", s.total("job", "state", "running")},
		{"webhook_deliveries", s.total("webhook-delivery", "state", "failing")},
	}
}

// total is how many resources of a type have a value of a filter.
func (s *state) total(typ, filter, value string) func(ctx context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		results, err := s.engine.Do(ctx, resource.Operation{
			Verb: resource.List, Type: typ, Filters: []resource.FilterArgument{resource.FilterBy(filter, value)},
			Window: pagination.First(1), Count: pagination.CountOnly, Principal: auth.System,
		})
		if err != nil {
			return 0, err
		}
		return results[0].Page.Total, nil
	}
}

// Describe is for [prometheus.Collector].
func (s *state) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolConnections, poolMost, poolWaits, poolWaited, queueLength, readOnlyMode} {
		to <- d
	}
}

// Collect is for [prometheus.Collector].
func (s *state) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	for pool, stats := range s.database.Stats() {
		gauge(poolConnections, float64(stats.InUse), pool, "in_use")
		gauge(poolConnections, float64(stats.Idle), pool, "idle")
		gauge(poolMost, float64(stats.MaxOpenConnections), pool)
		counter(poolWaits, float64(stats.WaitCount), pool)
		counter(poolWaited, stats.WaitDuration.Seconds(), pool)
	}
	readOnly := 0.0
	if s.readOnly.Load() {
		readOnly = 1
	}
	gauge(readOnlyMode, readOnly)
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for _, q := range s.queues() {
		length, err := q.length(ctx)
		switch {
		case err == nil:
			gauge(queueLength, float64(length), q.name)
		case !resource.Is(err, resource.NotFound):
			s.log.WarnContext(ctx, "a scrape is not told how long a queue is", "queue", q.name, "error", err)
		}
	}
}

// logged writes the line of a request that the API does not write itself, counts it, and says when to try again. The
// path is without its query, which may hold secrets.
func (a *app) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, id, out := time.Now(), httpapi.RequestID(r), &answerWriter{ResponseWriter: w, status: http.StatusOK}
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(out, r)
		seen := httpapi.Observation{
			Route: routeOf(r), Method: r.Method, Status: out.status, Bytes: out.bytes, Duration: time.Since(begin),
			Stream: out.Header().Get("Content-Type") == "text/event-stream",
		}
		a.metrics.observe(seen)
		a.log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.String("route", seen.Route), slog.Int("status", seen.Status), slog.Int("bytes", seen.Bytes),
			slog.Duration("duration", seen.Duration), slog.String("request", id))
	})
}

// routeOf is the template of the route of a request; empty if nothing is at its path.
func routeOf(r *http.Request) string {
	if route := mux.CurrentRoute(r); route != nil {
		if template, err := route.GetPathTemplate(); err == nil {
			return template
		}
	}
	return r.Pattern // of a module
}

// answerWriter notes the status and the length of an answer.
type answerWriter struct {
	http.ResponseWriter
	status, bytes int
}

// Unwrap is for [http.ResponseController].
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *answerWriter) WriteHeader(status int) {
	w.status = status
	if status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(text []byte) (int, error) {
	n, err := w.ResponseWriter.Write(text)
	w.bytes += n
	return n, err
}
