package openapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/httpapi"
	"reeve/resource/openapi"
	"reeve/resource/openapi/openapitest"
	"reeve/storage/storagetest"
)

// A toy library in which everything occurs that a declaration can say.
type (
	book struct {
		ID                    ulid.ULID
		Title, Genre, Lender  string
		Pages                 int64
		Weight                float64
		Lent                  bool
		Tags                  []string
		Notes                 json.RawMessage
		AddedAt, LostAt, Seen time.Time
		Copy                  ulid.ULID
		Receipt, Code         string
		Shelf                 ulid.ULID
		Reader                resource.Identifier
	}
	shelf struct {
		ID   ulid.ULID
		Name string
	}
	library struct {
		ID     ulid.ULID
		Name   string
		Closed bool
	}
)

var bookSchema = resource.Schema[book]{
	Name: "library-book", Plural: "library-books", Doc: "A book of the library.",
	ID: func(b *book) *ulid.ULID { return &b.ID },
	Attributes: []resource.Attribute[book]{
		resource.Attr("short_title", func(b *book) *string { return &b.Title }).Required().Unique().MaxLength(40).
			Filter(resource.Eq, resource.Prefix, resource.Contains).Doc("How it is called."),
		resource.Attr("genre", func(b *book) *string { return &b.Genre }).Nullable().OneOf("novel", "play").Default("novel").Filter(resource.Eq),
		resource.Attr("lender", func(b *book) *string { return &b.Lender }).Nullable().Filter(resource.Null).Example("quentin"),
		resource.Attr("pages", func(b *book) *int64 { return &b.Pages }).Filter(resource.AtLeast, resource.AtMost).Example(int64(208)),
		resource.Attr("weight", func(b *book) *float64 { return &b.Weight }).Filter(resource.Less).Example(0.25),
		resource.Attr("lent", func(b *book) *bool { return &b.Lent }).Default(false).Filter(resource.Eq),
		resource.Attr("tags", func(b *book) *[]string { return &b.Tags }).Nullable().Example([]string{"old", "red"}),
		resource.Attr("notes", func(b *book) *json.RawMessage { return &b.Notes }).Nullable().Example(json.RawMessage(`{"torn":[1,null]}`)),
		resource.Attr("added_at", func(b *book) *time.Time { return &b.AddedAt }).Created().Filter(resource.Greater, resource.Less),
		resource.Attr("lost_at", func(b *book) *time.Time { return &b.LostAt }).Nullable().
			Example(time.Date(2024, 7, 12, 12, 11, 46, 911578000, time.UTC)),
		resource.Attr("seen_at", func(b *book) *time.Time { return &b.Seen }).Nullable().ReadOnly().Quiet(),
		resource.Attr("copy_of", func(b *book) *ulid.ULID { return &b.Copy }).Nullable().Fixed().Filter(resource.Eq).
			Example(ulid.MustParse("01J2KDPHTZYW3TAT1SKVAD63SQ")),
		resource.Once("receipt", func(b *book) *string { return &b.Receipt }),
		resource.Input("code", func(b *book) *string { return &b.Code }, func(_ context.Context, s string) (string, error) {
			if len(s) < 4 {
				return "", errors.New("must have at least 4 characters")
			}
			return s, nil
		}).Required(),
		resource.Attr("code_hash", func(b *book) *string { return &b.Code }).Nullable().Hidden(),
		resource.State[book]("lost", resource.Past("lost_at")).Doc("Whether it is lost."),
		resource.Computed("thick", func(_ resource.View, b *book) bool { return b.Pages > 500 }),
	},
	References: []resource.Reference[book]{
		resource.ToOne("shelf", "shelf", func(b *book) *ulid.ULID { return &b.Shelf }).Nullable().OnDelete(resource.Clear).Doc("Where it stands."),
		resource.ToAny("reader", func(b *book) *resource.Identifier { return &b.Reader }),
		resource.ToMany[book]("sequels", "library-book"),
	},
	Sorts: [][]string{{"added_at"}, {"genre", "-pages"}},
	Filters: []resource.Filter{{Name: "size", Doc: "Few pages or many.", Values: map[string]resource.Condition{
		"thin": resource.Holds("pages", resource.Less, int64(100)), "thick": resource.Holds("pages", resource.AtLeast, int64(100))}}},
}

