package settings_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/philiporange/supervisor/pkg/settings"
)

// sources are those of a machine on which nothing is set.
func sources(t *testing.T) settings.Sources {
	t.Helper()
	home := t.TempDir()
	wd := filepath.Join(home, "work")
	if err := os.Mkdir(wd, 0o755); err != nil {
		t.Fatal(err)
	}
	return settings.Sources{
		Flags: map[string]string{}, WorkingDir: wd, Home: home, Executable: "/opt/bin/supervisor",
		DetectHost: func() string { return "192.0.2.7" },
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, s *settings.Settings, name string) settings.Setting {
	t.Helper()
	for _, v := range s.All() {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no setting %s", name)
	return settings.Setting{}
}

func TestDefaults(t *testing.T) {
	src := sources(t)
	s, err := settings.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(src.Home, ".supervisor")
	want := &settings.Settings{
		Dir: dir, Manifests: dir + "/manifests", Keeper: "/opt/bin/supervisor-keeper", Host: "0.0.0.0", Port: 9900,
		LogLevel: slog.LevelInfo, LogFormat: settings.LogText, RescanInterval: time.Minute, ServiceHost: "192.0.2.7", ProjectsDir: filepath.Join(src.Home, "Code"),
		CaddyAdminURL: "http://localhost:2019", CaddyDomain: "h.ph1l.uk:60443", CaddyBaseDomain: "ph1l.uk", CaddyPort: 60443,
		CaddyMode: "auto", CaddyHTTPPort: 80, CaddyStreamCloseDelay: 24 * time.Hour, CaddyConfigFile: "/etc/caddy/Caddyfile", CaddyProgram: s.CaddyProgram,
		CaddyFile: "/etc/caddy/supervisor.conf", UpstreamsDir: s.UpstreamsDir, MonitorInterval: time.Minute, CronScheduler: "builtin", CronMaxRuns: 1000, LogIndexMaxBytes: 1 << 30, LogBudget: 5000, LogMaxBytes: 10 << 20, LogBackupCount: 5,
		LogRetention: 7 * 24 * time.Hour, AutofixEnabled: true, AutofixTimeout: 5 * time.Minute, AutofixHealthy: 10 * time.Second, AutofixBackupMax: 1 << 30, MaxRestartAttempts: 3,
		Agent: settings.Agent{Timeout: 10 * time.Minute, IdleTimeout: 90 * time.Second, Turns: 2}, JobWorkers: 2,
		RestartDelay: 5 * time.Second,
	}
	if diff := cmp.Diff(want, s, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".all" }, cmp.Ignore())); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if !filepath.IsAbs(s.UpstreamsDir) || strings.HasPrefix(s.UpstreamsDir, src.Home) {
		t.Errorf("upstreams are in %q, where Caddy may not look", s.UpstreamsDir)
	}
	for _, v := range s.All() {
		source := "default"
		if v.Name == "SERVICE_HOST" {
			source = "detected"
		}
		if v.Source != source || v.Value != v.Default || v.Value == "" || v.Help == "" {
			t.Errorf("%+v: want the default from %s, and a help text", v, source)
		}
	}
	for path, got := range map[string]string{
		"supervisor.sock": s.Socket(), "supervisor.db": s.Database(), "supervisor.log": s.Log(), "token": s.Token(),
		"keeper": s.KeeperDir(), "logs": s.Logs(), "backups": s.Backups(),
	} {
		if got != filepath.Join(dir, path) {
			t.Errorf("path %s, want it below %s", got, dir)
		}
	}
	if settings.SocketIn(dir) != s.Socket() {
		t.Error("SocketIn and Socket differ")
	}
}

