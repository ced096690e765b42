package cli_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

func ptr[T any](v T) *T { return &v }

// services is one service in each interesting state, and two cron jobs.
func services() []v1.Object {
	service := func(name, command string, st *v1.ServiceStatus) *v1.Service {
		s := &v1.Service{TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}, Status: st}
		s.Metadata.Name, s.Spec.Command.Line = name, command
		return s
	}
	web := service("web", "uvicorn app:app --port $(PORT)", &v1.ServiceStatus{
		Phase: v1.PhaseRunning, PID: 4711, Port: 8000, StartedAt: ptr(before(3*time.Hour + 20*time.Minute)), URL: "https://web.example.com",
		Replicas: []v1.ReplicaStatus{{PID: 4711, Ready: true, StartedAt: before(3 * time.Hour)}},
		Conditions: []v1.Condition{
			{Type: v1.ConditionReady, Status: v1.ConditionTrue, Reason: "AllReady", Message: "1 of 1 replicas is ready", LastTransitionTime: before(3 * time.Hour)},
			{Type: v1.ConditionManifestValid, Status: v1.ConditionFalse, Reason: "Invalid", Message: "services/web.yaml:6: spec.comand: unknown field", LastTransitionTime: before(time.Minute)},
		},
		UpdatedAt: before(time.Minute),
	})
	web.Metadata.Labels = map[string]string{"team": "web", "tier": "front"}
	web.Spec.DependsOn = []v1.Dependency{{Name: "db", Condition: v1.DependReady}}
	web.Spec.Port.Number = 8000
	api := service("api", "./api", &v1.ServiceStatus{
		Phase: v1.PhaseBackoff, Restarts: 4, Attempts: 2, NextRestart: ptr(noon.Add(8 * time.Second)),
		LastExit: &v1.ExitInfo{
			Code: 3, StartedAt: before(5200 * time.Millisecond), At: before(2 * time.Second), Reason: "exited with code 3",
			LastLines: []string{"Traceback (most recent call last):", "\x1b[31mBrokenPipeError\x1b[0m: \x07dream"},
		},
		Conditions: []v1.Condition{
			{Type: v1.ConditionReady, Status: v1.ConditionFalse, Reason: "Backoff", Message: "exited with code 3 after 3.2s; restart 3 of 3 in 10s", LastTransitionTime: before(2 * time.Second)},
		},
	})
	api.Metadata.Labels = map[string]string{"team": "web"}
	api.Spec.Port.Auto = true
	db := service("db", "postgres", &v1.ServiceStatus{
		Phase: v1.PhaseFailed, Restarts: 3, Attempts: 3, LastExit: &v1.ExitInfo{Code: -1, Signal: "SIGKILL", OOM: true, At: before(26 * time.Hour), Reason: "killed by SIGKILL (out of memory)"},
		Conditions: []v1.Condition{
			{Type: v1.ConditionReady, Status: v1.ConditionFalse, Reason: "GaveUp", Message: "does not run", LastTransitionTime: before(26 * time.Hour)},
			{Type: v1.ConditionProgressing, Status: v1.ConditionFalse, Reason: "GaveUp", Message: "given up after 3 restarts", LastTransitionTime: before(26 * time.Hour)},
		},
	})
	fleet := service("fleet", "worker", &v1.ServiceStatus{
		Phase: v1.PhaseUnready, PID: 20, StartedAt: ptr(before(90 * time.Second)), Replicas: []v1.ReplicaStatus{
			{Index: 0, PID: 20, Port: 9001, Ready: true, StartedAt: before(90 * time.Second)},
			{Index: 1, PID: 21, Port: 9002, StartedAt: before(15 * time.Second), Message: "readiness: connection refused"},
		},
	})
	fleet.Spec.Replicas = ptr(2)
	off := service("off", "sleep 1000", &v1.ServiceStatus{Phase: v1.PhaseStopped})
	off.Spec.Enabled = ptr(false)
	fresh := service("new", "sleep 1000", nil)

	backup := &v1.CronJob{TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindCronJob}}
	backup.Metadata.Name = "backup"
	backup.Spec = v1.CronJobSpec{Command: v1.Command{Line: "python backup.py"}, Schedule: "0 2 * * *", TimeZone: "Europe/London"}
	backup.Status = &v1.CronJobStatus{LastRun: ptr(before(10 * time.Hour)), NextRun: ptr(noon.Add(14 * time.Hour)), LastSuccess: ptr(false)}
	never := &v1.CronJob{TypeMeta: backup.TypeMeta}
	never.Metadata.Name = "never"
	never.Spec = v1.CronJobSpec{Command: v1.Command{Argv: []string{"echo", "a b"}}, Schedule: "@daily", Enabled: ptr(false)}
	return []v1.Object{web, api, db, fleet, off, fresh, backup, never}
}

func history() []v1.Event {
	web, job := v1.Key{Kind: v1.KindService, Name: "web"}, v1.Key{Kind: v1.KindCronJob, Name: "backup"}
	return []v1.Event{
		{ID: 11, Time: before(3 * time.Hour), Key: web, Type: v1.EventNormal, Reason: "Started", Message: "pid 4711", Actor: "manifest services/web.yaml"},
		{ID: 12, Time: before(10 * time.Hour), Key: job, Type: v1.EventWarning, Reason: "Failed", Message: "exited with code 1", Actor: "supervisor"},
		{ID: 13, Time: before(time.Minute), Key: web, Type: v1.EventWarning, Reason: "ManifestInvalid", Message: "services/web.yaml:6: spec.comand: unknown field", Actor: "supervisor"},
		{ID: 14, Time: before(5 * time.Second), Type: v1.EventNormal, Reason: "Rescanned", Message: "nothing new"},
	}
}

