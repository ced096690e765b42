package caddy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const theirs = `{
	"admin": {"listen": "unix//x"},
	"apps": {
		"http": {"http_port": 80, "servers": {
			"srv0": {"listen": [":443"], "routes": [
				{"match": [{"host": ["*.wild.test"]}], "handle": [{"handler": "subroute", "routes": [
					{"match": [{"host": ["one.wild.test"]}], "handle": [{"handler": "static_response", "body": "1"}]}
				]}], "terminal": true},
				{"match": [{"host": ["apps.test", "hand.test"]}], "handle": [{"handler": "static_response", "body": "2"}], "terminal": true}
			]},
			"srv1": {"listen": ["127.0.0.1:8000-8010"], "routes": []}
		}},
		"tls": {"automation": {"policies": [{"subjects": ["hand.test"], "issuers": [{"module": "internal"}]}]}}
	},
	"logging": {"logs": {"default": {"level": "INFO"}}}
}`

func to(name, host, path string, port int, tls TLS) Route {
	return Route{Name: name, Host: host, Path: path, Port: port, TLS: tls, Upstreams: []Upstream{{Address: "127.0.0.1:1"}}}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	owner := NewOwner("/data")
	for name, tt := range map[string]struct {
		current string
		routes  []Route
		taken   []int
		holds   []string // the @ids in each server, by its name, and the policies
	}{
		"no Caddyfile at all": {
			current: "null", routes: []Route{to("a", "a.test", "", 443, TLSAuto), to("b", "b.test", "", 8443, TLSInternal), to("c", "c.test", "", 80, TLSOff)},
			holds: []string{"supervisor443 a", "supervisor80 c", "supervisor8443 b", "tls @tls:b.test"},
		},
		"before those of others, the longest path first": {
			current: theirs, routes: []Route{to("a", "apps.test", "/a", 443, TLSAuto), to("b", "apps.test", "/a/b", 443, TLSAuto), to("c", "c.test", "", 443, TLSInternal)},
			holds: []string{"srv0 b a c - -", "srv1", "tls @tls:c.test -"},
		},
		"sites of others are not taken": {
			current: theirs, routes: []Route{to("a", "hand.test", "", 443, TLSAuto), to("b", "one.wild.test", "", 443, TLSAuto), to("c", "two.wild.test", "", 443, TLSAuto)},
			taken: []int{0, 1}, holds: []string{"srv0 c - -", "srv1", "tls -"},
		},
		"at another port it is another site": {
			current: theirs, routes: []Route{to("a", "hand.test", "", 8443, TLSAuto), to("b", "hand.test", "", 8005, TLSAuto)},
			holds: []string{"srv0 - -", "srv1 b", "supervisor8443 a", "tls -"},
		},
		"two addresses of one name": {
			current: "null", routes: []Route{to("a", "a.test", "", 443, TLSAuto), to("a", "b.test", "", 443, TLSAuto)},
			holds: []string{"supervisor443 a a#2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			current := decoded(t, tt.current)
			before := clone(current)
			next, taken := Merge(current, tt.routes, owner, nil)
			if diff := cmp.Diff(before, current); diff != "" {
				t.Errorf("what was handed over was changed:\n%s", diff)
			}
			if diff := cmp.Diff(tt.taken, taken); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.holds, inside(next, owner)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again, _ := Merge(next, tt.routes, owner, nil); !Unchanged(next, again) {
				t.Errorf("a second time it is another one:\n%s", cmp.Diff(next, again))
			}
		})
	}
}

// inside lists what is in each server and in the policies: our ids without the owner, and - for what is theirs.
func inside(config any, owner Owner) []string {
	word := func(v any) string {
		if id, ours := strings.CutPrefix(asText(at(v, "@id")), string(owner)); ours {
			return " " + id
		}
		return " -"
	}
	var out []string
	for name, server := range servers(config) {
		line := name
		for _, r := range asList(server["routes"]) {
			line += word(r)
		}
		out = append(out, line)
	}
	slices.Sort(out)
	if policies := asList(at(config, "apps", "tls", "automation", "policies")); policies != nil {
		line := "tls"
		for _, p := range policies {
			line += word(p)
		}
		out = append(out, line)
	}
	return out
}

// Whatever comes and goes, by two supervisors: what others have is as it was, in its order, and in the end nothing of ours is
// left. The configuration goes through JSON each time, as it does through Caddy.
func TestOthersAreNeverTouched(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var config, original any
		text := rapid.SampledFrom([]string{theirs, "null", `{}`, `{"apps": {"http": {"servers": {}}}}`, `{"apps": {"tls": {"automation": {}}}}`}).Draw(t, "theirs")
		if err := json.Unmarshal([]byte(text), &config); err != nil {
			t.Fatal(err)
		}
		original = clone(config)
		owners := []Owner{NewOwner("/one"), NewOwner("/two")}
		put := func(owner Owner, routes []Route) {
			next, _ := Merge(config, routes, owner, nil)
			body, err := json.Marshal(next)
			if err != nil {
				t.Fatal(err)
			}
			config = nil
			if err := json.Unmarshal(body, &config); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			var routes []Route
			for i := range rapid.IntRange(0, 4).Draw(t, "routes") {
				tls := rapid.SampledFrom([]TLS{TLSAuto, TLSInternal, TLSOff}).Draw(t, "tls")
				port := rapid.SampledFrom([]int{443, 8443, 8004}).Draw(t, "port")
				if tls == TLSOff {
					port = 80
				}
				routes = append(routes, to(fmt.Sprint("n", i), rapid.SampledFrom([]string{"a.test", "hand.test", "*.b.test"}).Draw(t, "host"), rapid.SampledFrom([]string{"", "/p", "/p/q"}).Draw(t, "path"), port, tls))
			}
			put(rapid.SampledFrom(owners).Draw(t, "owner"), routes)
		}
		for _, owner := range owners {
			put(owner, nil)
		}
		if diff := cmp.Diff(trimmed(original), trimmed(config)); diff != "" {
			t.Fatalf("what is left (-before +after):\n%s", diff)
		}
	})
}

// trimmed is a configuration without objects that are empty: those do nothing.
func trimmed(v any) any {
	if v == nil {
		return object{}
	}
	o, ok := v.(object)
	if !ok {
		return v
	}
	out := object{}
	for key, item := range o {
		item = trimmed(item)
		if inner, isObject := item.(object); isObject && len(inner) == 0 {
			continue
		}
		out[key] = item
	}
	return out
}

func TestListensAt(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		":443": true, "127.0.0.1:443": true, "[::1]:443": true, "tcp/:443": true, "tcp4/10.0.0.1:443": true, ":440-450": true, "udp/:443": false, ":4430": false,
		"unix//run/x.sock": false, "": false, ":https": false, "[::]:400-442": false,
	} {
		if got := listensAt(address, 443); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}
