package document

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonapi"

	"reeve/resource"
)

var about = &resource.Description{Name: "group", References: []resource.ReferenceDescription{
	{Name: "owner", Type: "user"}, {Name: "members", Type: "user", Many: true},
}}

func TestDecodeAgreesWithJSON(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `"a"`, `-1.5e3`, `[]`, `{}`, ` [ 1 , [ ] , { "a" : null } ] `, `{"":{"":""}}`, `"\ud83d\ude00"`, `"\\ud800"`, `"\ufffd"`,
		`{"a":[{"b":"\u00e9\n"}],"c":9007199254740993}`, "\"\ufffd\"", strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	} {
		got, err := decode([]byte(text))
		if err != nil {
			t.Errorf("%s: %s", text, err)
		}
		if want := leniently(t, []byte(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// leniently reads a text as encoding/json does by itself.
func leniently(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%q: %s", text, err)
	}
	return v
}

func TestDecodeRefuses(t *testing.T) {
	for text, pointers := range map[string][]string{
		``: {""}, ` `: {""}, `{`: {""}, `[1,]`: {""}, `{"a":1,}`: {""}, `{a:1}`: {""}, `1 2`: {""}, `01`: {""}, `+1`: {""}, `NaN`: {""},
		"\ufeff{}": {""}, "\"\x00\"": {""}, "\"\n\"": {""}, `"\x"`: {""}, `'a'`: {""}, "\xff": {""},
		`{"a":1,"a":1}`:             {"/a"},
		`{"a":1,"\u0061":1}`:        {"/a"},
		`{"a":[{"b/~":1,"b/~":2}]}`: {"/a/0/b~1~0"},
		`["\u0000","a\u0000"]`:      {"/0", "/1"},
		`{"x":{"\u0000":1}}`:        {"/x"},
		`["\ud800","\udc00","\ud800\ud800","\ud800x","\ud83d\ude00\ude00"]`: {"/0", "/1", "/2", "/3", "/4"},
		"[\"\xff\",\"\xc3\x28\",\"\xed\xa0\x80\"]":                          {"/0", "/1", "/2"},
		`[1e400,-1e400]`: {"/0", "/1"},
		strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1): {strings.Repeat("/0", MaxDepth)},
	} {
		_, err := decode([]byte(text))
		if err == nil {
			t.Errorf("%q is taken", text)
			continue
		}
		if got := pointersOf(t, err); !slices.Equal(got, pointers) {
			t.Errorf("%q: pointers %q, want %q", text, got, pointers)
		}
	}
}

func pointersOf(t *testing.T, err error) []string {
	t.Helper()
	var pointers []string
	for _, e := range resource.AllErrors(err) {
		if e.Code != resource.MalformedDocument && e.Code != resource.NotFound && e.Code != resource.PayloadTooLarge {
			t.Errorf("the code is %s", e.Code)
		}
		pointers = append(pointers, e.Pointer)
	}
	return pointers
}

func TestManyProblems(t *testing.T) {
	_, err := decode([]byte("[" + strings.Repeat(`"\u0000",`, 10*maxProblems) + "1]"))
	if got := len(resource.AllErrors(err)); got != maxProblems {
		t.Errorf("there are %d problems", got)
	}
}

func TestAppendErrors(t *testing.T) {
	text := AppendErrors(nil, "r1", resource.Errors{
		{Code: resource.Taken, Detail: "<b>", Pointer: "/data/attributes/key"},
		{Code: resource.Internal},
		{Code: resource.InvalidParameter, Parameter: "page[first]"},
	})
	var theirs jsonapi.ErrorsPayload
	if err := json.Unmarshal(text, &theirs); err != nil {
		t.Fatal(err)
	}
	if e := theirs.Errors[0]; len(theirs.Errors) != 3 || e.Status != "409" || e.Code != "taken" || e.ID != "r1" || e.Detail != "<b>" {
		t.Errorf("%s", text)
	}
	var ours Errors
	if err := json.Unmarshal(text, &ours); err != nil {
		t.Fatal(err)
	}
	want := []*Source{{Pointer: "/data/attributes/key"}, nil, {Parameter: "page[first]"}}
	for i, e := range ours.Errors {
		if diff := cmp.Diff(want[i], e.Source); diff != "" {
			t.Error(diff)
		}
	}
}

// FuzzDocument holds that reading never panics, that what is taken means what encoding/json reads, and that what
// is refused has pointers to values that are there.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `{"data":null}`, `{"data":{"type":"group","id":"x","attributes":{"a":1,"@b":2}}}`,
		`{"data":{"type":"group","relationships":{"owner":{"data":{"type":"user","id":"01J2KDPHTZYW3TAT1SKVAD63SQ"}},"members":{"data":[{}]}}}}`,
		`{"data":[{"type":"user","id":"01j2kdphtzyw3tat1skvad63sq"},1]}`, `{"text":"\ud800","a":"\u0000"}`, `{"a":1,"a":2}`,
		`{"data":{"type":"group","relationships":{"x":{},"owner":{"data":[]},"members":{"data":null}}}}`, `{"data":{"attributes":[]}}`,
		`{"a~/b":[[[[1e999]]]]}`, "{\"a\":\"\xff\"}", strings.Repeat("[", 40) + strings.Repeat("]", 40),
	} {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{
		`{"op":"add","data":{"type":"group","lid":"g","relationships":{"members":{"data":[{"type":"user","lid":"u"}]}}}},{"op":"update","data":{"type":"group","lid":"g"}}`,
		`{"op":"add","ref":{"type":"group","lid":"g","relationship":"members"},"data":[{"type":"user","id":"01J2KDPHTZYW3TAT1SKVAD63SQ","lid":"u"}]},{"op":"remove","href":"x"},1`,
		`{"op":"add","data":{"type":"user","lid":"u"}},{"op":"add","data":{"type":"user","lid":"u"}},{"op":"update","ref":{"type":"user","lid":"u"},"href":1},{"op":"add","data":1}`,
	} {
		f.Add([]byte(`{"atomic:operations":[` + seed + `]}`))
	}
	one, many := resource.ReferenceDescription{Name: "one"}, resource.ReferenceDescription{Name: "many", Many: true}
	f.Fuzz(func(t *testing.T, text []byte) {
		decoded, err := decode(text)
		if err == nil {
			if want := leniently(t, text); !reflect.DeepEqual(decoded, want) { // cmp.Diff is exponential in the depth
				t.Errorf("%q: got %v, want %v", text, decoded, want)
			}
		}
		_, resourceErr := ReadResource(text, about)
		_, oneErr := ReadLinkage(text, &one)
		_, manyErr := ReadLinkage(text, &many)
		_, argumentsErr := ReadArguments(text)
		if err != nil && len(text) > 0 && (resourceErr == nil || oneErr == nil || manyErr == nil || argumentsErr == nil) {
			t.Errorf("%q is refused, and taken", text)
		}
		ops, operationsErr := ReadOperations(text)
		errs := []error{err, resourceErr, oneErr, manyErr, argumentsErr, operationsErr}
		for i, op := range ops {
			if op == nil {
				continue
			}
			if (op.Ref == nil) == (op.Href == nil) {
				t.Errorf("%q: operation %d is about %v and %v", text, i, op.Ref, op.Href)
			}
			_, resourceErr := op.Resource(about)
			_, oneErr := op.Linkage(&one)
			_, manyErr := op.Linkage(&many)
			_, argumentsErr := op.Arguments()
			for _, err := range []error{resourceErr, oneErr, manyErr, argumentsErr} {
				var within resource.Errors
				for _, e := range resource.AllErrors(err) {
					within = append(within, e.Within(OperationPath(i)...))
				}
				if err != nil {
					errs = append(errs, within)
				}
			}
		}
		for _, err := range errs {
			if err == nil {
				continue
			}
			pointers := pointersOf(t, err)
			if !json.Valid(text) || repeats(err) {
				continue
			}
			for _, pointer := range pointers {
				if !exists(leniently(t, text), pointer) {
					t.Errorf("%q: there is nothing at %q", text, pointer)
				}
			}
		}
	})
}

