package auth

import (
	"context"
	"net/netip"
)

// Origin is where a request comes from, forwarding by trusted proxies already seen through.
type Origin struct {
	Address   netip.AddrPort
	Secure    bool   // it came over TLS
	UserAgent string // cut to [MaxUserAgent]
	Request   string // the id of the request
}

// MaxUserAgent is how many bytes of a User-Agent are kept.
const MaxUserAgent = 1024

type originKey struct{}

// WithOrigin is the context of a request from there.
func WithOrigin(ctx context.Context, origin Origin) context.Context {
	return context.WithValue(ctx, originKey{}, origin)
}

// OriginOf is where the context's request comes from; the zero Origin if it belongs to none.
func OriginOf(ctx context.Context) Origin {
	origin, _ := ctx.Value(originKey{}).(Origin) // absent: the zero Origin
	return origin
}
