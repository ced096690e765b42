package rest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/api/rest"
)

// Who may call, by what the request looks like. HOST stands for the address that is listened on, PORT for its port.
func TestWhoMayCall(t *testing.T) {
	h := newHouse(t)
	h.add(t, manifest("web", `{command: a}`))
	_, port, _ := strings.Cut(h.addr, ":")
	bearer := "Bearer " + testToken
	for _, c := range []struct {
		name   string
		method string
		header map[string]string
		socket bool
		want   int
	}{
		{name: "a local program", want: 200},
		{name: "a local program that changes something", method: "POST", want: 200},
		{name: "localhost", header: map[string]string{"Host": "localhost:PORT"}, want: 200},
		{name: "IPv6", header: map[string]string{"Host": "[::1]:PORT"}, want: 200},
		{name: "a configured name", header: map[string]string{"Host": "BOX.lan:PORT"}, want: 200},
		{name: "the unix socket", socket: true, method: "POST", want: 200},

		{name: "DNS rebinding", header: map[string]string{"Host": "evil.example:PORT"}, want: 401},
		{name: "DNS rebinding that looks the same site", header: map[string]string{"Host": "evil.example:PORT", "Origin": "http://evil.example:PORT", "Sec-Fetch-Site": "same-origin"}, want: 401},
		{name: "a name that begins as ours", header: map[string]string{"Host": "localhost.evil.example:PORT"}, want: 401},
		{name: "another port", header: map[string]string{"Host": "localhost:1"}, want: 401},
		{name: "no port", header: map[string]string{"Host": "localhost"}, want: 401},
		{name: "no host", header: map[string]string{"Host": ":PORT"}, want: 401},

		{name: "our own page", method: "POST", header: map[string]string{"Origin": "http://HOST", "Sec-Fetch-Site": "same-origin"}, want: 200},
		{name: "cross-site POST", method: "POST", header: map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, want: 401},
		{name: "cross-site POST of an old browser", method: "POST", header: map[string]string{"Origin": "https://evil.example"}, want: 401},
		{name: "cross-site POST of a very old browser", method: "POST", header: map[string]string{"Referer": "https://evil.example/page"}, want: 401},
		{name: "opaque origin", method: "POST", header: map[string]string{"Origin": "null"}, want: 401},
		{name: "another port of this machine", method: "POST", header: map[string]string{"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, want: 401},
		{name: "cross-site GET", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: 401},
		{name: "typed into the browser", header: map[string]string{"Sec-Fetch-Site": "none"}, want: 200},
		{name: "typed, yet it changes something", method: "POST", header: map[string]string{"Sec-Fetch-Site": "none"}, want: 401},
		{name: "a page of this site that gives a foreign origin", method: "POST", header: map[string]string{"Origin": "http://HOST", "Sec-Fetch-Site": "cross-site"}, want: 401},

		{name: "X-Forwarded-For", header: map[string]string{"X-Forwarded-For": "1.2.3.4"}, want: 401},
		{name: "X-Forwarded-Host", header: map[string]string{"X-Forwarded-Host": "x"}, want: 401},
		{name: "Forwarded", header: map[string]string{"Forwarded": "for=1.2.3.4"}, want: 401},
		{name: "Via", header: map[string]string{"Via": "1.1 proxy"}, want: 401},
		{name: "X-Real-IP", header: map[string]string{"X-Real-IP": "1.2.3.4"}, want: 401},
		{name: "Cloudflare", header: map[string]string{"CF-Connecting-IP": "1.2.3.4"}, want: 401},
		{name: "forwarded with the token", header: map[string]string{"X-Forwarded-For": "1.2.3.4", "Authorization": bearer}, want: 200},

		{name: "the token under any name", header: map[string]string{"Host": "evil.example", "Authorization": bearer}, want: 200},
		{name: "the scheme in any case", header: map[string]string{"Authorization": "bearer " + testToken}, want: 200},
		{name: "a wrong token", header: map[string]string{"Authorization": "Bearer wrong"}, want: 401},
		{name: "an empty token", header: map[string]string{"Authorization": "Bearer "}, want: 401},
		{name: "the beginning of the token", header: map[string]string{"Authorization": bearer[:len(bearer)-1]}, want: 401},
		{name: "the token and more", header: map[string]string{"Authorization": bearer + "x"}, want: 401},
		{name: "another scheme", header: map[string]string{"Authorization": "Basic " + testToken}, want: 401},
		{name: "an invented cookie", header: map[string]string{"Host": "evil.example", "Cookie": "supervisor_session=99999999999.x.y"}, want: 401},
	} {
		r := request{method: c.method, path: "/api/services/web", header: map[string]string{}, socket: c.socket}
		if c.method == "POST" {
			r.path += "/start"
		}
		for name, value := range c.header {
			r.header[name] = strings.NewReplacer("PORT", port, "HOST", h.addr).Replace(value)
		}
		got := h.call(t, r)
		if got.status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, got.status, c.want, got.body)
		}
		if got.status == 401 && got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without WWW-Authenticate", c.name)
		}
	}
	if strings.Contains(h.log.String(), testToken) {
		t.Error("the token is in the log")
	}
}

