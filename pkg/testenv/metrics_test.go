package testenv

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// get reads a path of the API over its socket into out; a *string takes the text.
func (e *Env) get(path string, out any) int {
	e.t.Helper()
	res, err := e.HTTP().Get("http://supervisor" + path)
	if err != nil {
		e.t.Fatalf("GET %s: %v", path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatalf("GET %s: %v", path, err)
	}
	if text, ok := out.(*string); ok {
		*text = string(body)
	} else if err := json.Unmarshal(body, out); err != nil {
		e.t.Fatalf("GET %s: %v\n%s", path, err, body)
	}
	return res.StatusCode
}

func TestMetricsOfATree(t *testing.T) {
	e := Start(t, "MONITOR_INTERVAL=1s")
	// A shell with two children, one of which is busy.
	e.Service("busy", `command: "sh -c 'sleep 1000 & while :; do :; done'"`)
	e.WaitPhase("busy", v1.PhaseRunning)

	var now wire.MetricsNow
	e.Wait("its use is measured", func() bool {
		e.get("/api/v1/metrics", &now)
		u := now.Services["busy"]
		return u.Processes == 2 && u.CPUPercent > 5 && u.MemoryMB > 0.1 && u.OpenFiles != nil
	})
	var tree wire.Processes
	e.get("/api/v1/services/busy/processes", &tree)
	if len(tree.Processes) != 2 || tree.Processes[0].PID != e.PID("busy") || tree.Processes[1].PPID != e.PID("busy") {
		t.Errorf("its processes are %+v", tree.Processes)
	}
	e.Wait("its history is kept", func() bool {
		var rows []wire.MetricsRow
		var series wire.Series
		e.get("/api/services/busy/metrics?hours=1", &rows)
		e.get("/api/v1/services/busy/metrics/series?hours=1", &series)
		var recent wire.Recent
		e.get("/api/v1/metrics/recent", &recent)
		if trail := recent.Services["busy"].CPUPercent; len(trail) == 0 || trail[len(trail)-1] == nil && trail[len(trail)-2] == nil {
			return false
		}
		return len(rows) >= 2 && rows[0].CPUPercent >= 0 && rows[0].Timestamp.Before(rows[1].Timestamp) && len(series.Points) >= 2
	})
	var text string
	e.get("/metrics", &text)
	for _, want := range []string{
		`supervisor_service_up{service="busy"} 1`, `supervisor_service_ready{service="busy"} 1`, `supervisor_build_info{`,
		`supervisor_reconcile_duration_seconds_count{kind="Service",result="done"}`, `supervisor_http_request_duration_seconds_count{code="200",method="GET",route="/api/v1/metrics"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Errorf("/metrics: %v", err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "supervisor_") { // the others are those of every Go program
			t.Errorf("/metrics: %s: %s", p.Metric, p.Text)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestAlertsArrive(t *testing.T) {
	var mu sync.Mutex
	var got []string
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(body))
	}))
	defer hook.Close()
	has := func(words ...string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, body := range got {
				found := true
				for _, w := range words {
					found = found && strings.Contains(body, w)
				}
				if found {
					return true
				}
			}
			return false
		}
	}

	e := Start(t, "ALERT_CHANNELS=ops=webhook+"+hook.URL+"/secret-path")
	if out, code := e.CLI("alert", "test"); code != 0 || !strings.Contains(out, "ops: sent") {
		t.Errorf("alert test: %d\n%s", code, out)
	}
	e.Wait("the test message arrives", has("This is a test"))

	e.Service("bad", "command: sh -c 'exit 3'\nrestart: {maxAttempts: 1, delay: 10ms}")
	e.WaitPhase("bad", v1.PhaseFailed)
	e.Wait("people are told of the crash loop", has("CrashLoop", "Service/bad", "firing"))
	e.Service("bad", "command: sleep 1000")
	e.Wait("people are told of the recovery", has("CrashLoop", "Service/bad", "resolved"))

	e.Service("quiet", "command: sh -c 'exit 3'\nrestart: {maxAttempts: 1, delay: 10ms}\nalerts: {enabled: false}")
	e.WaitPhase("quiet", v1.PhaseFailed)
	if has("Service/quiet")() {
		t.Error("people are told of what they did not want to be told of")
	}
	// A job whose run does not end costs its second instant.
	e.job("hung", "schedule: \"* * * * * *\"\nseconds: true\ncommand: sleep 1000")
	e.Wait("people are told of the hung run", has("CronMissed", "CronJob/hung", "firing"))
	e.job("bad", "schedule: \"* * * * * *\"\nseconds: true\ncommand: \"false\"")
	e.Wait("people are told of the failed run", has("CronFailed", "CronJob/bad", "firing"))

	if out := e.Output(); strings.Contains(out, "secret-path") {
		t.Errorf("the log tells the address of a channel:\n%s", out)
	}
}

func TestLoginLink(t *testing.T) {
	e := Start(t)
	out, code := e.CLI("login")
	link := strings.Fields(out + " -")[0]
	if code != 0 || !strings.HasPrefix(link, "http://127.0.0.1:") {
		t.Fatalf("login: %d\n%s", code, out)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for i, logsIn := range []bool{true, false} {
		res, err := client.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := len(res.Cookies()) > 0; got != logsIn {
			t.Errorf("use %d of the link: status %d, cookie %v", i+1, res.StatusCode, got)
		}
	}
}