// The better source wins, and is remembered.
func TestPrecedence(t *testing.T) {
	src := sources(t)
	dir := filepath.Join(src.Home, "data")
	work, data := filepath.Join(src.WorkingDir, ".env"), filepath.Join(dir, ".env")
	write(t, work, "# mine\nSUPERVISOR_DIR=../data\nexport SUPERVISOR_PORT=2\nLOG_BACKUP_COUNT=\"22\"\nCADDY_PORT=222\n")
	write(t, data, "SUPERVISOR_PORT=3\nLOG_BACKUP_COUNT=33\nCADDY_PORT=333\n\nRESTART_DELAY=0\nSUPERVISOR_MANIFESTS=my\n")
	src.Environ = []string{"SUPERVISOR_PORT=11", "LOG_BACKUP_COUNT=11", "CADDY_PORT=", "junk"}
	src.Flags["SUPERVISOR_PORT"] = "1"
	s, err := settings.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{
		"SUPERVISOR_DIR":       {dir, work + ":2"},
		"SUPERVISOR_MANIFESTS": {dir + "/my", data + ":6"},
		"SUPERVISOR_PORT":      {"1", "flag --supervisor-port"},
		"LOG_BACKUP_COUNT":     {"11", "environment"},
		"CADDY_PORT":           {"222", work + ":5"},
		"RESTART_DELAY":        {"0", data + ":5"},
		"SUPERVISOR_HOST":      {"0.0.0.0", "default"},
	} {
		if got := find(t, s, name); got.Value != want[0] || got.Source != want[1] {
			t.Errorf("%s = %q from %q, want %q from %q", name, got.Value, got.Source, want[0], want[1])
		}
	}
	if s.Port != 1 || s.LogBackupCount != 11 || s.CaddyPort != 222 || s.RestartDelay != 0 || s.Dir != dir {
		t.Errorf("the fields do not hold what All says: %+v", s)
	}
	if got, err := settings.Dir(src); err != nil || got != dir {
		t.Errorf("Dir = %q, %v; want %q", got, err, dir)
	}
}

