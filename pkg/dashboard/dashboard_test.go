package dashboard

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// built is what a build leaves.
func built(t *testing.T) handler {
	t.Helper()
	files, err := load(fstest.MapFS{
		".gitignore":             {Data: []byte("*")},
		"index.html.gz":          {Data: zipped(t, "<p>app")},
		"index.html.br":          {Data: []byte("brotli of the app")},
		"assets/main-1a.js.gz":   {Data: zipped(t, "main()")},
		"assets/main-1a.js.br":   {Data: []byte("brotli of main")},
		"assets/inter-2b.woff2":  {Data: []byte("font")},
		"assets/style-3c.css.gz": {Data: zipped(t, "p{}")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestServe(t *testing.T) {
	tests := []struct {
		name, method, path, accept string
		status                     int
		body, coding, kind         string
		forever                    bool
	}{
		{"page", "GET", "/", "gzip", 200, "<p>app", "gzip", "text/html; charset=utf-8", false},
		{"page of the app", "GET", "/services/web/logs", "", 200, "<p>app", "", "text/html; charset=utf-8", false},
		{"a service that is called like a file", "GET", "/services/a.js", "", 200, "<p>app", "", "text/html; charset=utf-8", false},
		{"brotli is best", "GET", "/", "gzip, deflate, br", 200, "brotli of the app", "br", "text/html; charset=utf-8", false},
		{"brotli is refused", "GET", "/", "br;q=0, gzip;q=0.5", 200, "<p>app", "gzip", "text/html; charset=utf-8", false},
		{"script", "GET", "/assets/main-1a.js", "gzip", 200, "main()", "gzip", "text/javascript; charset=utf-8", true},
		{"script for a client that takes no packed one", "GET", "/assets/main-1a.js", "identity", 200, "main()", "", "text/javascript; charset=utf-8", true},
		{"font", "GET", "/assets/inter-2b.woff2", "gzip, br", 200, "font", "", "font/woff2", true},
		{"a file of an older build", "GET", "/assets/main-0f.js", "gzip", 404, "", "", "text/plain; charset=utf-8", false},
		{"outside", "GET", "/assets/../../secret", "gzip", 200, "<p>app", "gzip", "text/html; charset=utf-8", false},
		{"head", "HEAD", "/", "gzip", 200, "", "gzip", "text/html; charset=utf-8", false},
		{"post", "POST", "/", "gzip", 405, "", "", "text/plain; charset=utf-8", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "http://localhost"+tt.path, http.NoBody)
			r.Header.Set("Accept-Encoding", tt.accept)
			w := httptest.NewRecorder()
			built(t).ServeHTTP(w, r)
			res := w.Result()
			if res.StatusCode != tt.status || res.Header.Get("Content-Encoding") != tt.coding || res.Header.Get("Content-Type") != tt.kind {
				t.Fatalf("%d, %q, %q", res.StatusCode, res.Header.Get("Content-Encoding"), res.Header.Get("Content-Type"))
			}
			if got := strings.Contains(res.Header.Get("Cache-Control"), "immutable"); got != tt.forever {
				t.Errorf("Cache-Control is %q", res.Header.Get("Cache-Control"))
			}
			if tt.status != http.StatusOK {
				return
			}
			if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("the policy is %q", csp)
			}
			body := w.Body.Bytes()
			if tt.coding == "gzip" && tt.method == http.MethodGet {
				var err error
				if body, err = inflate(body); err != nil {
					t.Fatal(err)
				}
			}
			if string(body) != tt.body {
				t.Errorf("the body is %q, want %q", body, tt.body)
			}
		})
	}
}

func TestNotModified(t *testing.T) {
	h := built(t)
	get := func(accept, match string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "http://localhost/", http.NoBody)
		r.Header.Set("Accept-Encoding", accept)
		r.Header.Set("If-None-Match", match)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	tag := get("gzip", "").Header.Get("ETag")
	if res := get("gzip", `"other", `+tag); res.StatusCode != http.StatusNotModified {
		t.Errorf("%d for the tag that was given", res.StatusCode)
	}
	if res := get("br", tag); res.StatusCode != http.StatusOK {
		t.Errorf("%d for the tag of another coding", res.StatusCode)
	}
}

// TestHandler serves what is in this binary, whether the app was built or not.
func TestHandler(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/", http.NoBody))
	want := "The dashboard is not in this build"
	if Built() {
		want = `<div id="app">`
	}
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
