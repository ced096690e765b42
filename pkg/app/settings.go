package app

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/examples"
	"github.com/philiporange/supervisor/pkg/alert"
	"github.com/philiporange/supervisor/pkg/command"
	"github.com/philiporange/supervisor/pkg/sqlite"
)

// maxMeasured bounds how many files are looked at to tell the size of a folder.
const maxMeasured = 100_000

// effectiveSettings is how we are set up.
func (a *App) effectiveSettings(ctx context.Context) (wire.Settings, error) {
	out := wire.Settings{
		Version: a.version(), SQLite: sqlite.Version(), UptimeSeconds: time.Since(a.started).Seconds(),
		Settings: []wire.Setting{}, AlertChannels: []wire.AlertChannel{},
	}
	for _, s := range a.settings.All() {
		out.Settings = append(out.Settings, wire.Setting(s))
	}
	channels, err := alert.ParseChannels(a.settings.AlertChannels)
	if err != nil {
		return out, fmt.Errorf("read the alert channels: %w", err)
	}
	for _, c := range channels {
		out.AlertChannels = append(out.AlertChannels, wire.AlertChannel{Name: c.Name, Form: string(c.Form)})
	}
	out.Data = dataSizes(ctx, a.settings.Dir)
	return out, nil
}

// dataSizes is what the parts of the data folder take, the largest first.
func dataSizes(ctx context.Context, dir string) []wire.DataSize {
	parts := []wire.DataSize{
		{Path: "supervisor.db", About: "status, intents, events"},
		{Path: "logs.db", About: "index of logs"},
		{Path: "metrics.db", About: "history of figures"},
		{Path: "cron.db", About: "ledger of cron jobs"},
		{Path: "fixes.db", About: "history of repairs"},
		{Path: "logs", About: "output of services"},
		{Path: "runs", About: "output of cron jobs"},
		{Path: "backups", About: "backups before repairs"},
		{Path: "keeper", About: "journal of the keeper"},
		{Path: "supervisor.log", About: "the supervisor's own log"},
	}
	out := make([]wire.DataSize, 0, len(parts))
	for _, p := range parts {
		// A database has its -wal and -shm beside it, a log its rotated files.
		found, err := filepath.Glob(filepath.Join(dir, p.Path) + "*")
		if err != nil {
			continue
		}
		for _, path := range found {
			if base := filepath.Base(path); base == p.Path || strings.Contains(p.Path, ".") {
				measure(ctx, path, &p)
			}
		}
		if p.Files > 0 {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(x, y wire.DataSize) int { return int(min(1, max(-1, y.Bytes-x.Bytes))) })
	return out
}

// measure adds what is below a path. What goes away meanwhile does not count.
func measure(ctx context.Context, path string, size *wire.DataSize) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil || size.Files >= maxMeasured {
			return fs.SkipAll
		}
		if !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			size.Bytes += info.Size()
			size.Files++
		}
		return nil
	})
}

// environment is what the first replica's next process is given.
func (a *App) environment(svc *v1.Service) (wire.Environment, error) {
	p := programs{manifests: a.settings.Manifests, logs: a.settings.Logs(), origin: a.file}
	port := svc.Spec.Port.Number
	if st := a.store.Status(svc.Key()); st != nil && st.Port != 0 {
		port = st.Port
	}
	request, _, err := p.request(svc, 0, port)
	if err != nil {
		return wire.Environment{}, err
	}
	request.Origins = map[string]string{}
	resolved, err := command.Resolve(request)
	if err != nil {
		return wire.Environment{}, err
	}
	out := wire.Environment{Argv: resolved.Argv, Dir: resolved.Dir, Shell: resolved.Shell, User: svc.Spec.User, Variables: []wire.Variable{}}
	for _, v := range resolved.Env {
		name, value, _ := strings.Cut(v, "=")
		out.Variables = append(out.Variables, wire.Variable{Name: name, Value: value, Origin: request.Origins[name]})
	}
	return out, nil
}

// templates are those that ship.
func templates() []wire.Template {
	all := examples.Templates()
	out := make([]wire.Template, len(all))
	for i, t := range all {
		out[i] = wire.Template(t)
	}
	return out
}