func TestValues(t *testing.T) {
	type get func(*settings.Settings) any
	port := func(s *settings.Settings) any { return s.Port }
	level := func(s *settings.Settings) any { return s.LogLevel }
	rescan := func(s *settings.Settings) any { return s.RescanInterval }
	retention := func(s *settings.Settings) any { return s.LogRetention }
	bytes := func(s *settings.Settings) any { return s.LogMaxBytes }
	autofix := func(s *settings.Settings) any { return s.AutofixEnabled }
	host := func(s *settings.Settings) any { return s.Host }
	admin := func(s *settings.Settings) any { return s.CaddyAdminURL }
	keeper := func(s *settings.Settings) any { return s.Keeper }
	manifests := func(s *settings.Settings) any { return filepath.Base(s.Manifests) }
	for _, c := range []struct {
		name, text string
		get        get
		want       any // nil: refused
		allowed    string
	}{
		{"SUPERVISOR_PORT", "0", port, 0, ""},
		{"SUPERVISOR_PORT", " 8080 ", port, 8080, ""},
		{"SUPERVISOR_PORT", "65536", port, nil, "0 to 65535"},
		{"SUPERVISOR_PORT", "http", port, nil, "0 to 65535"},
		{"CADDY_PORT", "0", port, nil, "1 to 65535"},
		{"SUPERVISOR_LOG_LEVEL", "DEBUG", level, slog.LevelDebug, ""},
		{"SUPERVISOR_LOG_LEVEL", "warning", level, slog.LevelWarn, ""},
		{"SUPERVISOR_LOG_LEVEL", "loud", level, nil, "debug, info, warn or error"},
		{"SUPERVISOR_LOG_FORMAT", "JSON", func(s *settings.Settings) any { return s.LogFormat }, "json", ""},
		{"SUPERVISOR_LOG_FORMAT", "xml", nil, nil, "text or json"},
		{"RESCAN_INTERVAL", "30", rescan, 30 * time.Second, ""},
		{"RESCAN_INTERVAL", "1h30m", rescan, 90 * time.Minute, ""},
		{"RESCAN_INTERVAL", "0", rescan, nil, "100ms"},
		{"RESCAN_INTERVAL", "-5s", rescan, nil, "number of seconds"},
		{"RESCAN_INTERVAL", "soon", rescan, nil, "5s, 2m"},
		{"LOG_RETENTION_DAYS", "1.5", retention, 36 * time.Hour, ""},
		{"LOG_RETENTION_DAYS", "12h", retention, 12 * time.Hour, ""},
		{"LOG_RETENTION_DAYS", "0", retention, nil, "days"},
		{"LOG_RETENTION_DAYS", "NaN", retention, nil, "days"},
		{"LOG_MAX_BYTES", "20Mi", bytes, int64(20 << 20), ""},
		{"LOG_MAX_BYTES", "0", bytes, nil, "Ki, Mi, Gi"},
		{"LOG_BACKUP_COUNT", "-1", nil, nil, "0 to 1000"},
		{"MAX_RESTART_ATTEMPTS", "-1", func(s *settings.Settings) any { return s.MaxRestartAttempts }, -1, ""},
		{"MAX_RESTART_ATTEMPTS", "-2", nil, nil, "-1"},
		{"AUTOFIX_ENABLED", "No", autofix, false, ""},
		{"AUTOFIX_ENABLED", "maybe", autofix, nil, "true, yes"},
		{"SUPERVISOR_HOST", "[::1]", host, "::1", ""},
		{"SUPERVISOR_HOST", "localhost", host, "localhost", ""},
		{"SUPERVISOR_HOST", "127.0.0.1:9900", host, nil, "without scheme and port"},
		{"SUPERVISOR_HOST", "http://x", host, nil, "without scheme and port"},
		{"CADDY_ADMIN_URL", "unix//run/caddy.sock", admin, "unix//run/caddy.sock", ""},
		{"CADDY_ADMIN_URL", "https://caddy:2019/", admin, "https://caddy:2019", ""},
		{"CADDY_ADMIN_URL", "localhost:2019", admin, nil, "http://localhost:2019"},
		{"CADDY_DOMAIN", "Example.com:443", func(s *settings.Settings) any { return s.CaddyDomain }, "example.com:443", ""},
		{"CADDY_DOMAIN", "https://example.com/x", nil, nil, "without scheme and path"},
		{"CADDY_DOMAIN", "a{b}.com", nil, nil, "without scheme and path"},
		{"CADDY_BASE_DOMAIN", "example.com:0", nil, nil, "without scheme and path"},
		{"CADDY_MODE", "Managed", func(s *settings.Settings) any { return s.CaddyMode }, "managed", ""},
		{"CADDY_MODE", "on", nil, nil, "auto or file or api"},
		{"CADDY_BIND", "127.0.0.1, ::1", func(s *settings.Settings) any { return strings.Join(s.CaddyBind, " ") }, "127.0.0.1 ::1", ""},
		{"CADDY_BIND", "eth0", nil, nil, "not an IP address"},
		{"CADDY_DASHBOARD", "Sv.example.com", func(s *settings.Settings) any { return s.CaddyDashboard }, "sv.example.com", ""},
		{"CADDY_DASHBOARD", "off", func(s *settings.Settings) any { return s.CaddyDashboard }, "", ""},
		{"CADDY_DASHBOARD", "a b", nil, nil, "subdomain nor a host"},
		{"SUPERVISOR_KEEPER", "external", keeper, "external", ""},
		{"SUPERVISOR_KEEPER", "/opt/../opt/keeper", keeper, "/opt/keeper", ""},
		{"SUPERVISOR_KEEPER", "~other/keeper", keeper, nil, "absolute path"},
		{"SUPERVISOR_MANIFESTS", "conf", manifests, "conf", ""},
		{"SUPERVISOR_MANIFESTS", "~other/x", manifests, nil, "absolute path"},
		{"SUPERVISOR_DIR", "/" + strings.Repeat("x", 100), nil, nil, "at most"},
		{"AGENT", "qwen", func(s *settings.Settings) any { return s.Agent.Name }, "qwen", ""},
		{"AGENT_MODEL", "auto", func(s *settings.Settings) any { return s.Agent.Model }, "", ""},
		{"AGENT_KEY_FILE", "key", func(s *settings.Settings) any { return filepath.Base(s.Agent.KeyFile) }, "key", ""},
		{"AGENT_KEY_FILE", "~other/key", nil, nil, "path of a file"},
		{"AGENT_BASE_URL", "https://models/v1", func(s *settings.Settings) any { return s.Agent.BaseURL }, "https://models/v1", ""},
		{"AGENT_BASE_URL", "models:80", nil, nil, "https://HOST/v1"},
	} {
		t.Run(c.name+"="+c.text, func(t *testing.T) {
			src := sources(t)
			src.Environ = []string{c.name + "=" + c.text}
			s, err := settings.Load(src)
			if c.want != nil {
				if err != nil {
					t.Fatal(err)
				}
				if got := c.get(s); got != c.want {
					t.Errorf("got %v, want %v", got, c.want)
				}
				return
			}
			var errs settings.Errors
			if !errors.As(err, &errs) || len(errs) != 1 {
				t.Fatalf("error %v, want one about %s", err, c.name)
			}
			for _, want := range []string{c.name, "environment", c.allowed, strings.TrimSpace(c.text)} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

// Everything that is wrong is told at once, each with its origin.
func TestAllErrorsAtOnce(t *testing.T) {
	src := sources(t)
	file := filepath.Join(src.WorkingDir, ".env")
	write(t, file, "A=1\nRESTART_DELAY=soon\n")
	src.Environ = []string{"SUPERVISOR_PORT=x"}
	src.Flags["LOG_MAX_BYTES"] = ""
	_, err := settings.Load(src)
	var errs settings.Errors
	if !errors.As(err, &errs) || len(errs) != 3 {
		t.Fatalf("error %v, want three", err)
	}
	for _, want := range []string{`SUPERVISOR_PORT: "x" (environment)`, `RESTART_DELAY: "soon" (` + file + ":2)", `LOG_MAX_BYTES: "" (flag --log-max-bytes)`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the errors do not say %s:\n%v", want, err)
		}
	}
}

// No password is shown: neither in a setting, nor in an error, nor from a file that cannot be read.
func TestSecretsAreMasked(t *testing.T) {
	const secret = "hunter2"
	src := sources(t)
	src.Environ = []string{"CADDY_ADMIN_URL=http://me:" + secret + "@caddy:2019"}
	s, err := settings.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, s, "CADDY_ADMIN_URL").Value; strings.Contains(got, secret) {
		t.Errorf("shown: %s", got)
	}
	if !strings.Contains(s.CaddyAdminURL, secret) {
		t.Errorf("the value in force has lost its password: %s", s.CaddyAdminURL)
	}
	for _, bad := range []string{"ftp://me:" + secret + "@caddy", "http://me:" + secret + "@%zz"} {
		src.Environ = []string{"CADDY_ADMIN_URL=" + bad}
		if _, err := settings.Load(src); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	src.Environ = nil
	write(t, filepath.Join(src.WorkingDir, ".env"), "SUPERVISOR_PORT=1\nthis is % no dotenv "+secret+"\n")
	if _, err := settings.Load(src); err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), ".env") {
		t.Errorf("broken .env: error %v", err)
	}
}

// The .env file of another program, in whose folder we happen to be, is none of our business.
func TestForeignDotenv(t *testing.T) {
	src := sources(t)
	write(t, filepath.Join(src.WorkingDir, ".env"), "DATABASE=x\nthis is % no dotenv\n")
	if _, err := settings.Load(src); err != nil {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(src.Home, ".supervisor", ".env"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := settings.Load(src); err != nil {
		t.Errorf("with a folder named .env: %v", err)
	}
}

// A data folder cannot be moved by the file that is found in it.
func TestDirInItsOwnDotenv(t *testing.T) {
	src := sources(t)
	dir := filepath.Join(src.Home, ".supervisor")
	for text, ok := range map[string]bool{"/elsewhere": false, dir: true} {
		write(t, filepath.Join(dir, ".env"), "SUPERVISOR_DIR="+text)
		s, err := settings.Load(src)
		if ok != (err == nil) {
			t.Errorf("SUPERVISOR_DIR=%s: error %v", text, err)
		}
		if err == nil && s.Dir != dir {
			t.Errorf("moved to %s", s.Dir)
		}
		if err != nil && !strings.Contains(err.Error(), "no effect") {
			t.Errorf("unclear: %v", err)
		}
	}
}

func TestNoHome(t *testing.T) {
	src := sources(t)
	src.Home = ""
	if _, err := settings.Load(src); err == nil || !strings.Contains(err.Error(), "SUPERVISOR_DIR") {
		t.Errorf("without a home folder: error %v", err)
	}
	src.Environ = []string{"SUPERVISOR_DIR=/srv/supervisor"}
	if s, err := settings.Load(src); err != nil || s.Dir != "/srv/supervisor" {
		t.Errorf("with a folder that is named: %v, %v", s, err)
	}
}

// The flags are those of the variables, each once.
func TestDefinitions(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range settings.Definitions() {
		if seen[d.Flag] || strings.ToUpper(strings.ReplaceAll(d.Flag, "-", "_")) != d.Name || d.Default == "" {
			t.Errorf("%+v", d)
		}
		seen[d.Flag] = true
	}
	if len(seen) < 22 {
		t.Errorf("%d settings, want all of the documented ones", len(seen))
	}
}

func TestSystem(t *testing.T) {
	src, err := settings.System(map[string]string{"SUPERVISOR_DIR": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(src.Executable) || !filepath.IsAbs(src.WorkingDir) || len(src.Environ) == 0 || src.DetectHost() == "" {
		t.Errorf("%+v", src)
	}
}
