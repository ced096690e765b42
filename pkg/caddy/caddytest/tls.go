package caddytest

import "crypto/tls"

// insecure trusts the authority that each Caddy makes for itself.
func insecure() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // See above.
}
