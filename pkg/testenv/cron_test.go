package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// job drops a cron job with the given lines below spec, and waits until it is known.
func (e *Env) job(name, spec string) {
	e.t.Helper()
	e.Write("cron/"+name+".yaml", strings.Replace(Manifest(name, spec), "kind: Service", "kind: CronJob", 1))
	e.Wait("cron job "+name+" is scheduled", func() bool {
		var c wire.Cron
		return e.get("/api/cron/"+name, &c) == http.StatusOK && c.NextRun != nil
	})
}

// send sends a request with a JSON body and reads the answer.
func (e *Env) send(method, path string, body, out any) int {
	e.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		e.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(e.t.Context(), method, "http://supervisor"+path, bytes.NewReader(data))
	if err != nil {
		e.t.Fatal(err)
	}
	res, err := e.HTTP().Do(req)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		e.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode
}

// waitRun waits for the end of an execution.
func (e *Env) waitRun(name string, id uint64) (x wire.Execution) {
	e.t.Helper()
	e.Wait(fmt.Sprintf("execution %d of %s ends", id, name), func() bool {
		return e.get(fmt.Sprintf("/api/cron/%s/executions/%d", name, id), &x) == http.StatusOK && x.FinishedAt != nil
	})
	return x
}

func TestCronRuns(t *testing.T) {
	e := Start(t)
	e.job("each", "schedule: \"* * * * * *\"\nseconds: true\ncommand: sh -c 'echo out; echo err >&2; exit 3'")
	var found []wire.Execution
	e.Wait("it runs as scheduled", func() bool {
		e.get("/api/cron/each/executions", &found)
		return len(found) >= 3 && found[1].FinishedAt != nil
	})
	x := found[1]
	if x.ExitCode == nil || *x.ExitCode != 3 || x.Stdout != "out\n" || x.Stderr != "err\n" || *x.Success || x.State != "failed" || x.Trigger != "schedule" {
		t.Errorf("an execution is %+v", x)
	}
	seen := map[time.Time]bool{}
	for _, x := range found {
		if seen[x.Scheduled] {
			t.Errorf("%s ran twice", x.Scheduled)
		}
		seen[x.Scheduled] = true
	}
	var all wire.CronStatus
	e.get("/api/cron/status", &all)
	if all.Total != 1 || all.Enabled != 1 || all.Jobs[0].ScheduleDescription == "" || all.Jobs[0].Failures24h < 2 || *all.Jobs[0].LastSuccess {
		t.Errorf("the status is %+v", all)
	}
	var gone wire.Deleted
	if code := e.send(http.MethodDelete, "/api/cron/each", nil, &gone); code != http.StatusOK || gone.Status != "deleted" {
		t.Errorf("delete: %d %+v", code, gone)
	}
	var problem struct{ Status int }
	if code := e.get("/api/cron/each/executions", &problem); code != http.StatusNotFound {
		t.Errorf("the executions of a deleted job: %d", code)
	}
}

