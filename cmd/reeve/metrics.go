package main

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/alert"
	"reeve/resource/httpapi"
	"reeve/resource/version"
	"reeve/resource/webhook"
)

// metrics are what /metrics tells (Prometheus). Every label has few values: routes are templates, types are those that
// are registered, methods and statuses are few. None has a name, an id or an address.
type metrics struct {
	registry  *prometheus.Registry
	known     map[string]alert.Metric // by the names of their samples
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	failures  prometheus.Counter
}

// scrapeTimeout is how long the database may take for what a scrape asks of it.
const scrapeTimeout = 2 * time.Second

// family is a metric of the program's own.
type family struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	desc       *prometheus.Desc
}

func newFamily(kind prometheus.ValueType, name, help string, labels []string) family {
	return family{name, help, kind, labels, prometheus.NewDesc(name, help, labels, nil)}
}

func newGauge(name, help string, labels ...string) family {
	return newFamily(prometheus.GaugeValue, name, help, labels)
}

func newCounter(name, help string, labels ...string) family {
	return newFamily(prometheus.CounterValue, name, help, labels)
}

// What is counted as it happens.
var (
	requestsTotal    = newCounter("reeve_requests_total", "Requests, by the template of their route, the type whose path it is, the method, and the class of the status.", "route", "type", "method", "status")
	requestDurations = family{name: "reeve_request_duration_seconds", help: "How long requests took, by the template of their route and the type whose path it is. Live streams are not in it.", labels: []string{"route", "type"}}
	signInFailures   = newCounter("reeve_sign_in_failures_total", "Passwords that were wrong, of accounts that are there and of those that are not.")
)

// What a scrape asks for.
var (
	info            = newGauge("reeve_info", "Always 1; its label is the version.", "version")
	poolConnections = newGauge("reeve_pool_connections", "Connections to the database, by what they do.", "pool", "state")
	poolMost        = newGauge("reeve_pool_max_connections", "How many connections to the database there may be.", "pool")
	poolWaits       = newCounter("reeve_pool_waits_total", "How often a connection to the database had to be waited for.", "pool")
	poolWaited      = newCounter("reeve_pool_wait_seconds_total", "How long connections to the database were waited for.", "pool")
	hashings        = newGauge("reeve_password_hashings", "Passwords that are hashed on this node, and that wait for their turn.", "state")
	queueLength     = newGauge("reeve_queue_length", "What waits to be done, on all nodes together.", "queue")
	checkedAt       = newGauge("reeve_check_timestamp_seconds", "When a job recount or reeve check last went through the database.")
	checkFindings   = newGauge("reeve_check_findings", "What it found wrong then, as counters that had drifted, by table.", "table")
	readOnlyMode    = newGauge("reeve_read_only", "1 while maintenance.read_only is on.")
	scraped         = []family{info, poolConnections, poolMost, poolWaits, poolWaited, hashings, queueLength, checkedAt, checkFindings, readOnlyMode}
)

func (a *app) newMetrics() (*metrics, error) {
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		known:     map[string]alert.Metric{},
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: requestsTotal.name, Help: requestsTotal.help}, requestsTotal.labels),
		failures:  prometheus.NewCounter(prometheus.CounterOpts{Name: signInFailures.name, Help: signInFailures.help}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: requestDurations.name, Help: requestDurations.help, Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10}}, requestDurations.labels),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	there, err := m.registry.Gather()
	if err != nil {
		return nil, err
	}
	for _, s := range seriesOf(there) { // of the process, before there is a database to ask
		m.known[s.Metric] = alert.Metric{Counter: s.Counter, Labels: slices.Sorted(maps.Keys(s.Labels))}
	}
	for _, f := range append(scraped, requestsTotal, signInFailures) {
		m.known[f.name] = alert.Metric{Counter: f.kind == prometheus.CounterValue, Labels: f.labels}
	}
	for suffix, labels := range map[string][]string{"_count": nil, "_sum": nil, "_bucket": {"le"}} {
		m.known[requestDurations.name+suffix] = alert.Metric{Counter: true, Labels: append(labels, requestDurations.labels...)}
	}
	m.registry.MustRegister(m.requests, m.durations, m.failures, &state{a})
	return m, nil
}

// read is what the metrics are just now, as rules name them.
func (m *metrics) read() ([]alert.Series, error) {
	families, err := m.registry.Gather()
	return seriesOf(families), err
}

