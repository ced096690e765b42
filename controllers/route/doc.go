// Package route keeps Caddy serving what the manifests say.
//
// There is one name to reconcile, the whole set of routes: Caddy has one configuration. plan is pure and says which routes
// there should be; deliver brings them there and, when Caddy refuses the set, finds out whose route is at fault, so that
// only that one is left out. What is served is compared with what should be whenever Caddy's configuration has changed,
// whoever changed it; when nothing differs, Caddy is not touched.
//
// A route stays while its service is not ready, restarts or fails: that is no reason to reload Caddy, and Caddy waits a while
// for an upstream that comes back. A service that was stopped keeps its address, which then says so. Only a manifest that is
// gone, or does not ask for a route any more, takes one away.
package route