// full is a supervisor with everything in it.
func full(t *testing.T) *world {
	t.Helper()
	w := newWorld(t).add(services()...)
	w.events = history()
	w.problems = []v1.Problem{
		{File: "services/web.yaml", Line: 6, Field: "spec.comand", Detail: `unknown field; did you mean "command"?`, Key: v1.Key{Kind: v1.KindService, Name: "web"}},
		{File: "half.yaml", Line: 3, Detail: "not YAML: did not find expected key"},
	}
	w.pending = []v1.Key{{Kind: v1.KindService, Name: "old"}, {Kind: v1.KindCronJob, Name: "older"}}
	w.lines = []wire.LogLine{
		{Service: "api", Stream: "stdout", Time: before(5 * time.Second), Text: "listening"},
		{Service: "api", Stream: "stderr", Time: before(3 * time.Second), Text: "Traceback"},
		{Service: "web", Stream: "stdout", Time: before(time.Second), Text: "GET / 200"},
	}
	w.shutdown = wire.Shutdown{Status: "stopped", Stopped: 5, Killed: []v1.Key{{Kind: v1.KindService, Name: "db"}}}
	w.applied = []wire.Applied{
		{Key: v1.Key{Kind: v1.KindService, Name: "web"}, Result: wire.ResultConfigured, Phase: v1.PhaseRunning, PID: 99, Message: "ready"},
		{Key: v1.Key{Kind: v1.KindService, Name: "x"}, Result: wire.ResultCreated, Phase: v1.PhaseFailed, Message: "no such program"},
		{Key: v1.Key{Kind: v1.KindCronJob, Name: "j"}, Result: wire.ResultUnchanged},
	}
	yes, no := true, false
	served := &v1.Condition{Type: v1.ConditionExposed, Status: v1.ConditionTrue, Reason: "Answers"}
	w.routes = wire.Routes{Mode: "api", State: wire.CaddyStateRejected, Message: "Caddy refuses the route of worse: no such module", Routes: []wire.Route{
		{Service: "web", URL: "https://web.test", TLS: "auto", Upstreams: []string{"127.0.0.1:8000"}, Served: true, Exposed: served, Answers: &yes, Answer: "answers 200", CheckedAt: ptr(before(time.Minute)), Milliseconds: 3.6},
		{Service: "api", URL: "https://apps.test/api/", TLS: "internal", Upstreams: []string{"{file./run/x/api/0}"}, Served: true, Exposed: served, Answers: &no, Answer: "answers 502 Bad Gateway", CheckedAt: ptr(before(time.Second))},
		{Service: "off", URL: "http://off.test", TLS: "off", Stopped: true, Served: true, Exposed: served},
		{Service: "worse", URL: "https://worse.test", TLS: "auto", Exposed: &v1.Condition{Status: v1.ConditionFalse, Message: "Caddy refuses the route: no such module"}},
	}}
	return w.serve()
}

// Each file of testdata holds what a few calls print and how they end.
func TestGolden(t *testing.T) {
	for name, calls := range map[string][]string{
		"get": {
			"get", "get svc", "get services -o wide", "get cj", "get cronjobs -o wide", "get all -o name", "get svc,cj -l team=web",
			"get svc --no-headers", "get web", "get svc web api", "get service/web cj/backup -o name", "get svc -l team=nobody",
			"get svc web wbe", "get wbe", "get nothing-like-it", "get cronjob web", "get svc/ ", "get svc,cj web", "get svc -o xml", "get svc web -l a=b",
			"get problems", "get problems -o json", "get events --no-headers", "get problems -w",
		},
		"objects":  {"get svc off -o yaml", "get cj never -o json", "get cj -o yaml", "get svc -l team=nobody -o json"},
		"describe": {"describe web", "describe svc api db", "describe fleet", "describe cronjob/backup", "describe cj never", "describe new", "describe half", "describe"},
		"events":   {"events", "events -o wide", "events --for web", "events --for cj/backup -o json", "events --types warning -o yaml", "events --types odd", "events --limit 0"},
		"verbs": {
			"start web", "stop web api", "restart service/web", "restart svc web api", "stop -l team=web", "start --all", "stop", "stop web --all",
			"stop cronjob/backup", "stop wen", "restart web nope api", "stop -l team=nobody",
		},
		"logs": {
			"logs api", "logs web api", "logs web api --timestamps --no-prefix", "logs api --previous", "logs api -p --tail 1", "logs web -p",
			"logs -l team=web -o json", "logs", "logs web --stream both", "logs web --since soon", "logs web --since-time noon", "logs web --since 1s", "logs new -p",
		},
		"delete": {
			"delete svc", "delete cj -l a=b --all extra", "delete web -o name", "delete svc web", "delete web --ignore-not-found", "delete svc/web --ignore-not-found",
			"delete svc -l team=web", "delete cj --all", "delete", "delete nothing-like-it", "get",
		},
		"house":  {"status", "version", "version --client", "version -o json", "prune", "prune -y", "prune", "shutdown", "status extra"},
		"routes": {"routes", "routes -o wide", "routes -o xml", "caddy config", "caddy config --current", "caddy reload", "caddy extra"},
		"usage":  {"gett", "get --frob", "run now", "validate", "--version", "events extra"},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t)
			var b strings.Builder
			for _, call := range calls {
				stdout, stderr, code := w.run(strings.Fields(call)...)
				fmt.Fprintf(&b, "$ supervisor %s\n%s", call, stdout)
				if stderr != "" {
					fmt.Fprintf(&b, "--- stderr\n%s", stderr)
				}
				if code != 0 {
					fmt.Fprintf(&b, "--- exit %d\n", code)
				}
				b.WriteString("\n")
			}
			golden(t, name, b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); -update writes it anew:\n%s", path, diff)
	}
}