// seriesOf are the series of some metrics, those of histograms by their parts as a scrape has them.
func seriesOf(families []*dto.MetricFamily) (all []alert.Series) {
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, pair := range m.Label {
				labels[pair.GetName()] = pair.GetValue()
			}
			add := func(suffix string, counter bool, labels map[string]string, value float64) {
				all = append(all, alert.Series{Metric: f.GetName() + suffix, Counter: counter, Labels: labels, Value: value})
			}
			bucket := func(le string, count uint64) {
				labels := maps.Clone(labels)
				labels["le"] = le
				add("_bucket", true, labels, float64(count))
			}
			switch {
			case m.Counter != nil:
				add("", true, labels, m.Counter.GetValue())
			case m.Gauge != nil:
				add("", false, labels, m.Gauge.GetValue())
			case m.Histogram != nil:
				add("_count", true, labels, float64(m.Histogram.GetSampleCount()))
				add("_sum", true, labels, m.Histogram.GetSampleSum())
				for _, b := range m.Histogram.Bucket {
					bucket(strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64), b.GetCumulativeCount())
				}
				bucket("+Inf", m.Histogram.GetSampleCount())
			}
		}
	}
	return all
}

// observe counts a request that was answered.
func (m *metrics) observe(seen httpapi.Observation) {
	m.requests.WithLabelValues(seen.Route, seen.Type, methodOf(seen.Method), classes[seen.Status/100%len(classes)]).Inc()
	if !seen.Stream {
		m.durations.WithLabelValues(seen.Route, seen.Type).Observe(seen.Duration.Seconds())
	}
}

// methodOf is a method as metrics and spans have it.
func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other" // a client may make any up
}

// classes are those of statuses (RFC 9110, section 15).
var classes = [...]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"}

// handler serves the metrics. What the database does not tell just now is left out.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// state is what a scrape asks for.
type state struct{ *app }

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
		{"webhook_events", s.untold},
	}
}

// total is how many resources of a type have a value of a filter.
func (a *app) total(typ, filter, value string) func(ctx context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		results, err := a.engine.Do(ctx, resource.Operation{
			Verb: resource.List, Type: typ, Filters: []resource.FilterArgument{resource.FilterBy(filter, value)},
			Window: pagination.First(1), Count: pagination.CountOnly, Principal: auth.System,
		})
		if err != nil {
			return 0, err
		}
		return results[0].Page.Total, nil
	}
}

// untold is how many events the webhook that is furthest behind has yet to look at, paused ones apart. As many as 1,000
// that do not concern it may be among them.
func (s *state) untold(ctx context.Context) (int64, error) {
	if s.engine.Registry().Type(webhook.Schema.Name) == nil {
		return 0, resource.Errorf(resource.NotFound, "the module webhooks is not loaded")
	}
	webhooks, err := resource.Every(ctx, &webhook.Schema, s.webhooks.List, resource.IsNull("paused_at"), "position")
	if err != nil || len(webhooks) == 0 {
		return 0, err
	}
	_, last, err := s.database.Ends(ctx)
	for _, w := range webhooks {
		last = max(last, w.Position) // it was read before
	}
	behind := int64(0)
	for _, w := range webhooks {
		behind = max(behind, last-w.Position)
	}
	return behind, err
}

// Describe is for [prometheus.Collector].
func (s *state) Describe(to chan<- *prometheus.Desc) {
	for _, f := range scraped {
		to <- f.desc
	}
}

// Collect is for [prometheus.Collector].
func (s *state) Collect(to chan<- prometheus.Metric) {
	tell := func(f family, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
	}
	tell(info, 1, version.Current().Version)
	for pool, stats := range s.database.Stats() {
		tell(poolConnections, float64(stats.InUse), pool, "in_use")
		tell(poolConnections, float64(stats.Idle), pool, "idle")
		tell(poolMost, float64(stats.MaxOpenConnections), pool)
		tell(poolWaits, float64(stats.WaitCount), pool)
		tell(poolWaited, stats.WaitDuration.Seconds(), pool)
	}
	running, waiting := auth.Hashings()
	tell(hashings, float64(running), "running")
	tell(hashings, float64(waiting), "waiting")
	readOnly := 0.0
	if s.readOnly.Load() {
		readOnly = 1
	}
	tell(readOnlyMode, readOnly)
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for _, q := range s.queues() {
		length, err := q.length(ctx)
		switch {
		case err == nil:
			tell(queueLength, float64(length), q.name)
		case !resource.Is(err, resource.NotFound):
			s.log.WarnContext(ctx, "a scrape is not told how long a queue is", "queue", q.name, "error", err)
		}
	}
	wrong, at, err := s.drift(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "a scrape is not told what the last check has found", "error", err)
	}
	if at.IsZero() {
		return
	}
	tell(checkedAt, float64(at.Unix()))
	for _, d := range s.engine.Registry().Descriptions() { // those that were found right too
		if table := strings.ReplaceAll(d.Plural, "-", "_"); wrong[table] == 0 {
			tell(checkFindings, 0, table)
		}
	}
	for table, n := range wrong {
		tell(checkFindings, float64(n), table)
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
		a.observe(r.Context(), seen)
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
