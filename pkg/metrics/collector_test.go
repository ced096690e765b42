package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

type fakeState struct {
	snap *Snapshot
	err  error
}

func (f fakeState) Snapshot(context.Context) (*Snapshot, error) { return f.snap, f.err }

func (f fakeState) ServiceStates() []ServiceState {
	return []ServiceState{
		{Name: "web", Up: 2, Ready: 2, Desired: 2, Restarts: 3, LastExitCode: new(137), StartedAt: time.Unix(1700000000, 0), SkippedLogLines: 9},
		{Name: "down"},
	}
}

func (f fakeState) CronStates() []CronState {
	return []CronState{{
		Name: "backup", LastRun: time.Unix(1700000001, 0), LastSuccess: time.Unix(1700000002, 0), LastOutcome: new(true),
		LastDuration: 1500 * time.Millisecond, NextRun: time.Unix(1700000003, 0), Succeeded: 4, Failed: 1,
	}}
}

func (f fakeState) QueueStates() []QueueState {
	return []QueueState{{Name: "controllers", Depth: 1, Active: 2, Adds: 3, Retries: 4}}
}

func fullSnapshot() *Snapshot {
	return &Snapshot{At: time.Now(), Owners: map[string]Usage{
		"Service/web": {
			CPUTime: 1500 * time.Millisecond, MemoryBytes: 4096, MemoryKind: MemoryPSS, OpenFiles: 5, Threads: 6, Processes: 2,
			ReadBytes: 7, WriteBytes: 8, IOKnown: true, Net: &Net{9, 10}, Disk: &Disk{Bytes: 11},
		},
		"Service/closed": {OpenFiles: -1, Processes: 1},
		"CronJob/backup": {Processes: 1},
	}}
}

func expose(t *testing.T, f fakeState) (string, *Instruments) {
	t.Helper()
	i, err := NewInstruments("1.2.3", NewCollector(f, f, f, "Service/"))
	must(t, err)
	i.ObserveRequest("/api/services/:name", "GET", 200, 3*time.Millisecond)
	i.ObserveRequest("", "BREW", 404, time.Millisecond)
	i.ObserveReconcile("Service", "done", time.Millisecond)
	rec := httptest.NewRecorder()
	i.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	b, err := io.ReadAll(rec.Body)
	must(t, err)
	if rec.Code != 200 {
		t.Fatalf("status %d: %s", rec.Code, b)
	}
	return string(b), i
}

func TestExposition(t *testing.T) {
	t.Parallel()
	text, _ := expose(t, fakeState{snap: fullSnapshot()})
	for _, want := range []string{
		`supervisor_service_up{service="web"} 1`, `supervisor_service_up{service="down"} 0`,
		`supervisor_service_ready{service="web"} 1`, `supervisor_service_ready{service="down"} 0`,
		`supervisor_service_restarts_total{service="web"} 3`, `supervisor_service_last_exit_code{service="web"} 137`,
		`supervisor_service_start_time_seconds{service="web"} 1.7e+09`, `supervisor_service_log_lines_skipped_total{service="web"} 9`,
		`supervisor_service_cpu_seconds_total{service="web"} 1.5`, `supervisor_service_memory_bytes{service="web"} 4096`,
		`supervisor_service_open_fds{service="web"} 5`, `supervisor_service_processes{service="web"} 2`,
		`supervisor_service_storage_read_bytes_total{service="web"} 7`, `supervisor_service_network_transmit_bytes_total{service="web"} 10`,
		`supervisor_service_disk_bytes{service="web"} 11`,
		`supervisor_cronjob_last_run_duration_seconds{cronjob="backup"} 1.5`, `supervisor_cronjob_last_run_success{cronjob="backup"} 1`,
		`supervisor_cronjob_next_run_timestamp_seconds{cronjob="backup"} 1.700000003e+09`,
		`supervisor_cronjob_runs_total{cronjob="backup",outcome="failed"} 1`,
		`supervisor_queue_depth{queue="controllers"} 1`, `supervisor_queue_adds_total{queue="controllers"} 3`,
		`supervisor_http_request_duration_seconds_count{code="200",method="GET",route="/api/services/:name"} 1`,
		`supervisor_http_request_duration_seconds_count{code="404",method="other",route="other"} 1`,
		`supervisor_reconcile_duration_seconds_count{kind="Service",result="done"} 1`,
		`supervisor_build_info{version="1.2.3"} 1`, "process_resident_memory_bytes ", "go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	for _, not := range []string{
		`last_exit_code{service="down"}`, `start_time_seconds{service="down"}`, `open_fds{service="closed"}`,
		`network_receive_bytes_total{service="closed"}`, `service="backup"`, `service="CronJob/backup"`,
	} {
		if strings.Contains(text, not) {
			t.Errorf("shown, though it is not known: %s", not)
		}
	}
}

func TestExpositionKeepsPromtoolsRules(t *testing.T) {
	t.Parallel()
	text, _ := expose(t, fakeState{snap: fullSnapshot()})
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestExpositionWithoutMeasurements(t *testing.T) {
	t.Parallel()
	text, _ := expose(t, fakeState{err: errors.New("no /proc")})
	if !strings.Contains(text, `supervisor_service_up{service="web"} 1`) || strings.Contains(text, "cpu_seconds_total{service") {
		t.Error("want the state without the usage")
	}
	i, err := NewInstruments("1", NewCollector(nil, nil, nil, ""))
	must(t, err)
	if _, err := i.Gatherer().Gather(); err != nil {
		t.Error(err)
	}
	if err := i.registry.Register(prometheus.NewGoCollector()); err == nil { //nolint:staticcheck // any second Go collector will do
		t.Error("a second collector of the same was taken")
	}
}

func TestExpositionOfABadName(t *testing.T) {
	t.Parallel()
	snap := fullSnapshot()
	snap.Owners["Service/\xff"] = Usage{}
	text, _ := expose(t, fakeState{snap: snap})
	if !strings.Contains(text, `supervisor_service_memory_bytes{service="web"} 4096`) {
		t.Error("one bad name hid the others")
	}
}
