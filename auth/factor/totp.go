package factor

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"reeve/auth"
	"reeve/resource/authenticator"
	"reeve/resource/user"
)

// What every app takes: others are not known to all of them.
const (
	period       = 30 // seconds of a time step
	digits       = otp.DigitsSix
	secretLength = 20 // bytes (RFC 4226, 4, R6)
)

var secretEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSecret makes the secret of an app, in base32.
func NewSecret() string {
	secret := make([]byte, secretLength)
	rand.Read(secret) // it never fails (Go 1.24)
	return secretEncoding.EncodeToString(secret)
}

// matchCode finds the time step whose code it is: one within one step of the time, so that clocks may differ, and after
// the latest that was used (RFC 6238, 5.2). Of two steps with the same code it is the later one, lest the code be taken
// again.
func matchCode(secret, code string, at time.Time, used int64) (step int64, found bool, err error) {
	now := at.Unix() / period
	for step := now + 1; step >= now-1 && step > used; step-- {
		match, err := hotp.ValidateCustom(code, uint64(step), secret, hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
		if err != nil || match {
			return step, match, err
		}
	}
	return 0, false, nil
}

// isCode reports whether a text has the form of an app's code, which people may have typed in two parts.
func isCode(text string) (code string, ok bool) {
	code = strings.Join(strings.Fields(text), "")
	return code, len(code) == digits.Length() && strings.Trim(code, "0123456789") == ""
}

// AddApp gives a user an app with a secret of [NewSecret], which has shown them a code. The codes are recovery codes, if
// there is a need for some. It returns ErrWrong and ErrFull.
func (f *Factors) AddApp(ctx context.Context, who *auth.Principal, name, secret, code string) (codes []string, err error) {
	raw, err := secretEncoding.DecodeString(secret)
	code, ok := isCode(code)
	if err != nil || len(raw) != secretLength || !ok {
		return nil, ErrWrong
	}
	step, found, err := matchCode(secret, code, f.config.Clock(), 0)
	if err != nil {
		return nil, fmt.Errorf("factor: %w", err)
	}
	if !found {
		return nil, ErrWrong
	}
	return f.add(ctx, who, &authenticator.Authenticator{Kind: authenticator.TOTP, Name: name, Secret: secret, LastStep: step})
}

// TakeCode takes a code of one of a user's apps, or a recovery code. It returns ErrWrong for any other, and for one that
// was used.
func (f *Factors) TakeCode(ctx context.Context, who *auth.Principal, text string) error {
	code, ok := isCode(text)
	if !ok {
		return f.recover(ctx, who, text)
	}
	return f.hold(ctx, who.ID, func(ctx context.Context, _ *user.User, held []authenticator.Authenticator) error {
		for _, a := range held {
			if a.Kind != authenticator.TOTP {
				continue
			}
			step, found, err := matchCode(a.Secret, code, f.config.Clock(), a.LastStep)
			if err != nil {
				return fmt.Errorf("factor: authenticator %s: %w", a.ID, err)
			}
			if found {
				return f.used(ctx, a.ID, func(a *authenticator.Authenticator) { a.LastStep = step })
			}
		}
		return ErrWrong
	})
}

// QR is the picture from which an app reads a secret and whose it is.
func QR(issuer, account, secret string) (template.HTML, error) {
	raw, err := secretEncoding.DecodeString(secret)
	if err != nil {
		return "", fmt.Errorf("factor: %w", err)
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: account, Secret: raw})
	if err != nil {
		return "", fmt.Errorf("factor: %w", err)
	}
	picture, err := qr.Encode(key.String(), qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("factor: %w", err)
	}
	const quiet = 4 // modules of white around it (ISO 18004)
	size := picture.Bounds().Dx()
	var dark strings.Builder
	for y := range size {
		for x := range size {
			if r, _, _, _ := picture.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&dark, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	size += 2 * quiet
	return template.HTML(fmt.Sprintf(`<svg class="qr" role="img" aria-label="QR code" width="%d" height="%[1]d" viewBox="0 0 %d %[2]d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%[2]dv%[2]dH0z"/><path d="%s"/></svg>`,
		4*size, size, &dark)), nil
}
