// Package server is the singleton server: the program as it runs.
package server

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Server is the program as it runs.
type Server struct {
	ID            ulid.ULID
	Name, Version string
	StartedAt     time.Time
	Nodes         int64
}

// Schema is the singleton server.
var Schema = resource.Schema[Server]{
	Name: "server", Plural: "servers",
	Doc: "The program as it runs: the node that answers.",
	ID:  func(s *Server) *ulid.ULID { return &s.ID },
	Attributes: []resource.Attribute[Server]{
		resource.Attr("name", func(s *Server) *string { return &s.Name }).ReadOnly().Doc("What the server calls itself: the setting server.name."),
		resource.Attr("version", func(s *Server) *string { return &s.Version }).ReadOnly(),
		resource.Attr("started_at", func(s *Server) *time.Time { return &s.StartedAt }).ReadOnly(),
		resource.Attr("nodes", func(s *Server) *int64 { return &s.Nodes }).ReadOnly().
			Doc("How many nodes serve the database. One that has died counts until the others have seen that, some seconds later."),
	},
}

// Type serves the server as current tells of it. Reload reads its configuration again.
func Type(current func(ctx context.Context) (Server, error), reload func(tx *resource.Tx) (resource.Meta, error)) resource.Type[Server] {
	return resource.Type[Server]{
		Schema: Schema, Singleton: true,
		Get: func(ctx context.Context, id ulid.ULID) (*Server, error) {
			s, err := current(ctx)
			s.ID = id
			return &s, err
		},
		Actions: []resource.Action[Server]{
			resource.Run[Server]("reload", nil, func(tx *resource.Tx, _ ulid.ULID, _ *resource.None) (resource.Meta, error) { return reload(tx) }).
				Answering(resource.AnswersMeta).
				Doc("Read the configuration of the node that answers again, and its certificates: wholly, or not at all (409). " +
					"`meta.changed` are the settings that are others now, `meta.needs_restart` those that wait for the next start."),
		},
	}
}