var shelfSchema = resource.Schema[shelf]{
	Name: "shelf", Plural: "shelves", Doc: "A shelf.", ID: func(s *shelf) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[shelf]{
		resource.Attr("name", func(s *shelf) *string { return &s.Name }).Required().Fixed(),
	},
	References: []resource.Reference[shelf]{resource.ToMany[shelf]("books", "library-book").ReadOnly()},
}

var librarySchema = resource.Schema[library]{
	Name: "library", Plural: "libraries", Doc: "The library itself.", ID: func(l *library) *ulid.ULID { return &l.ID },
	Attributes: []resource.Attribute[library]{
		resource.Attr("name", func(l *library) *string { return &l.Name }).Example("Alexandria"),
		resource.Attr("closed", func(l *library) *bool { return &l.Closed }).ReadOnly(),
	},
}

type rating struct{ stars int64 }

var ratingArguments = []resource.Attribute[rating]{
	resource.Attr("stars", func(r *rating) *int64 { return &r.stars }).Required().Example(int64(5)),
}

type dusting struct{ deep bool }

var dustingArguments = []resource.Attribute[dusting]{
	resource.Attr("deep", func(d *dusting) *bool { return &d.deep }).Default(true),
}

// toy serves the library out of memory.
func toy(t *testing.T) (*resource.Registry, func(*http.Request) *http.Response) {
	books, shelves, libraries := storagetest.NewMemory(bookSchema), storagetest.NewMemory(shelfSchema), storagetest.NewMemory(librarySchema)
	books.Relate("shelf", shelves)
	books.Relate("sequels", books)
	shelves.Relate("books", books)
	if err := libraries.Create(t.Context(), &library{ID: resource.NamedID("library", ""), Name: "Babel"}); err != nil {
		t.Fatal(err)
	}
	registry := new(resource.Registry)
	err := registry.Register(
		resource.Type[book]{
			Schema: bookSchema, Lookups: []string{"short_title"},
			Linkages: map[string]resource.Linkage{"sequels": books.Linkage("sequels")},
			List:     books.List, Get: books.Get, Update: books.Update, Delete: books.Delete,
			Create: func(ctx context.Context, rows ...*book) error {
				for _, b := range rows {
					b.Receipt = "receipt of " + b.Title
				}
				return books.Create(ctx, rows...)
			},
			Actions: []resource.Action[book]{
				resource.Change("lend", books.Update, func(_ *resource.Tx, b *book) error { b.Lent = true; return nil }).Doc("Lend the book."),
				resource.Command("rate", books.Update, ratingArguments, func(_ *resource.Tx, b *book, r *rating) error {
					b.Weight = float64(r.stars)
					return nil
				}),
				resource.Run[book]("dust-off", dustingArguments, func(*resource.Tx, ulid.ULID, *dusting) (resource.Meta, error) { return nil, nil }).
					Answering(resource.AnswersNothing),
				resource.Run[book]("weigh", nil, func(*resource.Tx, ulid.ULID, *resource.None) (resource.Meta, error) {
					return resource.Meta{"grams": 250}, nil
				}).Answering(resource.AnswersMeta),
				resource.Run[book]("praise", nil, func(*resource.Tx, ulid.ULID, *resource.None) (resource.Meta, error) {
					return resource.Meta{"praise": "fine"}, nil
				}),
				resource.CollectionAction[book]("count-pages", dustingArguments, func(*resource.Tx, *dusting) (resource.Meta, error) {
					return resource.Meta{"pages": 1_000_000}, nil
				}),
			},
		},
		resource.Type[shelf]{
			Schema: shelfSchema, Linkages: map[string]resource.Linkage{"books": shelves.Linkage("books")},
			List: shelves.List, Get: shelves.Get, Create: shelves.Create, Delete: shelves.Delete,
		},
		resource.Type[library]{
			Schema: librarySchema, Singleton: true, Open: true, Get: libraries.Get, Update: libraries.Update,
			Actions: []resource.Action[library]{
				resource.Change("close", libraries.Update, func(_ *resource.Tx, l *library) error { l.Closed = true; return nil }),
			},
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	front := httpapi.New(httpapi.Config{
		Engine: resource.NewEngine(registry, new(nowhere), time.Now),
		Authenticate: func(r *http.Request) (*auth.Principal, error) {
			if r.Header.Get("Authorization") != "Bearer right" {
				return nil, resource.Errorf(resource.Unauthenticated, "the token is wrong")
			}
			return auth.System, nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	return registry, func(r *http.Request) *http.Response {
		if r.Header.Get("Authorization") == "" {
			r.Header.Set("Authorization", "Bearer right")
		}
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		return w.Result()
	}
}

// nowhere is a database for stores in memory, which have no transactions.
type nowhere struct{}

func (nowhere) Transact(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }
func (nowhere) Snapshot(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }
func (nowhere) Lock(context.Context, string) error                                 { return nil }
func (nowhere) Record(context.Context, ...*resource.Event) error                   { return nil }

var info = openapi.Info{
	Version: "1.2.3", Base: "https://id.example.com", Prefix: "/estate", Basic: true,
	TokenURL: "https://id.example.com/oauth2/token", AuthorizationURL: "https://id.example.com/authorize",
}

func load(t *testing.T, text []byte) *openapi3.T {
	t.Helper()
	doc, err := openapitest.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentIsValid(t *testing.T) {
	registry, _ := toy(t)
	for name, info := range map[string]openapi.Info{"all": info, "least": {Version: "1"}} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(openapi.Document(registry.Descriptions(), info))
			if err != nil {
				t.Fatal(err)
			}
			load(t, text)
			again, err := json.Marshal(openapi.Document(registry.Descriptions(), info))
			if err != nil || !bytes.Equal(text, again) {
				t.Errorf("the same types gave another document (%v)", err)
			}
		})
	}
}

func TestLoadFindsWhatIsInvalid(t *testing.T) {
	text, err := json.Marshal(openapi.Document(nil, info))
	if err != nil {
		t.Fatal(err)
	}
	load(t, text)
	for right, wrong := range map[string]string{
		`"bearer":[]`:                   `"bearer":null`,
		`"openapi":"3.1.0"`:             `"openapi":null`,
		`"#/components/schemas/Errors"`: `"#/components/schemas/None"`,
		`"in":"path"`:                   `"in":"nowhere"`,
		`"type":"object"`:               `"type":"thing"`,
	} {
		broken := bytes.ReplaceAll(text, []byte(right), []byte(wrong))
		if bytes.Equal(broken, text) {
			t.Errorf("the document has no %s", right)
		}
		if _, err := openapitest.Load(broken); err == nil {
			t.Errorf("%s is found valid", wrong)
		}
	}
}

func TestSecurity(t *testing.T) {
	ways := func(info openapi.Info) (names []string) {
		doc := openapi.Document(nil, info)
		for _, way := range doc.Security {
			for name := range way {
				scheme := doc.Components.SecuritySchemes[name]
				if scheme.Flows != nil && scheme.Flows.AuthorizationCode != nil {
					name += " with authorization code"
				}
				names = append(names, name)
			}
		}
		return names
	}
	for _, c := range []struct {
		info openapi.Info
		want string
	}{
		{openapi.Info{}, "bearer"},
		{openapi.Info{TokenURL: "/oauth2/token", Basic: true}, "oauth2, bearer, basic"},
		{openapi.Info{TokenURL: "/oauth2/token", AuthorizationURL: "/authorize"}, "oauth2 with authorization code, bearer"},
	} {
		if got := strings.Join(ways(c.info), ", "); got != c.want {
			t.Errorf("callers prove themselves by %q, not by %q", got, c.want)
		}
	}
}

func TestDocumentIsTruthful(t *testing.T) {
	doc, server := truth(t)
	if err := openapitest.Check(doc, server); err != nil {
		t.Error(err)
	}
}

// truth is the document of the toy, as a tool reads it, and the toy itself.
func truth(t *testing.T) (*openapi3.T, openapitest.Server) {
	registry, do := toy(t)
	text, err := json.Marshal(openapi.Document(registry.Descriptions(), info))
	if err != nil {
		t.Fatal(err)
	}
	book := func(n int) map[string]any {
		return map[string]any{"short_title": fmt.Sprintf("50%% of /%d", n), "code": "secret"}
	}
	return load(t, text), openapitest.Server{Do: do, Members: map[string]func(int) map[string]any{
		"createLibraryBook": book, "updateLibraryBook": book, "updateLibraryBookByShortTitle": book,
		"operate": func(n int) map[string]any {
			return map[string]any{"atomic:operations": []any{map[string]any{"op": "add", "data": map[string]any{
				"type": "library-book", "attributes": map[string]any{"short_title": fmt.Sprint("operated ", n), "code": "secret"}}}}}
		},
	}}
}

// TestCheckFindsLies has the check find each way in which a document can be wrong.
func TestCheckFindsLies(t *testing.T) {
	schemas := func(doc *openapi3.T, name string) *openapi3.Schema { return doc.Components.Schemas[name].Value }
	for name, lie := range map[string]func(doc *openapi3.T){
		"a missing attribute": func(doc *openapi3.T) {
			delete(schemas(doc, "LibraryBook").Properties["attributes"].Value.Properties, "pages")
		},
		"an attribute too many": func(doc *openapi3.T) {
			attributes := schemas(doc, "LibraryBook").Properties["attributes"].Value
			attributes.Required = append(attributes.Required, "receipt")
		},
		"a null that is not listed": func(doc *openapi3.T) {
			schemas(doc, "LibraryBook").Properties["attributes"].Value.Properties["seen_at"].Value.Type = &openapi3.Types{"string"}
		},
		"another type": func(doc *openapi3.T) { schemas(doc, "Shelf").Properties["type"].Value.Const = "board" },
		"another status": func(doc *openapi3.T) {
			responses := doc.Paths.Value(httpapi.Base + "/shelves").Post.Responses
			responses.Set("200", responses.Value("201"))
			responses.Delete("201")
		},
		"an error that is not listed": func(doc *openapi3.T) {
			doc.Paths.Value(httpapi.Base + "/shelves").Post.Responses.Delete("415")
		},
		"a media type that is not listed": func(doc *openapi3.T) {
			delete(doc.Components.Responses["Unauthorized"].Value.Content, "application/vnd.api+json")
		},
		"a header that is not sent": func(doc *openapi3.T) {
			headers := doc.Components.Responses["NotFound"].Value
			headers.Headers = doc.Components.Responses["Unauthorized"].Value.Headers
		},
		"a parameter that is not taken": func(doc *openapi3.T) {
			doc.Components.Parameters["count"].Value.Name = "total"
		},
		"a word that is not taken": func(doc *openapi3.T) {
			count := doc.Components.Parameters["count"].Value.Schema.Value
			count.Enum = append(count.Enum, "some")
		},
		"a required member that is not listed": func(doc *openapi3.T) {
			delete(schemas(doc, "Shelf.Create").Properties["data"].Value.Properties["attributes"].Value.Properties, "name")
			schemas(doc, "Shelf.Create").Properties["data"].Value.Properties["attributes"].Value.Required = nil
		},
		"an attribute that answers lack": func(doc *openapi3.T) {
			schemas(doc, "Shelf").Properties["attributes"].Value.Properties["height"] = openapi3.NewSchemaRef("", openapi3.NewIntegerSchema())
		},
		"an order that is not taken": func(doc *openapi3.T) {
			sort := doc.Components.Parameters["sort.shelf"].Value.Schema.Value
			sort.Enum = append(sort.Enum, "name")
		},
		"a field that is not taken": func(doc *openapi3.T) {
			fields := doc.Components.Parameters["fields.shelf"].Value.Schema.Value.Items.Value
			fields.Enum = append(fields.Enum, "height")
		},
		"a path of relationships that is not taken": func(doc *openapi3.T) {
			path := doc.Components.Parameters["include.shelf"].Value.Schema.Value.Items.Value
			path.Examples = append(path.Examples, "walls")
		},
		"a tag that is not listed": func(doc *openapi3.T) {
			doc.Paths.Value(httpapi.Base + "/shelves/{id}").Get.Responses.Delete("304")
		},
		"a version that does not matter": func(doc *openapi3.T) {
			post := doc.Paths.Value(httpapi.Base + "/shelves").Post
			post.Parameters = append(post.Parameters, &openapi3.ParameterRef{Value: doc.Components.Parameters["if_match"].Value})
		},
		"an operation that is not served": func(doc *openapi3.T) {
			path := doc.Paths.Value(httpapi.Base + "/shelves/{id}")
			path.Patch = path.Get
		},
		"no operation": func(doc *openapi3.T) { doc.Paths = openapi3.NewPaths() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc, server := truth(t)
			lie(doc)
			for path := range doc.Paths.Map() { // a part of the toy is enough
				if !strings.Contains(path, "/shelves") && path != httpapi.Base+"/library-books" {
					doc.Paths.Delete(path)
				}
			}
			if err := openapitest.Check(doc, server); err == nil {
				t.Error("the check found nothing")
			}
		})
	}
}

func TestOperations(t *testing.T) {
	registry, _ := toy(t)
	doc := openapi.Document(registry.Descriptions(), info)
	var got []string
	for path, item := range doc.Paths {
		for method, op := range item {
			got = append(got, fmt.Sprintf("%s %s %s", op.ID, strings.ToUpper(method), strings.TrimPrefix(path, httpapi.Base)))
		}
	}
	want := []string{
		"listShelves GET /shelves", "createShelf POST /shelves", "getShelf GET /shelves/{id}", "deleteShelf DELETE /shelves/{id}",
		"listShelfBooks GET /shelves/{id}/books", "listShelfBooksLinkage GET /shelves/{id}/relationships/books",
		"getLibrary GET /library", "updateLibrary PATCH /library", "closeLibrary POST /library/close",
		"listLibraryBooks GET /library-books", "createLibraryBook POST /library-books",
		"countPagesLibraryBooks POST /library-books/count-pages",
		"getLibraryBookReader GET /library-books/{id}/reader", "getLibraryBookReaderLinkage GET /library-books/{id}/relationships/reader",
		"getLibraryBookShelf GET /library-books/{id}/shelf", "getLibraryBookShelfLinkage GET /library-books/{id}/relationships/shelf",
		"setLibraryBookShelf PATCH /library-books/{id}/relationships/shelf",
		"listLibraryBookSequels GET /library-books/{id}/sequels",
		"listLibraryBookSequelsLinkage GET /library-books/{id}/relationships/sequels",
		"addLibraryBookSequels POST /library-books/{id}/relationships/sequels",
		"replaceLibraryBookSequels PATCH /library-books/{id}/relationships/sequels",
		"removeLibraryBookSequels DELETE /library-books/{id}/relationships/sequels",
		"operate POST /operations",
	}
	for _, at := range []struct{ name, path string }{
		{"LibraryBook", "/library-books/{id}"},
		{"LibraryBookByShortTitle", "/library-books/by-short-title/{short_title}"},
	} {
		want = append(want, "get"+at.name+" GET "+at.path, "update"+at.name+" PATCH "+at.path, "delete"+at.name+" DELETE "+at.path)
	}
	want = append(want, "putLibraryBookByShortTitle PUT /library-books/by-short-title/{short_title}")
	for _, at := range []struct{ name, path string }{
		{"LibraryBooks", "/library-books"},
		{"LibraryBook", "/library-books/{id}"},
		{"LibraryBookByShortTitle", "/library-books/by-short-title/{short_title}"},
	} {
		for action, path := range map[string]string{
			"lend": "lend", "rate": "rate", "dustOff": "dust-off", "weigh": "weigh", "praise": "praise",
		} {
			if at.path == "/library-books" && action == "rate" {
				continue // it must be told the stars
			}
			want = append(want, action+at.name+" POST "+at.path+"/"+path)
		}
	}
	missing, extra := differences(want, got)
	if len(missing)+len(extra) > 0 {
		t.Errorf("missing:\n%s\nextra:\n%s", strings.Join(missing, "\n"), strings.Join(extra, "\n"))
	}
}

// differences are the lines of a that b lacks, and those of b that a lacks.
func differences(a, b []string) (missing, extra []string) {
	in := map[string]int{}
	for _, line := range a {
		in[line]++
	}
	for _, line := range b {
		if in[line]--; in[line] < 0 {
			extra = append(extra, line)
		}
	}
	for line, n := range in {
		if n > 0 {
			missing = append(missing, line)
		}
	}
	return missing, extra
}
