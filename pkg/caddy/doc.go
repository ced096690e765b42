// Package caddy brings routes into a Caddy: it renders them, and delivers them in one of two ways.
//
// Render is pure and exists twice, as a Caddyfile for people and for those who import it, and as JSON for the admin API. Each is
// the other's oracle: Caddy's own adapter must make of the text exactly what the JSON says. What could be read as more than a
// name, a path or a value is refused by Route.Check before it is rendered.
//
// FileWay writes a Caddyfile that the user's Caddyfile imports, and has Caddy load its own configuration. APIWay exchanges our
// routes in the running configuration, in one document, guarded by its ETag. Neither touches what others have configured, and
// neither leaves Caddy with less than it served before when it refuses the new.
//
// The package knows nothing of services, and it is the only one that knows Caddy's configuration.
package caddy
