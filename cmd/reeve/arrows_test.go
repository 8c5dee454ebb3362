package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// A rule forbids packages to import others. Patterns are those of path.Match; a pattern that ends in /... covers
// everything below it too.
type rule struct {
	packages []string
	never    []string
	except   []string
	because  string
}

var (
	entities = entityPackages()
	fronts   = []string{"reeve/resource/httpapi", "reeve/resource/document", "reeve/resource/openapi", "reeve/resource/stream", "reeve/resource/compat/..."}
)

var rules = []rule{
	{[]string{"reeve/..."}, []string{"reeve/cmd/..."}, nil,
		"cmd is the composition root: it imports, and is not imported"},
	{[]string{"reeve/pagination", "reeve/auth", "reeve/auth/zxcvbn"}, []string{"reeve/..."}, []string{"reeve/auth/zxcvbn"},
		"they are the vocabulary of everybody else and know nobody"},
	{[]string{"reeve/resource"}, []string{"reeve/..."}, []string{"reeve/pagination", "reeve/auth"},
		"the engine knows who asks and which page, and neither fronts, stores nor entities"},
	{append([]string{"reeve/resource", "reeve/resource/idempotency", "reeve/resource/setting"}, entities...), []string{"net/http", "database/sql", "github.com/gorilla/mux", "github.com/jmoiron/sqlx"}, nil,
		"what an entity is depends neither on how it is asked for nor on where it is kept"},
	{entities, entities, nil,
		"entities meet in the composition root; through the engine they name one another by type"},
	{append([]string{"reeve/resource/module", "reeve/resource/setting", "reeve/resource/idempotency", "reeve/fixtures"}, entities...), append([]string{"reeve/storage/...", "reeve/auth/oauth"}, fronts...), nil,
		"who needs a store gets it as an argument"},
	{[]string{"reeve/storage", "reeve/storage/sqlite", "reeve/storage/postgres"}, append([]string{"reeve/auth/oauth", "net/http"}, append(fronts, entities...)...), nil,
		"storage reads schemas, whichever entity they are of"},
	{[]string{"reeve/resource/httpapi", "reeve/resource/document", "reeve/resource/openapi"}, append([]string{"reeve/storage", "reeve/storage/...", "reeve/auth/oauth"}, entities...), nil,
		"the JSON:API front serves every type alike, and goes through the engine"},
	{[]string{"reeve/resource/stream"}, []string{"reeve/storage", "reeve/storage/...", "reeve/auth/oauth", "reeve/resource/httpapi"}, nil,
		"streams read through what they are given"},
	{[]string{"reeve/auth/oauth", "reeve/auth/factor"}, []string{"reeve/storage", "reeve/storage/...", "reeve/resource/httpapi"}, nil,
		"the authorization server keeps its grants through stores that it is given"},
	{[]string{"reeve/..."},
		[]string{"testing", "reeve/storage/storagetest", "reeve/resource/resourcetest/...", "reeve/resource/openapi/openapitest", "reeve/resource/ldap/ldaptest", "pgregory.net/rapid"},
		[]string{"importer:reeve/storage/storagetest", "importer:reeve/resource/resourcetest", "importer:reeve/resource/openapi/openapitest", "importer:reeve/resource/ldap/ldaptest"},
		"the program does not carry its tests"},
	soleImporter("github.com/google/jsonapi", "reeve/resource/document", "it is dormant, so it stands behind one small package"),
	soleImporter("github.com/jmoiron/sqlx", "reeve/storage/...", "it is dormant, so it stands behind one package"),
	soleImporter("github.com/lib/pq", "reeve/storage/postgres", "what differs between the databases stands there"),
	soleImporter("modernc.org/sqlite", "reeve/storage/sqlite", "what differs between the databases stands there"),
	soleImporter("github.com/zitadel/oidc/v3/...", "reeve/auth/oauth", "it is pinned, and has gaps that are closed there"),
	soleImporter("github.com/go-webauthn/webauthn/...", "reeve/auth/factor", "second factors stand there"),
	soleImporter("github.com/pquerna/otp/...", "reeve/auth/factor", "second factors stand there"),
	soleImporter("github.com/boombuler/barcode/...", "reeve/auth/factor", "it draws the picture that an app reads"),
	soleImporter("github.com/getkin/kin-openapi/...", "reeve/resource/openapi/openapitest", "it checks the document; the program would carry it for nothing"),
	soleImporter("github.com/tink-crypto/tink-go/v2/...", "reeve/storage", "secrets are sealed where they are kept"),
	soleImporter("github.com/standard-webhooks/...", "reeve/resource/webhook/sender", "requests to endpoints are signed where they are sent"),
	soleImporter("github.com/go-ldap/ldap/v3", "reeve/resource/ldap/...", "servers of a directory are asked there"),
	soleImporter("go.opentelemetry.io/otel/...", "reeve/cmd/reeve", "the others know spans as functions that they are given"),
	soleImporter("github.com/alecthomas/kong", "reeve/cmd/reeve", "the command line is the program's"),
}

