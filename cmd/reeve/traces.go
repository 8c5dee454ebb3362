package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"reeve/resource/httpapi"
	"reeve/resource/setting"
	"reeve/resource/version"
	"reeve/storage"
)

// The settings of tracing.
var (
	tracingEndpoint = setting.New("tracing.endpoint", "", "Where spans are sent by OTLP over HTTP: http://collector:4318, to which /v1/traces is added. None are made if it is empty.", func(text string) error {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
			return errors.New("must be a URL such as http://collector:4318, without name and password")
		}
		return nil
	}).Fixed().Restart()
	tracingHeaders = setting.New("tracing.headers", []string(nil), "What is sent along, as Authorization: Bearer …", func(headers []string) error {
		for _, header := range headers {
			if name, _, ok := strings.Cut(header, ": "); !ok || name == "" {
				return errors.New("must have items with a name, a colon, a space and a value")
			}
		}
		return nil
	}).Fixed().Secret().Restart()
	tracingPercent = setting.New("tracing.percent", 100, "How many of 100 requests are traced that come without a trace; of those that come with one, traceparent says it.", between(0, 100)).Fixed().Restart()
)

// How spans are sent.
const (
	spansEvery   = time.Second
	spansTimeout = 10 * time.Second
	maxSpans     = 50   // of a request
	maxStatement = 1000 // bytes
)

// newTracing makes spans as tracing.* says. It is nil if none are to be made.
func (a *app) newTracing(c *configuration) *sdk.TracerProvider {
	endpoint := tracingEndpoint.In(c)
	if endpoint == "" {
		return nil
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for _, line := range tracingHeaders.In(c) {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
	}
	return sdk.NewTracerProvider(
		sdk.WithBatcher(&exporter{strings.TrimSuffix(endpoint, "/") + "/v1/traces", header, a.log}, sdk.WithBatchTimeout(spansEvery), sdk.WithExportTimeout(spansTimeout)),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(float64(tracingPercent.In(c))/100))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "reeve"), attribute.String("service.version", version.Current().Version),
			attribute.String("service.instance.id", a.presence.ID().String()))),
	)
}

// traced makes a span of each request, and of its first statements, as part of the trace that its traceparent names (W3C
// Trace Context). Spans have routes and statements without their arguments: nothing that a client sends.
func (a *app) traced(provider *sdk.TracerProvider, next http.Handler) http.Handler {
	if provider == nil {
		return next
	}
	tracer := provider.Tracer("reeve")
	system := attribute.String("db.system.name", "postgresql")
	if a.database.Embedded() {
		system = attribute.String("db.system.name", "sqlite")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.MapCarrier{"traceparent": r.Header.Get("Traceparent")}) // no tracestate: it is any text
		ctx, span := tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		if span.IsRecording() {
			var made atomic.Int64
			ctx = storage.WithTrace(ctx, func(ctx context.Context, text string) func(error) {
				if made.Add(1) > maxSpans {
					return func(error) {}
				}
				word, _, _ := strings.Cut(text, " ")
				_, span := tracer.Start(ctx, word, trace.WithSpanKind(trace.SpanKindClient),
					trace.WithAttributes(system, attribute.String("db.query.text", text[:min(len(text), maxStatement)])))
				return func(err error) {
					if err != nil {
						span.SetStatus(codes.Error, "") // its text may have values
					}
					span.End()
				}
			})
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// observe counts a request that was answered, and has its span say what it was.
func (a *app) observe(ctx context.Context, seen httpapi.Observation) {
	a.metrics.observe(seen)
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetName(strings.TrimSpace(methodOf(seen.Method) + " " + seen.Route))
	span.SetAttributes(attribute.String("http.request.method", methodOf(seen.Method)), attribute.String("http.route", seen.Route),
		attribute.String("reeve.type", seen.Type), attribute.Int("http.response.status_code", seen.Status), attribute.Int("http.response.body.size", seen.Bytes))
	if seen.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}

// tracedLog adds the trace to lines that are about one.
type tracedLog struct{ slog.Handler }

func (l tracedLog) Handle(ctx context.Context, line slog.Record) error {
	if of := trace.SpanContextFromContext(ctx); of.IsValid() {
		line.AddAttrs(slog.String("trace_id", of.TraceID().String()), slog.String("span_id", of.SpanID().String()))
	}
	return l.Handler.Handle(ctx, line)
}

func (l tracedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tracedLog{l.Handler.WithAttrs(attrs)}
}
func (l tracedLog) WithGroup(name string) slog.Handler { return tracedLog{l.Handler.WithGroup(name)} }

// exporter sends spans by OTLP 1.0 over HTTP, as JSON. The library's own exporter would bring gRPC along. Spans that cannot
// be sent are lost.
type exporter struct {
	url    string
	header http.Header
	log    *slog.Logger
}

// The JSON of an ExportTraceServiceRequest (OTLP, "JSON Protobuf Encoding"): ids are hexadecimal, 64-bit integers texts.
type (
	spansJSON struct {
		ResourceSpans []resourceSpansJSON `json:"resourceSpans"`
	}
	resourceSpansJSON struct {
		Resource struct {
			Attributes []attributeJSON `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []scopeSpansJSON `json:"scopeSpans"`
	}
	scopeSpansJSON struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []spanJSON `json:"spans"`
	}
	spanJSON struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Parent     string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []attributeJSON `json:"attributes,omitempty"`
		Status     struct {
			Code int `json:"code,omitempty"`
		} `json:"status"`
	}
	attributeJSON struct {
		Key   string            `json:"key"`
		Value map[string]string `json:"value"`
	}
)

// ExportSpans is for [sdk.SpanExporter]. What it fails at is told here, and not by the library.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if err := e.export(ctx, spans); err != nil {
		e.log.WarnContext(ctx, "spans are lost", "spans", len(spans), "error", err)
	}
	return nil
}

// Shutdown is for [sdk.SpanExporter].
func (e *exporter) Shutdown(context.Context) error { return nil }

func (e *exporter) export(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	var scope scopeSpansJSON
	scope.Scope.Name = "reeve"
	for _, s := range spans {
		span := spanJSON{
			TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
			Name: s.Name(), Kind: int(s.SpanKind()), Start: strconv.FormatInt(s.StartTime().UnixNano(), 10), End: strconv.FormatInt(s.EndTime().UnixNano(), 10),
			Attributes: attributesJSON(s.Attributes()),
		}
		if parent := s.Parent(); parent.HasSpanID() {
			span.Parent = parent.SpanID().String()
		}
		if s.Status().Code == codes.Error {
			span.Status.Code = 2 // STATUS_CODE_ERROR
		}
		scope.Spans = append(scope.Spans, span)
	}
	whole := resourceSpansJSON{ScopeSpans: []scopeSpansJSON{scope}}
	whole.Resource.Attributes = attributesJSON(spans[0].Resource().Attributes())
	body, err := json.Marshal(spansJSON{[]resourceSpansJSON{whole}})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = e.header.Clone()
	response, err := http.DefaultTransport.RoundTrip(request) // a redirect would take the headers elsewhere
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %d", response.StatusCode)
	}
	return nil
}

func attributesJSON(attributes []attribute.KeyValue) (all []attributeJSON) {
	for _, a := range attributes {
		kind := "stringValue"
		if a.Value.Type() == attribute.INT64 {
			kind = "intValue"
		}
		all = append(all, attributeJSON{string(a.Key), map[string]string{kind: a.Value.String()}})
	}
	return all
}
