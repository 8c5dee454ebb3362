package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"reeve/auth"
	"reeve/resource"
	"reeve/resource/client"
)

const (
	deviceLifetime = 10 * time.Minute
	pollInterval   = 5 // seconds between two questions (RFC 8628, 3.2), and how many more if a device is too fast (3.5)

	// A user code has 8 letters, none of them a vowel, lest they make words: 20^8 codes, 34.5 bits (RFC 8628, 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// DeviceAuthorization gives a device the code that its user types in elsewhere (RFC 8628, 3.1).
func (p *protocol) DeviceAuthorization(ctx context.Context, r *op.ClientRequest[oidc.DeviceAuthorizationRequest]) (*op.Response, error) {
	s, c := p.server, r.Client.(opClient).Client
	if !slices.Contains(c.GrantTypes, client.DeviceCode) {
		return nil, oidc.ErrUnauthorizedClient().WithDescription("the client is not registered for device codes")
	}
	scopes := splitScopes(r.Data.Scopes.String())
	if !known(scopes) {
		return nil, oidc.ErrInvalidScope().WithDescription("there is no such scope")
	}
	text, now := auth.NewToken(auth.DeviceCode), resource.Cut(s.config.Clock())
	userCode := newUserCode()
	d := &Device{
		ID: ulid.Make(), Hash: hashed(text), UserCode: hashed(userCode), Client: c.ID, Scopes: scopes, Methods: []string{}, Interval: pollInterval,
		CreatedAt: now, ExpiresAt: now.Add(deviceLifetime),
	}
	if err := s.config.Devices.Create(ctx, d); err != nil {
		return nil, internal(err)
	}
	shown := showUserCode(userCode)
	page := s.config.Issuer + devicePath
	return op.NewResponse(&oidc.DeviceAuthorizationResponse{
		DeviceCode: text, UserCode: shown, VerificationURI: page, VerificationURIComplete: page + "?user_code=" + shown,
		ExpiresIn: int(deviceLifetime.Seconds()), Interval: pollInterval,
	}), nil
}

func newUserCode() string {
	code := make([]byte, 0, userCodeLength)
	for random := make([]byte, 1); len(code) < userCodeLength; {
		rand.Read(random)                                     // it never fails (Go 1.24)
		if n := int(random[0]); n < 12*len(userCodeLetters) { // the rest would make the first letters likelier
			code = append(code, userCodeLetters[n%len(userCodeLetters)])
		}
	}
	return string(code)
}

// showUserCode is a code as people read it: XXXX-XXXX.
func showUserCode(code string) string { return code[:userCodeLength/2] + "-" + code[userCodeLength/2:] }

// readUserCode is what a user means who types in a code: in either case, with whatever between the letters.
func readUserCode(text string) string {
	return strings.Map(func(r rune) rune {
		if !strings.ContainsRune(userCodeLetters, r) {
			return -1
		}
		return r
	}, strings.ToUpper(text))
}

// DeviceToken answers a device that asks whether it may come in, and how (RFC 8628, 3.4 and 3.5).
func (p *protocol) DeviceToken(ctx context.Context, r *op.ClientRequest[oidc.DeviceAccessTokenRequest]) (*op.Response, error) {
	s, c := p.server, r.Client.(opClient).Client
	invalidGrant := oidc.ErrInvalidGrant().WithDescription("the device code is not valid, or not this client's")
	if prefix, ok := auth.CheckToken(r.Data.DeviceCode); !ok || prefix != auth.DeviceCode {
		return nil, invalidGrant
	}
	d, err := resource.Only(ctx, s.config.Devices.List, "hash", hashed(r.Data.DeviceCode))
	if err != nil {
		return nil, internal(err)
	}
	if d == nil || d.Client != c.ID {
		return nil, invalidGrant
	}
	now := resource.Cut(s.config.Clock())
	switch {
	case !now.Before(d.ExpiresAt):
		return nil, oidc.ErrExpiredDeviceCode()
	case isZero(d.User):
		return nil, s.pending(ctx, d, now)
	case !d.Allowed:
		return nil, oidc.ErrAccessDenied()
	}
	g, err := s.grantOf(ctx, c, d.User, d.Scopes)
	if err != nil {
		return nil, err
	}
	g.signedInAt, g.methods = d.SignedInAt, d.Methods
	response, err := s.begin(ctx, g, func(ctx context.Context) error {
		if err := s.goesOn(ctx, d.Browser); err != nil {
			return err
		}
		return s.config.Devices.Delete(ctx, d.ID)
	})
	if errors.Is(err, auth.ErrInvalid) || resource.Is(err, resource.NotFound) { // it asked twice at once
		return nil, invalidGrant
	}
	if err != nil {
		return nil, internal(err)
	}
	return op.NewResponse(response), nil
}

// pending has the device wait, and longer if it does not.
func (s *Server) pending(ctx context.Context, d *Device, now time.Time) error {
	answer := oidc.ErrAuthorizationPending()
	_, err := s.config.Devices.Update(ctx, d.ID, func(d *Device) error {
		if !d.AskedAt.IsZero() && now.Sub(d.AskedAt) < time.Duration(d.Interval)*time.Second {
			answer = oidc.ErrSlowDown()
			d.Interval += pollInterval
		}
		d.AskedAt = now
		return nil
	})
	if err != nil {
		return internal(err)
	}
	return answer
}

// device serves the page where a user lets a device in (RFC 8628, 3.3).
func (v *visit) device() error {
	if ok, err := v.signedIn(false, page{Purpose: "to connect a device"}); !ok {
		return err
	}
	ctx, text := v.r.Context(), v.r.URL.Query().Get("user_code")
	if text == "" {
		return v.show(http.StatusOK, "code", page{Title: "Connect a device"})
	}
	// Whoever tries out codes would let in the device of somebody else (RFC 8628, 5.1).
	giveBack, err := v.config.Limiter.Reserve(ctx, auth.UserCodeAttempt, v.user.ID.String(), v.user.ID)
	if err != nil {
		return err
	}
	code := readUserCode(text)
	d, err := resource.Only(ctx, v.config.Devices.List, "user_code", hashed(code))
	if err != nil {
		return err
	}
	if d == nil || !isZero(d.User) || !v.config.Clock().Before(d.ExpiresAt) {
		return v.noDevice()
	}
	giveBack()
	c, err := v.config.Clients.Get(ctx, d.Client)
	if resource.Is(err, resource.NotFound) {
		return v.noDevice()
	}
	if err != nil {
		return err
	}
	granted, refused := grantable(v.user, d.Scopes)
	may := len(granted) > 0 || len(refused) == 0
	if v.do() == "" {
		return v.show(http.StatusOK, "consent", page{
			Title: "Connect " + c.Name + "?", Client: c, UserCode: showUserCode(code), Granted: sentences(granted), Refused: sentences(refused), Grantable: may,
		})
	}
	return v.decide(d, c, v.do() == "allow" && may, granted)
}

// decide keeps what the user says about a device. Once it is said it stays.
func (v *visit) decide(d *Device, c *client.Client, allowed bool, scopes []string) error {
	verb, p := "deny", page{Title: "Not connected", Problem: "The device has not been let in."}
	if allowed {
		verb, p = "consent", page{Title: "Connected", Problem: "You can go on at your device, and close this page."}
	}
	err := v.config.Database.Transact(v.r.Context(), func(ctx context.Context) error {
		_, err := v.config.Devices.Update(ctx, d.ID, func(d *Device) error {
			if !isZero(d.User) {
				return errUsed
			}
			d.User, d.Browser, d.Allowed, d.SignedInAt, d.Methods = v.browser.User, v.browser.Session, allowed, v.browser.CreatedAt, v.browser.Methods
			if allowed {
				d.Scopes = scopes
			}
			return nil
		})
		if err != nil {
			return err
		}
		return v.noted(ctx, verb, c)
	})
	if errors.Is(err, errUsed) || resource.Is(err, resource.NotFound) {
		return v.noDevice()
	}
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "message", p)
}

func (v *visit) noDevice() error {
	return v.show(http.StatusNotFound, "code", page{Title: "Connect a device", Problem: "No device has this code, or not any more. Look at it again."})
}
