package wire

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// CaddyConfig is what Supervisor generates for Caddy.
type CaddyConfig struct {
	Caddyfile string         `json:"caddyfile"`
	Services  []CaddyService `json:"services"`
}

// CaddyService is one exposed service. Port and path are null where it has none.
type CaddyService struct {
	Name string  `json:"name"`
	Port *int    `json:"port"`
	Path *string `json:"path"`
	URL  string  `json:"url,omitempty"`
}

// CaddyReloaded answers a forced reload.
type CaddyReloaded struct {
	Status  string `json:"status"` // reloaded
	Message string `json:"message"`
}

// States of the connection to Caddy.
const (
	CaddyStateOff         = "off"         // CADDY_MODE is off
	CaddyStateIdle        = "idle"        // no service asks for a route
	CaddyStatePending     = "pending"     // nothing was delivered yet
	CaddyStateServing     = "serving"     // Caddy has all routes that it accepts
	CaddyStateUnreachable = "unreachable" // Caddy does not answer
	CaddyStateRejected    = "rejected"    // Caddy or its configuration cannot take the routes
)

// Routes is how services are reached through Caddy.
type Routes struct {
	// Mode is how routes are delivered: file, api, managed or off.
	Mode string `json:"mode"`
	// State is one of the CaddyState words, Message says it in a sentence, with what to do.
	State   string `json:"state"`
	Message string `json:"message"`
	// Admin is Caddy's admin API, File the generated Caddyfile in mode file.
	Admin string `json:"admin"`
	File  string `json:"file,omitempty"`
	// Reloads counts the changes of Caddy's configuration that were made since the supervisor started, Healed those of them
	// that put back what somebody else had changed or lost.
	Reloads    int        `json:"reloads"`
	Healed     int        `json:"healed"`
	LastReload *time.Time `json:"last_reload"`
	// LastError is Caddy's own text, empty when the last delivery went well.
	LastError   string     `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`
	// Drift says what of ours in Caddy was not as it should be, the last time that was so.
	Drift   string     `json:"drift"`
	DriftAt *time.Time `json:"drift_at"`
	// Dashboard is the URL of the supervisor itself through Caddy, empty when it has none.
	Dashboard string  `json:"dashboard,omitempty"`
	Routes    []Route `json:"routes"`
}

// Route is one address of a service.
type Route struct {
	Service string `json:"service"`
	URL     string `json:"url"`
	Host    string `json:"host"`
	Port    int    `json:"port"`
	Path    string `json:"path"` // empty: the whole host
	TLS     string `json:"tls"`  // auto, internal or off
	// Upstreams are where Caddy sends requests; {file.…} is read at each request. None while the service is stopped.
	Upstreams []string `json:"upstreams"`
	Stopped   bool     `json:"stopped"`
	// Served is whether Caddy has the route. Exposed says why not.
	Served  bool          `json:"served"`
	Exposed *v1.Condition `json:"exposed"`
	// Answers is whether the service answered through Caddy, null when that is not known; Answer says how.
	Answers   *bool      `json:"answers"`
	Answer    string     `json:"answer"`
	CheckedAt *time.Time `json:"checked_at"`
	// Milliseconds is how long the last answer took.
	Milliseconds float64 `json:"milliseconds"`
}