// repeats reports whether a member stands twice, so that encoding/json sees only one of them.
func repeats(err error) bool {
	return slices.ContainsFunc(resource.AllErrors(err), func(e *resource.Error) bool { return strings.Contains(e.Detail, "twice") })
}

// exists reports whether a JSON pointer (RFC 6901) leads to a value.
func exists(v any, pointer string) bool {
	if pointer == "" {
		return true
	}
	for _, part := range strings.Split(pointer, "/")[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch at := v.(type) {
		case map[string]any:
			member, ok := at[part]
			if !ok {
				return false
			}
			v = member
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(at) {
				return false
			}
			v = at[i]
		default:
			return false
		}
	}
	return true
}

// TestLocals sees which resource a local id stands for.
func TestLocals(t *testing.T) {
	ops, err := ReadOperations([]byte(`{"atomic:operations":[
		{"op":"add","data":{"type":"group","lid":"x"}},
		{"op":"add","data":{"type":"user","lid":"x"}},
		{"op":"add","ref":{"type":"group","lid":"x","relationship":"members"},"data":[{"type":"user","lid":"x"}]},
		{"op":"update","data":{"type":"group","lid":"x","relationships":{"owner":{"data":{"type":"user","lid":"x"}}}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	group, user := ops[0].New, ops[1].New
	if group.Compare(user) >= 0 {
		t.Error("the ids do not ascend")
	}
	members, err := ops[2].Linkage(&resource.ReferenceDescription{Name: "members", Many: true})
	if err != nil || ops[2].Ref.ID != group || *ops[2].Ref.Relationship != "members" || !slices.Equal(members.Relationships["members"], []resource.Identifier{{Type: "user", ID: user}}) {
		t.Errorf("%+v, %v, %v", ops[2].Ref, members, err)
	}
	changed, err := ops[3].Resource(about)
	if err != nil || ops[3].Ref.ID != group || *changed.ID != group.String() || changed.Body.Relationships["owner"][0].ID != user {
		t.Errorf("%+v, %+v, %v", ops[3].Ref, changed, err)
	}
}
