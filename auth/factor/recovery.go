package factor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/oklog/ulid/v2"

	"reeve/auth"
	"reeve/pagination"
	"reeve/resource"
	"reeve/resource/authenticator"
	"reeve/resource/user"
)

// A recovery code has 16 characters of base32, 80 bits: too many to try, so that a fast hash will do.
const (
	recoveryCodes   = 10
	recoveryLength  = 16
	recoveryLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// RecoveryCode is what lets a user in who has lost their authenticators, once.
type RecoveryCode struct {
	ID   ulid.ULID
	Hash string // SHA-256, in hexadecimal
	User ulid.ULID
}

// RecoverySchema is how recovery codes are kept. It is not registered: nobody lists them. One that was used is gone.
var RecoverySchema = resource.Schema[RecoveryCode]{
	Name: "recovery-code", Plural: "recovery-codes", Uncounted: true,
	Doc: "What lets a user in who has lost their authenticators.",
	ID:  func(c *RecoveryCode) *ulid.ULID { return &c.ID },
	Attributes: []resource.Attribute[RecoveryCode]{
		resource.Attr("hash", func(c *RecoveryCode) *string { return &c.Hash }).Hidden(),
	},
	References: []resource.Reference[RecoveryCode]{
		resource.ToOne("user", "user", func(c *RecoveryCode) *ulid.ULID { return &c.User }).OnDelete(resource.Cascade),
	},
}

// hashRecovery is the form in which a recovery code is kept, however it was typed.
func hashRecovery(text string) (hash string, ok bool) {
	code := strings.Map(func(r rune) rune {
		if !strings.ContainsRune(recoveryLetters, r) {
			return -1
		}
		return r
	}, strings.ToUpper(text))
	return hex.EncodeToString(auth.HashToken(code)), len(code) == recoveryLength
}

// Recovery is how many recovery codes a user has left.
func (f *Factors) Recovery(ctx context.Context, user ulid.ULID) (int, error) {
	rows, err := f.recovery(ctx, user)
	return len(rows), err
}

func (f *Factors) recovery(ctx context.Context, user ulid.ULID) ([]RecoveryCode, error) {
	page, err := f.config.RecoveryCodes.List(ctx, resource.Query{
		Where: resource.Equal("user", user), Window: pagination.First(recoveryCodes), Count: pagination.CountNone,
	})
	return page.Rows, err
}

// void takes the recovery codes of a user away.
func (f *Factors) void(ctx context.Context, user ulid.ULID) error {
	rows, err := f.recovery(ctx, user)
	for i := range rows {
		if err == nil {
			err = f.config.RecoveryCodes.Delete(ctx, rows[i].ID)
		}
	}
	return err
}

// renew gives a user new recovery codes for the former ones, and returns them.
func (f *Factors) renew(ctx context.Context, user ulid.ULID) (codes []string, err error) {
	if err := f.void(ctx, user); err != nil {
		return nil, err
	}
	var rows []*RecoveryCode
	for range recoveryCodes {
		text := rand.Text()[:recoveryLength]
		hash, _ := hashRecovery(text)
		rows = append(rows, &RecoveryCode{ID: ulid.Make(), Hash: hash, User: user})
		codes = append(codes, strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-"))
	}
	return codes, f.config.RecoveryCodes.Create(ctx, rows...)
}

// RenewRecovery is a user's wish for new recovery codes. It returns ErrWrong to one without an authenticator, who has no
// use for them.
func (f *Factors) RenewRecovery(ctx context.Context, who *auth.Principal) (codes []string, err error) {
	err = f.hold(ctx, who.ID, func(ctx context.Context, _ *user.User, held []authenticator.Authenticator) (err error) {
		if len(held) == 0 {
			return ErrWrong
		}
		if codes, err = f.renew(ctx, who.ID); err != nil {
			return err
		}
		return f.config.Database.Record(ctx, f.event(ctx, who, "renew-recovery-codes", resource.Identifier{Type: user.Schema.Name, ID: who.ID}))
	})
	return codes, err
}

// recover takes a recovery code.
func (f *Factors) recover(ctx context.Context, who *auth.Principal, text string) error {
	hash, ok := hashRecovery(text)
	if !ok {
		return ErrWrong
	}
	return f.hold(ctx, who.ID, func(ctx context.Context, _ *user.User, _ []authenticator.Authenticator) error {
		rows, err := f.recovery(ctx, who.ID)
		if err != nil {
			return err
		}
		for i := range rows {
			if rows[i].Hash != hash {
				continue
			}
			if err := f.config.RecoveryCodes.Delete(ctx, rows[i].ID); err != nil {
				return err
			}
			return f.config.Database.Record(ctx, f.event(ctx, who, "use-recovery-code", resource.Identifier{Type: user.Schema.Name, ID: who.ID}))
		}
		return ErrWrong
	})
}
