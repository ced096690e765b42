package caddy

import (
	"net/http"
	"slices"
)

// object and list are what JSON decodes into. Numbers are float64 throughout, so that two documents can be compared.
type (
	object = map[string]any
	list   = []any
)

// canonical writes the names of headers as HTTP does, as Caddy's adapter does.
func canonical(headers map[string]string) map[string]string {
	out := make(map[string]string, len(headers))
	for name, value := range headers {
		out[http.CanonicalHeaderKey(name)] = value
	}
	return out
}

// headerOps is an operation on headers.
func headerOps(headers map[string]string) object {
	set, remove := object{}, list{}
	for _, name := range keys(headers) {
		if value := headers[name]; value != "" {
			set[name] = list{value}
		} else {
			remove = append(remove, name)
		}
	}
	out := object{}
	if len(set) > 0 {
		out["set"] = set
	}
	if len(remove) > 0 {
		out["delete"] = remove
	}
	return out
}

// chainJSON is what happens to a request, as the routes of a subroute. The text of chain adapts to the same.
func chainJSON(r *Route) list {
	before := list{object{"handler": "vars", marker: r.Name}}
	if len(r.BasicAuth) > 0 {
		accounts := list{}
		for _, user := range keys(r.BasicAuth) {
			accounts = append(accounts, object{"username": user, "password": r.BasicAuth[user]})
		}
		before = append(before, object{"handler": "authentication", "providers": object{
			"http_basic": object{"accounts": accounts, "hash": object{"algorithm": "bcrypt"}, "hash_cache": object{}},
		}})
	}
	var steps list
	after := before
	if r.Strip && r.Path != "" {
		steps = append(steps, object{"handle": before}, object{
			"match":  list{object{"path": list{r.Path}}},
			"handle": list{object{"handler": "static_response", "status_code": 308.0, "headers": object{"Location": list{r.Path + "/"}}}},
		})
		after = nil
	}
	if len(r.Headers) > 0 {
		ops := headerOps(canonical(r.Headers))
		ops["deferred"] = true
		after = append(after, object{"handler": "headers", "response": ops})
	}
	if len(r.Upstreams) == 0 {
		after = append(
			after, object{"handler": "headers", "response": object{"set": object{"Retry-After": list{"10"}}}},
			object{"handler": "static_response", "status_code": 503.0, "body": stoppedText(r)},
		)
		return append(steps, object{"handle": after})
	}
	if r.Strip && r.Path != "" {
		after = append(after, object{"handler": "rewrite", "strip_path_prefix": r.Path})
	}
	return append(steps, object{"handle": append(after, proxyJSON(r))})
}

func proxyJSON(r *Route) object {
	upstreams := make(list, len(r.Upstreams))
	for i, u := range r.Upstreams {
		upstreams[i] = object{"dial": u.dial()}
	}
	balance := object{"try_duration": float64(tryDuration), "try_interval": float64(tryInterval)}
	proxy := object{
		"handler": "reverse_proxy", "upstreams": upstreams, "load_balancing": balance,
		"transport": object{"protocol": "http", "keep_alive": object{"idle_timeout": float64(keepAlive)}},
	}
	if len(upstreams) > 1 {
		balance["selection_policy"] = object{"policy": "least_conn"}
		proxy["health_checks"] = object{"passive": object{"fail_duration": float64(failDuration)}}
	}
	if r.StreamTimeout > 0 {
		proxy["stream_timeout"] = float64(r.StreamTimeout)
	}
	if r.StreamCloseDelay > 0 {
		proxy["stream_close_delay"] = float64(r.StreamCloseDelay)
	}
	if headers := r.upstreamHeaders(); len(headers) > 0 {
		proxy["headers"] = object{"request": headerOps(headers)}
	}
	return proxy
}

// routeJSON is a route as it stands in a server.
func routeJSON(r *Route, id string) object {
	match := object{}
	if r.TLS == TLSOff {
		// As a variable and not as a host: of the latter Caddy makes a site with a certificate, and of its server one with TLS.
		match["vars"] = object{"{http.request.host}": list{r.Host}}
		if wild(r.Host) == 1 {
			match = object{"vars_regexp": object{"{http.request.host}": object{"pattern": wildPattern(r.Host)}}}
		}
	} else {
		match["host"] = list{r.Host}
	}
	if r.Path != "" {
		match["path"] = list{r.Path, r.Path + "/*"}
	}
	return object{
		"@id": id, "match": list{match}, "terminal": true,
		"handle": list{object{"handler": "subroute", "routes": chainJSON(r)}},
	}
}

// wildPattern matches one label where a host has a star.
func wildPattern(host string) string {
	out := []byte(`^[^.]+`)
	for _, c := range []byte(host[1:]) {
		if c == '.' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	return string(append(out, '$'))
}

// at walks down objects; nil when there is nothing.
func at(v any, path ...string) any {
	for _, key := range path {
		o, ok := v.(object)
		if !ok {
			return nil
		}
		v = o[key]
	}
	return v
}

// makeAt walks down objects and makes what is missing. What is there and is no object is replaced.
func makeAt(o object, path ...string) object {
	for _, key := range path {
		next, ok := o[key].(object)
		if !ok {
			next = object{}
			o[key] = next
		}
		o = next
	}
	return o
}

func asList(v any) list {
	l, _ := v.(list) //nolint:errcheck // what is no list has no items
	return l
}

func asText(v any) string {
	s, _ := v.(string) //nolint:errcheck // what is no text is none of ours
	return s
}

// clone is a deep copy.
func clone(v any) any {
	switch v := v.(type) {
	case object:
		out := make(object, len(v))
		for key, item := range v {
			out[key] = clone(item)
		}
		return out
	case list:
		out := slices.Clone(v)
		for i := range out {
			out[i] = clone(out[i])
		}
		return out
	}
	return v
}