// entityPackages are the packages directly below resource that are nothing else.
func entityPackages() []string {
	entries, err := os.ReadDir("../../resource")
	if err != nil {
		panic(err) // the test does not run in its folder
	}
	var packages []string
	for _, entry := range entries {
		switch name := entry.Name(); {
		case !entry.IsDir() || slices.Contains([]string{"document", "httpapi", "openapi", "idempotency", "module", "setting", "resourcetest", "compat", "stream", "yamlfile"}, name):
		default:
			packages = append(packages, "reeve/resource/"+name)
		}
	}
	return packages
}

// soleImporter has one package, or one tree of packages, import a third-party one.
func soleImporter(library, importer, because string) rule {
	return rule{[]string{"reeve/..."}, []string{library}, []string{"importer:" + importer}, because}
}

func covers(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if tree, ok := strings.CutSuffix(pattern, "/..."); ok && (name == tree || strings.HasPrefix(name, tree+"/")) {
			return true
		}
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

// broken are the imports that break a rule. A package may always import itself.
func (r rule) broken(importer string, imports []string) []string {
	if !covers(r.packages, importer) || covers(r.except, "importer:"+importer) {
		return nil
	}
	for _, exception := range r.except {
		if pattern, ok := strings.CutPrefix(exception, "importer:"); ok && covers([]string{pattern}, importer) {
			return nil
		}
	}
	var broken []string
	for _, imported := range imports {
		if imported != importer && covers(r.never, imported) && !covers(r.except, imported) {
			broken = append(broken, imported)
		}
	}
	return broken
}

// TestArrows holds the arrows between the packages, each with its reason.
func TestArrows(t *testing.T) {
	command := exec.Command("go", "list", "-json=ImportPath,Imports,Doc", "reeve/...")
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for n := 0; ; n++ {
		var listed struct {
			ImportPath, Doc string
			Imports         []string
		}
		err := decoder.Decode(&listed)
		if errors.Is(err, io.EOF) && n > 0 {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if listed.Doc == "" {
			t.Errorf("%s does not say what it is", listed.ImportPath)
		}
		for _, rule := range rules {
			for _, imported := range rule.broken(listed.ImportPath, listed.Imports) {
				t.Errorf("%s imports %s, but %s", listed.ImportPath, imported, rule.because)
			}
		}
	}
}

// TestArrowsCanBreak sees that a rule is able to fail.
func TestArrowsCanBreak(t *testing.T) {
	for _, example := range [][2]string{
		{"reeve/resource", "reeve/storage"}, {"reeve/resource/user", "reeve/resource/session"}, {"reeve/auth", "reeve/resource"},
		{"reeve/resource/user", "net/http"}, {"reeve/resource/httpapi", "github.com/google/jsonapi"}, {"reeve/storage", "reeve/resource/user"},
		{"reeve/storage", "testing"}, {"reeve/cmd/reeve", "reeve/storage/storagetest"}, {"reeve/resource/openapi", "reeve/cmd/reeve"},
		{"reeve/cmd/reeve", "reeve/resource/resourcetest/conformance"}, {"reeve/resource/openapi", "github.com/getkin/kin-openapi/openapi3"}, {"reeve/cmd/reeve", "reeve/resource/openapi/openapitest"},
	} {
		broken := 0
		for _, rule := range rules {
			broken += len(rule.broken(example[0], []string{example[1]}))
		}
		if broken == 0 {
			t.Errorf("%s may import %s", example[0], example[1])
		}
	}
}