func TestCronContract(t *testing.T) {
	e := Start(t)
	var c wire.Cron
	fields := map[string]any{"name": "nightly", "command": "sh -c 'echo $A; sleep 1000 & sleep 1000'", "schedule": "30 3 * * *", "env_vars": map[string]string{"A": "b"}, "timeout": 60}
	if code := e.send(http.MethodPost, "/api/cron", fields, &c); code != http.StatusOK || c.Name != "nightly" || c.ID == 0 || c.NextRun == nil || c.Timeout != 60 || c.EnvVars["A"] != "b" {
		t.Fatalf("create: %d %+v", code, c)
	}
	var wrong struct {
		Status int
		Errors []v1.FieldError
	}
	if code := e.send(http.MethodPost, "/api/cron", fields, &wrong); code != http.StatusConflict {
		t.Errorf("create again: %d", code)
	}
	bad := map[string]any{"name": "bad", "command": "true", "schedule": "61 * * * *"}
	if code := e.send(http.MethodPost, "/api/cron", bad, &wrong); code != http.StatusBadRequest || len(wrong.Errors) != 1 || wrong.Errors[0].Field != "schedule" {
		t.Errorf("create with a bad schedule: %d %+v", code, wrong)
	}
	if code := e.send(http.MethodPut, "/api/cron/nightly", map[string]any{"schedule": "0 4 * * *", "timeout": 1.5}, &c); code != http.StatusOK || c.Schedule != "0 4 * * *" || c.Timeout != 1.5 {
		t.Errorf("update: %d %+v", code, c)
	}
	var v wire.CronValidation
	if code := e.get("/api/cron/validate?schedule=*/15+*+*+*+*", &v); code != http.StatusOK || !v.Valid || len(v.NextRuns) != 5 || v.Description == "" {
		t.Errorf("validate: %d %+v", code, v)
	}
	if code := e.get("/api/cron/validate?schedule=nonsense", &v); code != http.StatusOK || v.Valid || v.Message == "" {
		t.Errorf("validate nonsense: %d %+v", code, v)
	}
	var run, again wire.CronRun
	e.send(http.MethodPost, "/api/cron/nightly/run", nil, &run)
	e.send(http.MethodPost, "/api/cron/nightly/run", nil, &again)
	if run.Status != "started" || again.Status != "already_running" || run.ExecutionID != again.ExecutionID {
		t.Errorf("two orders to run: %+v, %+v", run, again)
	}
	// The timeout ends it with its child.
	if x := e.waitRun("nightly", run.ExecutionID); x.State != "timedOut" || *x.Success || x.Stdout != "b\n" {
		t.Errorf("the run ended as %+v", x)
	}
	if left := WithEnv("SUPERVISOR_CRONJOB=nightly"); len(left) > 0 {
		t.Errorf("processes %v of the run are left", left)
	}
	var tick wire.CronTick
	if code := e.send(http.MethodPost, "/api/cron/tick", nil, &tick); code != http.StatusOK || tick.Status != "ok" || tick.ExecutionIDs == nil {
		t.Errorf("tick: %d %+v", code, tick)
	}
	e.send(http.MethodPut, "/api/cron/nightly", map[string]any{"timeout": 600}, &c)
	e.send(http.MethodPost, "/api/cron/nightly/run", nil, &run)
	var stopped wire.Stopped
	e.send(http.MethodPost, "/api/cron/nightly/stop", nil, &stopped)
	if x := e.waitRun("nightly", run.ExecutionID); stopped.Status != "stopped" || x.State != "stopped" {
		t.Errorf("stop: %+v, the run %+v", stopped, x)
	}
	e.send(http.MethodPost, "/api/cron/nightly/stop", nil, &stopped)
	if stopped.Status != "not_running" {
		t.Errorf("stop again: %+v", stopped)
	}
}

func TestCronSurvivesTheManager(t *testing.T) {
	e := Start(t)
	const jobs = 10
	ids := make([]uint64, jobs)
	for i := range jobs {
		name := fmt.Sprintf("j%d", i)
		e.job(name, fmt.Sprintf("schedule: \"0 0 1 1 *\"\ncommand: sh -c 'echo begin; while [ ! -e %s/go ]; do sleep 0.05; done; echo end %d; exit %d'", e.Dir, i, i))
		var run wire.CronRun
		e.send(http.MethodPost, "/api/cron/"+name+"/run", nil, &run)
		ids[i] = run.ExecutionID
		e.Wait("it has begun", func() bool {
			var x wire.Execution
			e.get(fmt.Sprintf("/api/cron/%s/executions/%d", name, ids[i]), &x)
			return x.State == "running"
		})
	}
	e.KillManager()
	e.WaitManager()
	e.Write("../go", "") // half of what they have to do happens while nobody looks
	e.StartManager()
	for i := range jobs {
		x := e.waitRun(fmt.Sprintf("j%d", i), ids[i])
		if x.ExitCode == nil || *x.ExitCode != i || x.Stdout != fmt.Sprintf("begin\nend %d\n", i) {
			t.Errorf("run %d ended as %+v", i, x)
		}
	}
}

func TestCronCLI(t *testing.T) {
	e := Start(t)
	e.job("hello", "schedule: \"30 3 * * *\"\ntimeZone: Europe/London\ncommand: sh -c 'echo hello; exit 4'")
	for _, tt := range []struct {
		args string
		code int
		want []string
	}{
		{"cron next hello -n 2", 0, []string{"03:30:00", "in "}},
		{"cron run hello --wait", 4, []string{"hello"}},
		{"cron history hello", 0, []string{"failed", "4", "SCHEDULED"}},
		{"cron run nobody", 1, nil},
		{"get cronjobs", 0, []string{"hello", "30 3 * * *"}},
		{"describe cronjob/hello", 0, []string{"30 3 * * *"}},
	} {
		out, code := e.CLI(strings.Fields(tt.args)...)
		if code != tt.code {
			t.Errorf("%s: exit code %d, want %d\n%s", tt.args, code, tt.code, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: lacks %q\n%s", tt.args, want, out)
			}
		}
	}
	e.Write("../tab", "A=b\n*/5 * * * * echo $A\n@reboot sleep 1\n")
	out, code := e.CLI("import", "crontab", e.Dir+"/tab", "-d", e.Dir+"/made")
	if code != 0 || len(strings.Fields(out)) != 2 {
		t.Errorf("import: %d\n%s", code, out)
	}
	if out, code := e.CLI("validate", e.Dir+"/made"); code != 0 {
		t.Errorf("what was imported is not valid: %d\n%s", code, out)
	}
}
