package caddy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Owner says which objects in Caddy's configuration are ours: those whose @id begins with it. Several supervisors may share
// one Caddy.
type Owner string

// NewOwner is the owner whose data is in a folder.
func NewOwner(dir string) Owner {
	sum := sha256.Sum256([]byte(filepath.Clean(dir)))
	return Owner("supervisor-" + hex.EncodeToString(sum[:4]) + ":")
}

func (o Owner) owns(v any) bool { return strings.HasPrefix(asText(at(v, "@id")), string(o)) }

// A route's id is its name and, from the second address on, a number; what is not a route's begins with "@".
func (o Owner) routeID(name string, n int) string {
	if n == 0 {
		return string(o) + name
	}
	return fmt.Sprintf("%s%s#%d", o, name, n+1)
}
func (o Owner) serverID(port int) string { return fmt.Sprintf("%s@server:%d", o, port) }
func (o Owner) tlsID(host string) string { return fmt.Sprintf("%s@tls:%s", o, host) }

// nameOf is the name in the id of one of our routes; empty when it is none.
func (o Owner) nameOf(v any) string {
	id, ours := strings.CutPrefix(asText(at(v, "@id")), string(o))
	if !ours || strings.HasPrefix(id, "@server:") || strings.HasPrefix(id, "@tls:") {
		return ""
	}
	name, _, _ := strings.Cut(id, "#")
	return name
}

// Merge returns a configuration that is current but for our routes, which are the ones that are given. Routes to a site that
// somebody else has configured are left out; taken says which, by their index. It does not change current.
func Merge(current any, routes []Route, owner Owner, bind []string) (next any, taken []int) {
	doc, ok := clone(current).(object)
	if !ok {
		doc = object{} // a Caddy without a configuration has null
	}
	removeOurs(doc, owner)
	m := merger{doc: doc, owner: owner, bind: bind}
	var left []Route
	for i := range routes {
		if m.takenByOthers(&routes[i]) {
			taken = append(taken, i)
			continue
		}
		left = append(left, routes[i])
	}
	if len(left) > 0 {
		m.put(left)
	}
	m.dropEmptyServers()
	return doc, taken
}

// Unchanged reports whether two configurations say the same.
func Unchanged(a, b any) bool {
	if a == nil {
		a = object{}
	}
	return reflect.DeepEqual(a, b)
}

// removeOurs takes our routes and policies out. Our servers stay for now: they may be needed again.
func removeOurs(doc object, owner Owner) {
	for _, server := range servers(doc) {
		if routes, ok := server["routes"].(list); ok {
			server["routes"] = slices.DeleteFunc(routes, func(r any) bool { return owner.nameOf(r) != "" })
		}
	}
	automation, ok := at(doc, "apps", "tls", "automation").(object)
	if !ok {
		return
	}
	policies := asList(automation["policies"])
	kept := slices.DeleteFunc(slices.Clone(policies), owner.owns)
	if len(kept) == len(policies) {
		return
	}
	automation["policies"] = kept
	if len(kept) > 0 {
		return
	}
	// What was there for our sake only goes again.
	delete(automation, "policies")
	for _, path := range [][]string{{"apps", "tls", "automation"}, {"apps", "tls"}} {
		parent, last := makeAt(doc, path[:len(path)-1]...), path[len(path)-1]
		if o, ok := parent[last].(object); ok && len(o) == 0 {
			delete(parent, last)
		}
	}
}

// servers are the HTTP servers by name.
func servers(doc any) map[string]object {
	out := map[string]object{}
	all, _ := at(doc, "apps", "http", "servers").(object) //nolint:errcheck // nothing there is no server
	for name, v := range all {
		if server, ok := v.(object); ok {
			out[name] = server
		}
	}
	return out
}

// serverAt is the server that listens at a port.
func serverAt(doc any, port int) (object, bool) {
	all := servers(doc)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if slices.ContainsFunc(asList(all[name]["listen"]), func(v any) bool { return listensAt(asText(v), port) }) {
			return all[name], true
		}
	}
	return nil, false
}

// listensAt reports whether an address such as ":443", "tcp/127.0.0.1:443" or ":8000-8010" covers a port.
func listensAt(address string, port int) bool {
	if network, rest, found := strings.Cut(address, "/"); found {
		if !strings.HasPrefix(network, "tcp") {
			return false
		}
		address = rest
	}
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	first, last, isRange := strings.Cut(text, "-")
	low, err := strconv.Atoi(first)
	if err != nil || !isRange {
		return err == nil && low == port
	}
	high, err := strconv.Atoi(last)
	return err == nil && low <= port && port <= high
}

// hostsIn are the hosts that a route matches, also deep inside it.
func hostsIn(v any, found map[string]bool) {
	switch v := v.(type) {
	case object:
		for _, h := range asList(v["host"]) {
			if host := asText(h); host != "" {
				found[strings.ToLower(host)] = true
			}
		}
		for _, item := range v {
			hostsIn(item, found)
		}
	case list:
		for _, item := range v {
			hostsIn(item, found)
		}
	}
}

// foreignHosts are the hosts of a port that others have configured, once ours are taken out.
func foreignHosts(doc any, port int) map[string]bool {
	found := map[string]bool{}
	if server, ok := serverAt(doc, port); ok {
		for _, r := range asList(server["routes"]) {
			hostsIn(at(r, "match"), found)
			hostsIn(at(r, "handle"), found)
		}
	}
	return found
}

