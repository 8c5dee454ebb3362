package resource

import "github.com/oklog/ulid/v2"

// Provisioned says that a resource is as a file has it.
type Provisioned struct {
	Kind       string // which of the kinds of files
	File       string // its path, from the folder of all files
	AllowEdits bool   // others may change it too, until the file is applied again
}

// Provisioner knows which resources are as files have them.
type Provisioner interface {
	// Provisioned are those of a type, by id; nil if there are none. It is asked for each answer, so it asks no database.
	Provisioned(typ string) map[ulid.ULID]Provisioned
	// Refuse is asked, in its transaction, about each write on one resource that somebody asks for: not about what follows
	// from another write, nor about creations. Its error is that of the write.
	Refuse(tx *Tx, op Operation, id ulid.ULID) error
}

// UseProvisioner has the engine ask a provisioner. It is called before anything is served.
func (e *Engine) UseProvisioner(p Provisioner) { e.provisioner = p }

// provisioned are the resources of a type that are as files have them.
func (e *Engine) provisioned(typ string) map[ulid.ULID]Provisioned {
	if e.provisioner == nil {
		return nil
	}
	return e.provisioner.Provisioned(typ)
}
