package testenv_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// What we are set up with is told with its origin, and secrets are not.
func TestEffectiveSettings(t *testing.T) {
	t.Parallel()
	e := testenv.New(t, "ALERT_CHANNELS=phone=ntfy+https://ntfy.example/s3cr3t")
	if err := os.WriteFile(filepath.Join(e.Dir, ".env"), []byte("# ours\nRESTART_DELAY=7s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Write("web.yaml", testenv.Manifest("web", "command: sleep 1000\nenvFile: [.env]\nworkingDir: .\nenv: {API_KEY: hush, PLAIN: \"$(FROM_FILE)!\"}\n"))
	e.Write(".env", "FROM_FILE=yes\n")
	e.StartManager()
	e.PID("web")
	s, err := e.Client.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bySetting := map[string]wire.Setting{}
	for _, row := range s.Settings {
		bySetting[row.Name] = row
	}
	if got := bySetting["RESTART_DELAY"]; got.Value != "7s" || got.Source != filepath.Join(e.Dir, ".env")+":2" || got.Default != "5s" {
		t.Errorf("RESTART_DELAY is %+v", got)
	}
	if got := bySetting["SUPERVISOR_DIR"]; got.Value != e.Dir || got.Source != "environment" {
		t.Errorf("SUPERVISOR_DIR is %+v", got)
	}
	if got := bySetting["ALERT_CHANNELS"].Value; strings.Contains(got, "s3cr3t") || len(s.AlertChannels) != 1 || s.AlertChannels[0] != (wire.AlertChannel{Name: "phone", Form: "ntfy"}) {
		t.Errorf("channels %q, %v", got, s.AlertChannels)
	}
	if !strings.HasPrefix(s.SQLite, "3.") || s.UptimeSeconds <= 0 || s.Version.PID == 0 {
		t.Errorf("SQLite %q, up %v s, process %d", s.SQLite, s.UptimeSeconds, s.Version.PID)
	}
	if len(s.Data) == 0 || s.Data[0].Bytes == 0 {
		t.Errorf("data %+v", s.Data)
	}
	out, code := e.CLI("settings")
	if code != 0 || !strings.Contains(out, "RESTART_DELAY") || !strings.Contains(out, ".env:2") {
		t.Errorf("settings: %d\n%s", code, out)
	}

	env, err := e.Client.Environment(t.Context(), "web", false)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]wire.Variable{
		"API_KEY":            {Name: "API_KEY", Value: "********", Origin: "manifest", Masked: true},
		"PLAIN":              {Name: "PLAIN", Value: "yes!", Origin: "manifest"},
		"FROM_FILE":          {Name: "FROM_FILE", Value: "yes", Origin: filepath.Join(e.Manifests, ".env")},
		"SUPERVISOR_SERVICE": {Name: "SUPERVISOR_SERVICE", Value: "web", Origin: "supervisor"},
	} {
		found := wire.Variable{}
		for _, v := range env.Variables {
			if v.Name == name {
				found = v
			}
		}
		if found != want {
			t.Errorf("%s is %+v, want %+v", name, found, want)
		}
	}
	if out, code := e.CLI("env", "web", "--reveal"); code != 0 || !strings.Contains(out, "hush") {
		t.Errorf("env --reveal: %d\n%s", code, out)
	}
	// Who has not proved who it is does not get secrets.
	resp, err := http.Get(e.URL + "/api/v1/services/web/environment?reveal=true") //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("secrets without a token: %s", resp.Status)
	}
	templates, err := e.Client.Templates(t.Context())
	if err != nil || len(templates) < 6 {
		t.Errorf("%d templates, %v", len(templates), err)
	}
}

// A cron job's state is told to those who follow events: at the begin, and with each change.
func TestCronJobsInTheEventStream(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Write("job.yaml", "apiVersion: supervisor.dev/v1\nkind: CronJob\nmetadata: {name: job}\nspec: {schedule: \"0 0 1 1 *\", command: echo hello}\n")
	e.Wait("the job to be known", func() bool { _, err := e.Client.CronNext(t.Context(), "job", 1); return err == nil })
	states, snapshot := make(chan v1.CronJobStatus, 64), make(chan *v1.CronJobStatus, 1)
	ended := make(chan error, 1)
	watcher := client.Watcher{
		Snapshot: func(s wire.Snapshot) error {
			for _, o := range s.Objects {
				if o.Key.Name == "job" {
					select {
					case snapshot <- o.CronJob:
					default:
					}
				}
			}
			return nil
		},
		Change: func(c v1.Change) error {
			if c.Key.Name == "job" && c.CronJob != nil {
				states <- *c.CronJob
			}
			return nil
		},
	}
	go func() { ended <- e.Client.Watch(t.Context(), 0, watcher) }()
	if st := <-snapshot; st != nil && st.NextRun == nil {
		t.Errorf("the snapshot does not say when it is due: %+v", st)
	}
	run, err := e.Client.RunCronJob(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	x, err := e.Client.FollowRun(t.Context(), "job", run.ExecutionID, func(l wire.LogLine) { lines = append(lines, l.Text) })
	if err != nil || x.State != "succeeded" || strings.Join(lines, "\n") != "hello" {
		t.Errorf("the run: %+v, %q, %v", x, lines, err)
	}
	timeline, err := e.Client.Timeline(t.Context(), 700)
	if err != nil || len(timeline.Rows) != 1 || len(timeline.Rows[0].Past) != 1 || timeline.Rows[0].Past[0].ID != run.ExecutionID || timeline.Rows[0].Past[0].State != "succeeded" {
		t.Errorf("%+v %v", timeline, err)
	}
	ran := false
	for done := false; !done; {
		select {
		case st := <-states:
			ran = ran || st.Running
			done = ran && !st.Running && st.LastSuccess != nil && *st.LastSuccess
		case err := <-ended:
			t.Fatal(err)
		}
	}
}
