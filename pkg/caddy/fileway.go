package caddy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// FileWay writes a Caddyfile that another one imports, and has Caddy load that other one.
type FileWay struct {
	Client *Client
	// Main is the user's Caddyfile, Fragment the one that it imports.
	Main, Fragment string
	Layout         Layout

	// served is what of ours Caddy ran, and text what Fragment held, when we last looked.
	served map[string]list
	text   string
}

// Usable reports whether a Caddyfile imports a fragment that we may write.
func Usable(main, fragment string) bool {
	text, err := os.ReadFile(main)
	if err != nil {
		return false
	}
	if _, imported := inline(string(text), filepath.Dir(main), fragment, ""); !imported {
		return false
	}
	return unix.Access(filepath.Dir(fragment), unix.W_OK) == nil
}

// importLine is a line of a Caddyfile that imports something.
var importLine = regexp.MustCompile("(?m)^([ \t]*)import[ \t]+([^\\s]+)([^\n]*)$")

// inline puts the text of a fragment in place of the line that imports it, and makes the paths of other imports absolute, as
// Caddy cannot tell where a text comes from that it is sent.
func inline(text, dir, fragment, with string) (out string, imported bool) {
	out = importLine.ReplaceAllStringFunc(text, func(line string) string {
		parts := importLine.FindStringSubmatch(line)
		indent, pattern, args := parts[1], strings.Trim(parts[2], "\"`"), parts[3]
		if strings.Contains(text, "("+pattern+")") || pattern == PathsSnippet || strings.HasPrefix(pattern, "{") {
			return line // a snippet, or something that only Caddy can resolve
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		if ok, err := filepath.Match(pattern, fragment); err != nil || !ok {
			return indent + "import " + pattern + args
		}
		imported = true
		lines := []string{with}
		matches, _ := filepath.Glob(pattern) //nolint:errcheck // the pattern has just been used
		for _, m := range matches {
			if hidden := strings.HasPrefix(filepath.Base(m), ".") && strings.HasPrefix(filepath.Base(pattern), "*"); m != fragment && !hidden {
				lines = append(lines, indent+"import "+m+args)
			}
		}
		return strings.Join(lines, "\n")
	})
	return out, imported
}

// main is the user's Caddyfile with a text in place of our fragment.
func (w *FileWay) main(with string) (string, error) {
	text, err := os.ReadFile(w.Main)
	if err != nil {
		return "", &SetupError{Detail: fmt.Sprintf("the Caddyfile cannot be read: %v; say where it is with CADDY_CONFIG_FILE, or set CADDY_MODE=api", err)}
	}
	out, imported := inline(string(text), filepath.Dir(w.Main), w.Fragment, with)
	if !imported {
		return "", &SetupError{Detail: fmt.Sprintf("%s does not import the routes; add the line `import %s` at its top level, or set CADDY_MODE=api", w.Main, w.Fragment)}
	}
	return out, nil
}

// adapt is what Caddy makes of the user's Caddyfile with a text in place of our fragment.
func (w *FileWay) adapt(ctx context.Context, with string) (main string, config any, err error) {
	if main, err = w.main(with); err != nil {
		return "", nil, err
	}
	config, err = w.Client.Adapt(ctx, main)
	return main, config, err
}

// Put implements Way.
func (w *FileWay) Put(ctx context.Context, _, want []Route, force bool) (Outcome, error) {
	out := Outcome{LeftOut: map[int]string{}}
	layout := w.Layout
	// A Caddy whose Caddyfile imports what is not there does not start.
	if _, err := os.Lstat(w.Fragment); errors.Is(err, fs.ErrNotExist) {
		if err := w.write(Caddyfile(nil, layout)); err != nil {
			return out, err
		}
	}
	_, others, err := w.adapt(ctx, Caddyfile(nil, layout))
	var rejected *RejectedError
	if errors.As(err, &rejected) {
		return out, &SetupError{Detail: fmt.Sprintf("%s has an error of its own, without any of our routes: %s", w.Main, rejected.Detail)}
	}
	if err != nil {
		return out, err
	}
	layout.OwnSite = foreignHosts(others, layout.PathsPort)[layout.PathsHost]
	var left []Route
	for i := range want {
		if want[i].Path == "" && foreignHosts(others, want[i].Port)[want[i].Host] {
			out.LeftOut[i] = takenReason(&want[i])
			continue
		}
		left = append(left, want[i])
	}
	text := Caddyfile(left, layout)
	main, config, err := w.adapt(ctx, text)
	if err != nil {
		return out, err
	}
	should := marked(config)
	for i := range want {
		if _, there := out.LeftOut[i]; !there && should[want[i].Name] == nil {
			out.LeftOut[i] = fmt.Sprintf("%s has a site for %s; write `import %s` into it, so that it has the routes below it", w.Main, want[i].Host, PathsSnippet)
		}
	}
	current, _, err := w.Client.Config(ctx)
	if err != nil {
		return out, err
	}
	return w.load(ctx, out, main, text, should, marked(current), force)
}

// load brings file and Caddy to where they should be.
func (w *FileWay) load(ctx context.Context, out Outcome, main, text string, should, have map[string]list, force bool) (Outcome, error) {
	written, err := os.ReadFile(w.Fragment)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, &SetupError{Detail: fmt.Sprintf("the generated Caddyfile cannot be read: %v", err)}
	}
	if w.served != nil {
		out.Drift = differences(w.served, have)
		if string(written) != w.text {
			out.Drift = append(out.Drift, w.Fragment+" was edited")
		}
	}
	if force || !reflect.DeepEqual(should, have) {
		// Before the file: what Caddy refuses must not be what it finds at its next start.
		if err := w.Client.Load(ctx, TypeCaddyfile, []byte(main), force); err != nil {
			return out, err
		}
		out.Changed = true
	}
	if string(written) != text {
		if err := w.write(text); err != nil {
			return out, err
		}
	}
	w.served, w.text = should, text
	return out, nil
}

func (w *FileWay) write(text string) error {
	if err := writeFile(w.Fragment, []byte(text), 0o644); err != nil {
		return &SetupError{Detail: fmt.Sprintf("the generated Caddyfile cannot be written: %v; give Supervisor the right to write there, say where with CADDY_SUPERVISOR_FILE, or set CADDY_MODE=api", err)}
	}
	return nil
}

// Text implements Way.
func (w *FileWay) Text(want []Route) string { return Caddyfile(want, w.Layout) }

// writeFile puts a file in one step.
func writeFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".supervisor-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error tells more
	}
	return err
}

func encode(config any) ([]byte, error) {
	body, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write Caddy's configuration: %w", err)
	}
	return body, nil
}

// WriteConfig writes a value as JSON, such as a configuration for a Caddy that is started with it, in one step and only when it
// is another one. It may hold what others should not read.
func WriteConfig(path string, config any) error {
	body, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("write Caddy's configuration: %w", err)
	}
	body = append(body, '\n')
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, body) {
		return nil
	}
	if err := writeFile(path, body, 0o600); err != nil {
		return fmt.Errorf("write Caddy's configuration: %w", err)
	}
	return nil
}