func TestSocketOnly(t *testing.T) {
	h := newHouse(t)
	r := h.call(t, request{method: "POST", path: "/api/v1/shutdown", header: map[string]string{"Authorization": "Bearer " + testToken}})
	if r.status != 403 {
		t.Errorf("with the token: %d %s", r.status, r.body)
	}
	if r := h.call(t, request{method: "POST", path: "/api/v1/shutdown", socket: true}); r.status != 200 || !strings.Contains(r.body, `"stopped":2`) {
		t.Errorf("over the socket: %d %s", r.status, r.body)
	}
}

func TestLogin(t *testing.T) {
	h := newHouse(t)
	h.add(t, manifest("web", `{command: a}`))
	if r := h.call(t, request{method: "POST", path: "/api/v1/login"}); r.status != 403 {
		t.Errorf("a local program without proof makes a link: %d", r.status)
	}
	link := decode[struct{ Path string }](t, h.call(t, request{method: "POST", path: "/api/v1/login", socket: true})).Path
	// A browser elsewhere, under the name of a proxy.
	outside := map[string]string{"Host": "super.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{outside, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	in := h.call(t, request{path: link, header: outside})
	cookie := in.header.Get("Set-Cookie")
	if in.status != http.StatusSeeOther || in.header.Get("Location") != "/" {
		t.Fatalf("%d %s", in.status, in.body)
	}
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Secure", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie lacks %s: %s", want, cookie)
		}
	}
	if again := h.call(t, request{path: link, header: outside}); again.status != 401 || again.header.Get("Set-Cookie") != "" {
		t.Errorf("the link works twice: %d", again.status)
	}
	session, _, _ := strings.Cut(cookie, ";")
	for _, c := range []struct {
		name, method string
		header       map[string]string
		want         int
	}{
		{"look", "GET", map[string]string{"Cookie": session}, 200},
		{"change from our page", "POST", map[string]string{"Cookie": session, "Origin": "https://super.example"}, 200},
		{"change from our page, told by the browser", "POST", map[string]string{"Cookie": session, "Sec-Fetch-Site": "same-origin"}, 200},
		{"change from another site", "POST", map[string]string{"Cookie": session, "Origin": "https://evil.example"}, 403},
		{"change from a sister site", "POST", map[string]string{"Cookie": session, "Sec-Fetch-Site": "same-site"}, 403},
		{"change from who knows where", "POST", map[string]string{"Cookie": session}, 403},
		{"a forged cookie", "GET", map[string]string{"Cookie": session + "x"}, 401},
		{"a longer life", "GET", map[string]string{"Cookie": strings.Replace(session, "=", "=9", 1)}, 401},
	} {
		path := "/api/services/web"
		if c.method == "POST" {
			path += "/start"
		}
		if r := h.call(t, request{method: c.method, path: path, header: with(c.header)}); r.status != c.want {
			t.Errorf("%s: %d, want %d", c.name, r.status, c.want)
		}
	}
	if log := h.log.String(); strings.Contains(log, strings.TrimPrefix(link, "/login?code=")) {
		t.Error("the login code is in the log")
	}
	// The cookie of one token is nothing to another.
	other := rest.NewAuthorizer("another-token-altogether", nil, nil)
	if !strings.HasPrefix(other.LoginPath(), "/login?code=") {
		t.Error("no login link")
	}
}

func TestBodies(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name, path, media, body string
		want                    int
	}{
		{"a form", "/api/services", "application/x-www-form-urlencoded", `{"name":"a","command":"b"}`, 415},
		{"plain text", "/api/services", "text/plain", `{"name":"a","command":"b"}`, 415},
		{"YAML where JSON is due", "/api/services", "application/yaml", "name: a", 415},
		{"nonsense", "/api/services", ";;", `{}`, 415},
		{"JSON", "/api/services", "application/json; charset=utf-8", `{"name":"a","command":"b"}`, 200},
		{"YAML", "/api/v1/validate", "application/yaml", manifest("a", "{command: b}"), 200},
		{"too large", "/api/v1/validate", "application/yaml", strings.Repeat("#", 1<<20+1), 413},
	} {
		r := h.call(t, request{method: "POST", path: c.path, body: c.body, header: map[string]string{"Content-Type": c.media}})
		if r.status != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, r.status, r.body, c.want)
		}
	}
}

func TestLoadToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	token, made, err := rest.LoadToken(path)
	if err != nil || !made || len(token) < 40 {
		t.Fatalf("%q %v %v", token, made, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v %v", info.Mode(), err)
	}
	again, made, err := rest.LoadToken(path)
	if err != nil || made || again != token {
		t.Errorf("%q %v %v", again, made, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rest.LoadToken(path); err == nil || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("a token that others can read: %v", err)
	}
	short := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(short, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rest.LoadToken(short); err == nil {
		t.Error("an empty token was taken")
	}
	if _, _, err := rest.LoadToken(filepath.Join(t.TempDir(), "no", "folder")); err == nil {
		t.Error("a missing folder was taken")
	}
}
