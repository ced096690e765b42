package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/examples"
	"github.com/philiporange/supervisor/pkg/caddy"
	"github.com/philiporange/supervisor/pkg/manifest"
)

// socket and config are the admin API and the configuration of the Caddy that is one of our services.
func (r *routing) socket() string { return filepath.Join(r.app.settings.CaddyDir(), "admin.sock") }
func (r *routing) config() string { return filepath.Join(r.app.settings.CaddyDir(), "caddy.json") }

// prepareCaddy makes the folder of the Caddy that is one of our services, with a configuration to start with. What is there
// already stays, but for what depends on where the folder is.
func (r *routing) prepareCaddy() error {
	s := r.app.settings
	if err := os.MkdirAll(s.CaddyDir(), 0o700); err != nil {
		return fmt.Errorf("make Caddy's folder: %w", err)
	}
	config := map[string]any{}
	text, err := os.ReadFile(r.config())
	switch {
	case err == nil:
		var old map[string]any
		if err := json.Unmarshal(text, &old); err == nil && old != nil {
			config = old
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read Caddy's configuration: %w", err)
	}
	put := func(value any, path ...string) {
		o := config
		for _, key := range path[:len(path)-1] {
			next, ok := o[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				o[key] = next
			}
			o = next
		}
		o[path[len(path)-1]] = value
	}
	put("unix/"+r.socket()+"|0600", "admin", "listen")
	put(false, "admin", "config", "persist") // it is kept here
	put(map[string]any{"module": "file_system", "root": filepath.Join(s.CaddyDir(), "storage")}, "storage")
	put(s.CaddyHTTPPort, "apps", "http", "http_port")
	put(s.CaddyPort, "apps", "http", "https_port")
	put("10s", "apps", "http", "grace_period")
	// Caddy's own authority is not put into this machine's trust store, which would ask for a password.
	put(false, "apps", "pki", "certificate_authorities", "local", "install_trust")
	return caddy.WriteConfig(r.config(), config)
}

// installCaddy puts Caddy among the manifests, unless a service of that name is there.
func (r *routing) installCaddy(ctx context.Context) {
	select {
	case <-r.app.loaded:
	case <-ctx.Done():
		return
	}
	key := v1.Key{Kind: v1.KindService, Name: "caddy"}
	if _, _, _, there := r.app.desired.Get(key); there {
		return
	}
	program := r.app.settings.CaddyProgram
	if _, err := exec.LookPath(program); err != nil {
		r.app.log.Error("there is no Caddy to run; build one with `make caddy`, install one, or name it in CADDY_PROGRAM", "program", program, "err", err)
		r.app.store.RecordEvent(v1.Event{
			Type: v1.EventWarning, Reason: "NoCaddy", Actor: "supervisor",
			Message: fmt.Sprintf("CADDY_MODE is managed, and %s is no program; build one with `make caddy`, install one, or name it in CADDY_PROGRAM", program),
		})
		return
	}
	text := []byte(examples.Caddy(program, r.app.settings.CaddyDir()))
	docs, problems := manifest.Decode("caddy.yaml", text)
	if len(problems) > 0 || len(docs) != 1 {
		r.app.log.Error("the manifest of Caddy cannot be used", "problems", fmt.Sprint(problems))
		return
	}
	if _, err := (editing{r.app}).Create(ctx, rest.Document{Object: docs[0].Object, Text: text}, "supervisor (CADDY_MODE=managed)"); err != nil && ctx.Err() == nil {
		r.app.log.Error("the manifest of Caddy cannot be written", "err", err)
	}
}
