package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// dist is what `make build` has put there; in a binary that was built without it, a file that says so.
//
//go:embed all:dist
var dist embed.FS

//go:embed missing.html
var missing []byte

// policy lets the pages load what we serve and speak to us, and nobody frame them. data: is for images in style sheets.
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// index is the page that all paths of the app begin with.
const index = "index.html"

// file is one embedded file, in the forms that it is kept in.
type file struct {
	kind  string
	etag  string
	forms map[string][]byte // by content coding; "" is the plain one
	// fixed files have their content's hash in their name and never change.
	fixed bool
}

// Handler serves the app: its files by name, and for every other path its first page, whose router takes it from there.
func Handler() http.Handler {
	sub, err := fs.Sub(dist, "dist")
	if err == nil {
		var files map[string]*file
		if files, err = load(sub); err == nil && files[index] != nil {
			return handler(files)
		}
	}
	return handler(map[string]*file{index: newFile(index, map[string][]byte{"": missing})})
}

// Built reports whether the app is in this binary.
func Built() bool {
	matches, err := fs.Glob(dist, "dist/"+index+"*")
	return err == nil && len(matches) > 0
}

func load(from fs.FS) (map[string]*file, error) {
	forms := map[string]map[string][]byte{}
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		data, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		coding := ""
		switch path.Ext(name) {
		case ".gz":
			name, coding = strings.TrimSuffix(name, ".gz"), "gzip"
		case ".br":
			name, coding = strings.TrimSuffix(name, ".br"), "br"
		}
		if forms[name] == nil {
			forms[name] = map[string][]byte{}
		}
		forms[name][coding] = data
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded dashboard: %w", err)
	}
	files := map[string]*file{}
	for name, f := range forms {
		files[name] = newFile(name, f)
	}
	return files, nil
}

func newFile(name string, forms map[string][]byte) *file {
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // what the machine's own tables may not know
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".woff2":
		kind = "font/woff2"
	}
	f := &file{kind: kind, forms: forms, fixed: strings.HasPrefix(name, "assets/")}
	sum := sha256.New()
	for _, coding := range []string{"", "gzip", "br"} {
		sum.Write(forms[coding])
	}
	f.etag = hex.EncodeToString(sum.Sum(nil)[:8])
	return f
}

type handler map[string]*file

// ServeHTTP implements http.Handler.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, r.Method+" is not possible here", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	f, ok := h[name]
	if !ok && strings.HasPrefix(name, "assets/") {
		// A page of an older build asks for a file that is gone: the app's first page would only confuse it.
		http.Error(w, "there is no such file in this version of the dashboard; reload the page", http.StatusNotFound)
		return
	}
	if !ok {
		f = h[index]
	}
	f.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Content-Type", f.kind)
	header.Set("Vary", "Accept-Encoding")
	coding, data := f.choose(r.Header.Get("Accept-Encoding"))
	tag := `"` + f.etag + `"`
	if coding != "" {
		tag = `"` + f.etag + "-" + coding + `"`
	}
	header.Set("ETag", tag)
	if f.fixed {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		header.Set("Cache-Control", "no-cache")
	}
	if slices.ContainsFunc(strings.Split(r.Header.Get("If-None-Match"), ","), func(t string) bool {
		return strings.TrimPrefix(strings.TrimSpace(t), "W/") == tag
	}) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if data == nil {
		var err error
		if data, err = inflate(f.forms["gzip"]); err != nil {
			http.Error(w, "the embedded file is damaged", http.StatusInternalServerError)
			return
		}
	}
	if coding != "" {
		header.Set("Content-Encoding", coding)
	}
	header.Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(data) //nolint:errcheck // the client is gone
	}
}

// choose picks the smallest form that the client takes. No data means that the plain form has to be made.
func (f *file) choose(accept string) (coding string, data []byte) {
	for _, coding := range []string{"br", "gzip"} {
		if data, ok := f.forms[coding]; ok && accepts(accept, coding) {
			return coding, data
		}
	}
	return "", f.forms[""]
}

// accepts reports whether an Accept-Encoding header takes a coding.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		_, weight, _ := strings.Cut(q, "=")
		n, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		return err != nil || n > 0
	}
	return false
}

// inflate makes the plain form for the rare client that takes no other.
func inflate(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	data, err := io.ReadAll(z)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return data, nil
}
