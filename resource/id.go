package resource

import (
	"crypto/sha256"

	"github.com/oklog/ulid/v2"
)

// NamedID is the id of something that only has a name, as a module or a setting: a ULID at time zero whose 80
// random bits are a hash of the type and the name. It is the same after every start.
func NamedID(typ, name string) ulid.ULID {
	hash := sha256.Sum256([]byte(typ + "\x00" + name))
	var id ulid.ULID
	copy(id[6:], hash[:])
	return id
}
