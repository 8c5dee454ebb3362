package httpapi_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// seedAnswer is the sample output of the seed mas-admin-api.txt, with the cursors that lists have beyond it.
const seedAnswer = `{
  "meta": {"count": 2},
  "data": [
    {
      "type": "user",
      "id": "01J2KDPHTZYW3TAT1SKVAD63SQ",
      "attributes": {
        "username": "kilgore-trout",
        "created_at": "2024-07-12T12:11:46.911578Z",
        "locked_at": null,
        "can_request_admin": true
      },
      "links": {"self": "/api/admin/v1/users/01J2KDPHTZYW3TAT1SKVAD63SQ"},
      "meta": {"page": {"cursor": "01J2KDPHTZYW3TAT1SKVAD63SQ"}}
    },
    {
      "type": "user",
      "id": "01J3G5W8MRMBJ93ZYEGX2BN6NK",
      "attributes": {
        "username": "quentin",
        "created_at": "2024-07-23T16:13:04.024378Z",
        "locked_at": null,
        "can_request_admin": true
      },
      "links": {"self": "/api/admin/v1/users/01J3G5W8MRMBJ93ZYEGX2BN6NK"},
      "meta": {"page": {"cursor": "01J3G5W8MRMBJ93ZYEGX2BN6NK"}}
    }
  ],
  "links": {
    "self": "/api/admin/v1/users?filter[can_request_admin]=true&filter[status]=active&page[first]=100",
    "first": "/api/admin/v1/users?filter[can_request_admin]=true&filter[status]=active&page[first]=100",
    "last": "/api/admin/v1/users?filter[can_request_admin]=true&filter[status]=active&page[last]=100"
  }
}`

// addSeed creates the seed's two users, and two that its filters leave out.
func (e *estate) addSeed(t testing.TB) {
	t.Helper()
	for _, u := range []struct {
		id, name, created string
		admin, locked     bool
	}{
		{"01J2KDPHTZYW3TAT1SKVAD63SQ", "kilgore-trout", "2024-07-12T12:11:46.911578Z", true, false},
		{"01J3G5W8MRMBJ93ZYEGX2BN6NK", "quentin", "2024-07-23T16:13:04.024378Z", true, false},
		{"01J3G5W8MRMBJ93ZYEGX2BN6NM", "locked", "2024-07-23T16:13:05Z", true, true},
		{"01J3G5W8MRMBJ93ZYEGX2BN6NN", "plain", "2024-07-23T16:13:06Z", false, false},
	} {
		created, err := resource.ParseTime(u.created)
		if err != nil {
			t.Fatal(err)
		}
		row := &user{ID: ulid.MustParse(u.id), Username: u.name, CreatedAt: created, CanRequestAdmin: u.admin}
		if u.locked {
			row.LockedAt = created
		}
		if err := e.users.Create(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSeed(t *testing.T) {
	e := newEstate(t, "")
	e.addSeed(t)
	answer := e.Get(t, "/api/admin/v1/users?filter[can_request_admin]=true&filter[status]=active&page[first]=100")
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(seedAnswer)); err != nil {
		t.Fatal(err)
	}
	if got := string(answer.Body); got != want.String() {
		t.Errorf("got\n%s\nwant\n%s", got, want.String())
	}
}
