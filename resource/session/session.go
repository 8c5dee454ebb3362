// Package session is the entity session: a period during which a user or client is signed in.
package session

import (
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// The kinds of sessions.
const (
	Browser  = "browser"
	OAuth2   = "oauth2"
	Personal = "personal"
	Compat   = "compat"
	Stream   = "stream"
)

// Session is a period during which a user or client is signed in.
type Session struct {
	ID                                  ulid.ULID
	Kind                                string
	User, Client                        ulid.ULID // either may be zero
	LastActiveIP, Resource, UserAgent   string
	Port                                int64
	Secure                              bool
	CreatedAt, LastActiveAt, FinishedAt time.Time
}

// Seen notes the latest request of the session.
func (s *Session) Seen(at time.Time, from auth.Origin) {
	s.LastActiveAt, s.LastActiveIP, s.Port, s.Secure = at, "", int64(from.Address.Port()), from.Secure
	if from.Address.IsValid() {
		s.LastActiveIP = from.Address.Addr().String()
	}
	s.UserAgent = from.UserAgent
}

func finishedAt(s *Session) *time.Time { return &s.FinishedAt }

// Schema is the entity session.
var Schema = resource.Schema[Session]{
	Name: "session", Plural: "sessions",
	Doc: "A period during which a user or client is signed in.",
	ID:  func(s *Session) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[Session]{
		resource.Attr("kind", func(s *Session) *string { return &s.Kind }).OneOf(Browser, OAuth2, Personal, Compat, Stream).ReadOnly().Filter(resource.Eq),
		resource.Attr("created_at", func(s *Session) *time.Time { return &s.CreatedAt }).Created().Filter(resource.Greater, resource.Less),
		resource.Attr("last_active_at", func(s *Session) *time.Time { return &s.LastActiveAt }).Nullable().ReadOnly().Quiet().Filter(resource.Greater, resource.Less),
		resource.Attr("finished_at", finishedAt).Nullable().ReadOnly().Filter(resource.Greater, resource.Less),
		resource.Attr("last_active_ip", func(s *Session) *string { return &s.LastActiveIP }).Nullable().ReadOnly().Quiet().Confidential(),
		resource.Attr("port", func(s *Session) *int64 { return &s.Port }).Nullable().ReadOnly().Quiet(),
		resource.Attr("secure", func(s *Session) *bool { return &s.Secure }).ReadOnly().Quiet().Doc("Whether the connection was TLS."),
		resource.Attr("resource", func(s *Session) *string { return &s.Resource }).Nullable().ReadOnly().Confidential().Doc("The name that a stream's client chose."),
		resource.Attr("user_agent", func(s *Session) *string { return &s.UserAgent }).Nullable().ReadOnly().Quiet().Confidential().MaxLength(auth.MaxUserAgent),
		resource.Computed("current", func(view resource.View, s *Session) bool {
			return view.Principal != nil && view.Principal.Session == s.ID
		}).Doc("Whether this is the session of the caller."),
	},
	References: []resource.Reference[Session]{
		resource.ToOne("user", "user", func(s *Session) *ulid.ULID { return &s.User }).Nullable().ReadOnly().OnDelete(resource.Cascade).Inverse("sessions"),
		resource.ToOne("client", "client", func(s *Session) *ulid.ULID { return &s.Client }).Nullable().ReadOnly().OnDelete(resource.Cascade).Inverse("sessions"),
	},
	Sorts: [][]string{{"created_at"}, {"last_active_at"}},
	Filters: []resource.Filter{
		{Name: "status", Values: map[string]resource.Condition{
			"active": resource.IsNull("finished_at"), "finished": resource.NotNull("finished_at")}},
		{Name: "except", Kind: resource.ID, Doc: "All but this one.", Where: func(id any) resource.Condition {
			return resource.Not{Condition: resource.Equal("id", id)}
		}},
	},
}

// FinishedBefore is the condition of sessions that ended before a time.
func FinishedBefore(at time.Time) resource.Condition {
	return resource.Holds("finished_at", resource.Less, at)
}

// Type serves sessions out of a store. Ended is called in the transaction that finishes one.
func Type(sessions resource.Store[Session], ended func(tx *resource.Tx, s *Session) error) resource.Type[Session] {
	return resource.Type[Session]{
		Schema: Schema, List: sessions.List, Get: sessions.Get,
		Actions: []resource.Action[Session]{
			resource.Change("finish", sessions.Update, resource.End(finishedAt, "the session is finished already")).Then(revokeToken).Then(ended).
				Doc("End the session; its tokens are refused from the next request on."),
		},
	}
}

// revokeToken ends the personal token that a session is the use of.
func revokeToken(tx *resource.Tx, s *Session) error {
	if s.Kind != Personal {
		return nil
	}
	_, err := tx.Do(resource.OnAll("revoke", "token", resource.FilterBy("session", s.ID.String()), resource.FilterBy("status", "active")))
	return err
}
