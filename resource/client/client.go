// Package client is the entity client: a program that asks the authorization server for tokens.
package client

import (
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// How a client authenticates itself at the token endpoint (RFC 7591, 2).
const (
	SecretBasic = "client_secret_basic"
	SecretPost  = "client_secret_post"
	Public      = "none"
)

// The grant types that a client may be registered for (RFC 7591, 2).
const (
	AuthorizationCode = "authorization_code"
	RefreshToken      = "refresh_token"
	ClientCredentials = "client_credentials"
	DeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
)

// Client is a program that asks the authorization server for tokens.
type Client struct {
	ID           ulid.ULID
	ClientID     string // what it calls itself; see [ID]
	Name         string
	SecretHash   string // see [Client.VerifySecret]; empty for a public client
	AuthMethod   string
	RedirectURIs []string
	GrantTypes   []string
	Static       bool // from the configuration
	Admin        bool // may ask for scopes of the admin API for itself
	CreatedAt    time.Time
}

// Schema is the entity client.
var Schema = resource.Schema[Client]{
	Name: "client", Plural: "clients",
	Doc: "A program that asks the authorization server for tokens.",
	ID:  func(c *Client) *ulid.ULID { return &c.ID },
	Attributes: []resource.Attribute[Client]{
		resource.Attr("client_id", func(c *Client) *string { return &c.ClientID }).Unique().ReadOnly().Filter(resource.Eq),
		resource.Attr("name", func(c *Client) *string { return &c.Name }).ReadOnly(),
		resource.Attr("secret_hash", func(c *Client) *string { return &c.SecretHash }).Hidden(),
		resource.Attr("auth_method", func(c *Client) *string { return &c.AuthMethod }).ReadOnly().
			OneOf(SecretBasic, SecretPost, Public),
		resource.Attr("redirect_uris", func(c *Client) *[]string { return &c.RedirectURIs }).ReadOnly(),
		resource.Attr("grant_types", func(c *Client) *[]string { return &c.GrantTypes }).ReadOnly(),
		resource.Attr("is_static", func(c *Client) *bool { return &c.Static }).ReadOnly().Filter(resource.Eq).
			Doc("Whether the client comes from the configuration."),
		resource.Attr("admin", func(c *Client) *bool { return &c.Admin }).ReadOnly().
			Doc("Whether the client may ask for scopes of the admin API for itself (policy.data.admin_clients)."),
		resource.Attr("created_at", func(c *Client) *time.Time { return &c.CreatedAt }).Created(),
	},
	Sorts: [][]string{{"name"}},
}

// Type serves clients out of a store. New ones come by the registration endpoint of the authorization server, or from
// the configuration.
func Type(clients resource.Store[Client]) resource.Type[Client] {
	return resource.Type[Client]{
		Schema: Schema, List: clients.List, Get: clients.Get, Delete: clients.Delete, Checks: []resource.Check[Client]{notStatic},
	}
}

// notStatic keeps what the configuration says.
func notStatic(_ *resource.Tx, before, after *Client) error {
	if after == nil && before.Static {
		return resource.Errorf(resource.ReadOnly, "the client comes from the configuration")
	}
	return nil
}