// merger puts routes into a configuration that has none of ours.
type merger struct {
	doc   object
	owner Owner
	bind  []string
	hosts map[int]map[string]bool // of others, by port
}

// takenByOthers reports whether somebody else has configured the site of a route. A path below a site of theirs is ours to have.
func (m *merger) takenByOthers(r *Route) bool {
	if r.Path != "" {
		return false
	}
	if m.hosts[r.Port] == nil {
		if m.hosts == nil {
			m.hosts = map[int]map[string]bool{}
		}
		m.hosts[r.Port] = foreignHosts(m.doc, r.Port)
	}
	return m.hosts[r.Port][r.Host]
}

func (m *merger) put(routes []Route) {
	ids := map[string]int{}
	byPort := map[int]list{}
	plain, covered := map[int]bool{}, map[string]bool{}
	var policies list
	for _, s := range sites(routes) {
		if s.internal && !s.plain && !covered[s.host] {
			covered[s.host] = true
			policies = append(policies, object{
				"@id": m.owner.tlsID(s.host), "subjects": list{s.host}, "issuers": list{object{"module": "internal"}},
			})
		}
		plain[s.port] = s.plain
		for i := range s.routes {
			r := &s.routes[i]
			byPort[s.port] = append(byPort[s.port], routeJSON(r, m.owner.routeID(r.Name, ids[r.Name])))
			ids[r.Name]++
		}
	}
	for port, ours := range byPort {
		server, ok := serverAt(m.doc, port)
		switch {
		case !ok:
			server = m.newServer(port, plain[port])
		case m.owner.owns(server):
			server["listen"] = listens(m.bind, port)
		}
		server["routes"] = append(ours, asList(server["routes"])...) // before what others say of any host
	}
	if len(policies) > 0 {
		automation := makeAt(m.doc, "apps", "tls", "automation")
		automation["policies"] = append(policies, asList(automation["policies"])...)
	}
}

// newServer makes a server for a port at which none listens.
func (m *merger) newServer(port int, plain bool) object {
	server := object{"@id": m.owner.serverID(port), "listen": listens(m.bind, port)}
	switch {
	case plain:
		server["automatic_https"] = object{"disable": true}
	case port != 443:
		// Who asks for http:// would be sent on from port 80, which need not be Caddy's.
		server["automatic_https"] = object{"disable_redirects": true}
	}
	all := makeAt(m.doc, "apps", "http", "servers")
	name := "supervisor" + strconv.Itoa(port)
	for all[name] != nil {
		name += "x"
	}
	all[name] = server
	return server
}

// anyServer is the @id of a server that a supervisor has made, whichever it was.
var anyServer = regexp.MustCompile(`^supervisor-[0-9a-f]+:@server:`)

// dropEmptyServers takes out the servers that we or our like made and that have no route any more.
func (m *merger) dropEmptyServers() {
	for name, server := range servers(m.doc) {
		if anyServer.MatchString(asText(server["@id"])) && len(asList(server["routes"])) == 0 {
			delete(makeAt(m.doc, "apps", "http", "servers"), name)
		}
	}
}

// ours are our routes in a configuration, by name.
func ours(doc any, owner Owner) map[string]list {
	out := map[string]list{}
	for _, server := range servers(doc) {
		for _, r := range asList(server["routes"]) {
			if name := owner.nameOf(r); name != "" {
				out[name] = append(out[name], r)
			}
		}
	}
	return out
}

// marked are the routes in a configuration that carry our marker, by name, with where they are: what text was adapted to.
func marked(doc any) map[string]list {
	out := map[string]list{}
	all := servers(doc)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, r := range asList(all[name]["routes"]) {
			markedBelow(r, object{"listen": all[name]["listen"]}, out)
		}
	}
	return out
}

func markedBelow(route any, where object, out map[string]list) {
	if match := asList(at(route, "match")); len(match) > 0 {
		where = maps.Clone(where)
		for _, m := range match {
			o, _ := m.(object) //nolint:errcheck // what is no object matches nothing
			maps.Copy(where, o)
		}
	}
	for _, h := range asList(at(route, "handle")) {
		if asText(at(h, "handler")) != "subroute" {
			continue
		}
		steps := asList(at(h, "routes"))
		if name := markOf(steps); name != "" {
			here := maps.Clone(where)
			here["routes"] = steps
			out[name] = append(out[name], here)
			continue
		}
		for _, r := range steps {
			markedBelow(r, where, out)
		}
	}
}

// markOf is the name in the marker with which one of our chains begins; empty when it is none.
func markOf(steps list) string {
	if len(steps) == 0 {
		return ""
	}
	first := asList(at(steps[0], "handle"))
	if len(first) == 0 || asText(at(first[0], "handler")) != "vars" {
		return ""
	}
	return asText(at(first[0], marker))
}

// differences says, by name, how what is there differs from what should be.
func differences(want, have map[string]list) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch {
		case have[name] == nil:
			out = append(out, name+" was missing")
		case !reflect.DeepEqual(want[name], have[name]):
			out = append(out, name+" was changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if want[name] == nil {
			out = append(out, name+" was added")
		}
	}
	return out
}
