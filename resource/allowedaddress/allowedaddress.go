// Package allowedaddress is the entity allowed-address: an address or a network from which the admin API may be used.
package allowedaddress

import (
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/resource"
)

// The sources of allowed addresses.
const (
	File   = "file"
	Stored = "stored"
)

// Max is how many there can be: each request is compared with all of them.
const Max = 1000

// Address is an address or a network from which the admin API may be used. While there is none, it may be used from
// anywhere.
type Address struct {
	ID        ulid.ULID
	Address   string // see [auth.ParseNetwork]
	Comment   string
	Source    string
	CreatedAt time.Time
}

// Schema is the entity allowed-address.
var Schema = resource.Schema[Address]{
	Name: "allowed-address", Plural: "allowed-addresses",
	Doc: "An address or a network from which the admin API may be used. While there is none, it may be used from anywhere.",
	ID:  func(a *Address) *ulid.ULID { return &a.ID },
	Attributes: []resource.Attribute[Address]{
		resource.Canonical("address", func(a *Address) *string { return &a.Address }, canonical).Required().Fixed().Unique().Filter(resource.Eq).
			Doc("An IP address, or a network such as 10.0.0.0/8.").Example("203.0.113.9"),
		resource.Attr("comment", func(a *Address) *string { return &a.Comment }).Nullable().Example("The office"),
		resource.Attr("source", func(a *Address) *string { return &a.Source }).OneOf(File, Stored).ReadOnly().Default(Stored).Filter(resource.Eq).
			Doc("Whether it comes from the setting http.allowed_addresses. Then it cannot be changed here."),
		resource.Attr("created_at", func(a *Address) *time.Time { return &a.CreatedAt }).Created(),
	},
	Sorts: [][]string{{"address"}},
}

func canonical(text string) (string, error) {
	network, err := auth.ParseNetwork(text)
	return network.String(), err
}

// Type serves the allowed addresses of a guard.
func Type(g *Guard) resource.Type[Address] {
	addresses := g.config.Addresses
	return resource.Type[Address]{
		Schema: Schema, Lookups: []string{"address"}, Forcible: true,
		List: addresses.List, Get: addresses.Get, Create: addresses.Create, Update: addresses.Update, Delete: addresses.Delete,
		Checks: []resource.Check[Address]{notOfFile, g.check},
	}
}

// notOfFile keeps what the configuration says.
func notOfFile(_ *resource.Tx, before, _ *Address) error {
	if before != nil && before.Source == File {
		return resource.Errorf(resource.ReadOnly, "the address comes from the configuration")
	}
	return nil
}
