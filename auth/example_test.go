package auth_test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"reeve/auth"
)

func Example() {
	token := auth.NewToken(auth.PersonalToken)
	stored := auth.HashToken(token) // the token itself is shown once and kept nowhere

	owner := &auth.Principal{Type: "user", Name: "kilgore-trout", Permissions: auth.ScopePermissions([]string{"urn:reeve:user:read"})}
	authenticator := auth.NewAuthenticator(auth.Lookups{Token: func(_ context.Context, prefix string, hash []byte) (*auth.Principal, time.Time, error) {
		if prefix == auth.PersonalToken && bytes.Equal(hash, stored) {
			return owner, time.Time{}, nil
		}
		return nil, time.Time{}, auth.ErrInvalid
	}}, time.Now)

	for _, header := range []string{"Bearer " + token, "Bearer " + token + "x", ""} {
		caller, err := authenticator.Authenticate(context.Background(), header)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(caller.Name, caller.Permissions)
	}
	// Output:
	// kilgore-trout [user:read]
	// the credentials of the request are not valid
	// the request has no credentials
}
