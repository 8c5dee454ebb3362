package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/document"
	"reeve/resource/idempotency"
)

// A batch of an import is one transaction: at most so many lines and, but for its last one, so many bytes.
const (
	batchLines = 500
	batchBytes = 1 << 20
)

// imports reports whether a creation gives many resources, one a line, in UTF-8.
func imports(r *http.Request) bool {
	media, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, hasCharset := parameters["charset"]
	return err == nil && media == document.LinesType && (!hasCharset || strings.EqualFold(charset, "utf-8"))
}

// importLines creates a resource for each line of the body, batch by batch, and answers with a line for each: its
// number with the identifier of the new resource, or with errors. Pointers are from the root of the line. Empty lines
// are counted, and nothing else. The body may be of any length, a line of maxBody.
func (h *handler) importLines(s *stream, r *http.Request, at place, principal *auth.Principal) error {
	if ranges := parseAccept(strings.Join(r.Header.Values("Accept"), ",")); len(ranges) > 0 && quality(ranges, document.LinesType).q == 0 {
		err := resource.Errorf(resource.NotAcceptable, "the answer to an import is %s", document.LinesType)
		err.Header = "Accept"
		return err
	}
	if r.Header.Get(idempotency.Header) != "" {
		err := resource.Errorf(resource.InvalidHeader, "the answer to an import is not kept to be given again")
		err.Header = idempotency.Header
		return err
	}
	req := &request{place: at, operation: resource.Operation{Verb: resource.Create, Type: at.about.Name}}
	if err := req.readQuery(r.URL.RawQuery); err != nil {
		return err
	}
	op := req.operationsFor(principal, s.id)[0]
	if _, err := h.engine.Import(r.Context(), op, nil); err != nil {
		return err // who may not import hears of nothing else
	}
	_ = s.controller.EnableFullDuplex() // answers go while the body comes; what cannot do so, as HTTP/2, does anyway
	in := newLineReader(s, r)
	for {
		lines, err := in.batch(at)
		if err != nil {
			return err
		}
		if err := h.importBatch(s, r, op, lines); err != nil || in.ended {
			return err
		}
	}
}

// importBatch creates what some lines give, in one transaction, and reports it.
func (h *handler) importBatch(s *stream, r *http.Request, op resource.Operation, lines []line) error {
	var bodies []resource.Body
	for i := range lines {
		if lines[i].err == nil {
			bodies = append(bodies, lines[i].operation.Body)
		}
	}
	done, failed := h.engine.Import(r.Context(), op, bodies)
	var report []byte
	for i := range lines {
		line := &lines[i]
		var result resource.Imported
		err := line.err
		if err == nil {
			if len(done) == 0 {
				break // it has not been tried
			}
			if result, done = done[0], done[1:]; result.Err != nil {
				err = line.locate(result.Err)
			}
		}
		var failures resource.Errors
		if err != nil {
			failures = line.unwrapped(resource.AllErrors(err))
		}
		report = document.AppendReport(report, line.number, line.about, result.ID, s.id, failures[:min(len(failures), maxErrors)])
		report = append(report, '\n')
	}
	if failed == nil || len(report) > 0 {
		if err := s.send(report); err != nil {
			return err
		}
	}
	return failed
}

// line is a line of an import.
type line struct {
	request
	number int
	whole  bool  // it has a document around its resource object
	err    error // why it cannot be read
}

func readLine(at place, number int, text []byte) line {
	l := line{request: request{place: at, operation: resource.Operation{Verb: resource.Create, Type: at.about.Name}}, number: number}
	object, whole, err := document.ReadLine(text, at.about)
	l.whole = whole
	l.err = l.take(object, err)
	return l
}

// unwrapped are failures with pointers from the root of the line.
func (l *line) unwrapped(failures resource.Errors) resource.Errors {
	if l.whole {
		return failures
	}
	var all resource.Errors
	for _, failure := range failures {
		copied := *failure
		copied.Pointer = strings.TrimPrefix(failure.Pointer, "/data")
		all = append(all, &copied)
	}
	return all
}

// lineReader cuts a body into lines.
type lineReader struct {
	*bufio.Reader
	text   []byte
	number int // of the line that was read last
	ended  bool
}

func newLineReader(s *stream, r *http.Request) *lineReader {
	return &lineReader{Reader: bufio.NewReaderSize(patientBody{s, r.Body}, 64<<10)}
}

// patientBody is a body each piece of which may take as long as the stream has patience.
type patientBody struct {
	*stream
	body io.Reader
}

func (b patientBody) Read(p []byte) (int, error) {
	_ = b.controller.SetReadDeadline(time.Now().Add(b.patience)) // what has no deadlines is no connection
	defer func() { _ = b.controller.SetReadDeadline(time.Time{}) }()
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		err = resource.Errorf(resource.MalformedDocument, "the body could not be read to its end")
	}
	return n, err
}

// batch reads the lines of a batch; after the last one it has ended. Lines of a body that breaks off are not given.
func (in *lineReader) batch(at place) ([]line, error) {
	var lines []line
	for size := 0; len(lines) < batchLines && size < batchBytes; size += len(in.text) {
		text, err := in.next()
		switch {
		case err == io.EOF:
			in.ended = true
			return lines, nil
		case resource.Is(err, resource.PayloadTooLarge):
			lines = append(lines, line{request: request{place: at}, number: in.number, err: err})
		case err != nil:
			return nil, err
		case len(bytes.TrimSpace(text)) > 0:
			lines = append(lines, readLine(at, in.number, text))
		}
	}
	return lines, nil
}

// next is the next line; io.EOF after the last. One that is too long is PayloadTooLarge, and passed over.
func (in *lineReader) next() ([]byte, error) {
	in.text = in.text[:0]
	in.number++
	tooLong := false
	for {
		piece, err := in.ReadSlice('\n')
		piece = bytes.TrimSuffix(piece, []byte("\n"))
		if tooLong = tooLong || len(in.text)+len(piece) > maxBody; !tooLong {
			in.text = append(in.text, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(in.text) == 0 && !tooLong:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case tooLong:
			return nil, resource.Errorf(resource.PayloadTooLarge, "a line has at most %d bytes", maxBody)
		}
		return in.text, nil
	}
}
