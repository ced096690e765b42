package app

import (
	"context"
	"errors"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/controllers/service"
	"github.com/philiporange/supervisor/pkg/alert"
	"github.com/philiporange/supervisor/pkg/metrics"
	"github.com/philiporange/supervisor/pkg/process"
)

const mebibyte = 1 << 20

// measuring is everything that measures, and tells people. It fits it onto the API.
type measuring struct {
	app         *App
	sampler     *metrics.Sampler
	history     *metrics.History
	instruments *metrics.Instruments
	notifier    *alert.Notifier
	channels    []alert.Channel
	programs    *programs
}

// measure makes what measures.
func (a *App) measure(p *programs) (*measuring, error) {
	m := &measuring{app: a, programs: p}
	var err error
	if m.channels, err = alert.ParseChannels(a.settings.AlertChannels); err != nil {
		return nil, err
	}
	m.notifier, err = alert.New(alert.Options{
		Channels: m.channels, StateFile: filepath.Join(a.settings.Dir, "alerts.json"), Log: a.log, OnAlert: m.alerted,
	})
	if err != nil {
		return nil, err
	}
	m.history, err = metrics.OpenHistory(filepath.Join(a.settings.Dir, "metrics.db"), metrics.HistoryOptions{
		Log: a.log, OnSetAside: func(path string, cause error) {
			a.store.RecordEvent(v1.Event{
				Type: v1.EventWarning, Reason: "MetricsSetAside", Actor: "supervisor",
				Message: "the history of metrics was damaged (" + cause.Error() + ") and begins anew; the old file is " + path,
			})
		},
	})
	if err != nil {
		return nil, err
	}
	m.sampler, err = metrics.NewSampler(m, metrics.SamplerOptions{
		Interval: a.settings.MonitorInterval, Recorder: m.history, OnSample: m.sampled, Log: a.log,
	})
	if err != nil {
		return nil, errors.Join(err, m.history.Close())
	}
	m.instruments, err = metrics.NewInstruments(Version, metrics.NewCollector(m.sampler, m, m, v1.KindService+"/"))
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *measuring) close() error { return errors.Join(m.sampler.Close(), m.history.Close()) }

// LiveRuns implements metrics.Lister.
func (m *measuring) LiveRuns() []metrics.Run {
	all := m.app.keeper.All()
	out := make([]metrics.Run, 0, len(all))
	dirs := map[string][]string{}
	for i := range all {
		r := &all[i]
		if !r.Live() || r.PID <= 0 {
			continue
		}
		watched, known := dirs[r.Owner]
		if !known {
			watched = m.watchDirs(r.Owner)
			dirs[r.Owner] = watched
		}
		out = append(out, metrics.Run{
			ID: string(r.ID), Owner: r.Owner, Replica: service.Replica(r), PID: r.PID, StartedAt: r.StartedAt, Cgroup: r.Cgroup, WatchDirs: watched,
		})
	}
	return out
}

// watchDirs are the folders whose size is charged to an object: those of its manifest, relative ones below the folder that
// it runs in, or that folder itself.
func (m *measuring) watchDirs(owner string) []string {
	key, ok := parseKey(owner)
	if !ok {
		return nil
	}
	object, _, _, ok := m.app.desired.Get(key)
	if !ok {
		return nil
	}
	switch o := object.(type) {
	case *v1.Service:
		return below(m.programs.workingDir(o), o.Spec.WatchDirs, true)
	case *v1.CronJob:
		return below(o.Spec.WorkingDir, o.Spec.WatchDirs, false)
	}
	return nil
}

func below(dir string, watched []string, itself bool) []string {
	if len(watched) == 0 {
		// A home folder or the root is no project: walking it would cost much and say nothing.
		if !itself || !filepath.IsAbs(dir) || strings.Count(filepath.Clean(dir), "/") < 3 {
			return nil
		}
		return []string{dir}
	}
	out := make([]string, 0, len(watched))
	for _, w := range watched {
		if !filepath.IsAbs(w) {
			w = filepath.Join(dir, w)
		}
		if filepath.IsAbs(w) {
			out = append(out, w)
		}
	}
	return out
}

// Current implements rest.Meter.
func (m *measuring) Current(key v1.Key) (wire.Metrics, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) //nolint:forbidigo // The list of services has one answer for all callers.
	defer cancel()
	u, err := m.sampler.Current(ctx, key.String())
	if err != nil {
		return wire.Metrics{}, false
	}
	out := wire.Metrics{CPUPercent: u.CPUPercent, MemoryMB: float64(u.MemoryBytes) / mebibyte, ChildProcesses: max(0, u.Processes-1)}
	if u.Disk != nil {
		out.DiskMB = float64(u.Disk.Bytes) / mebibyte
	}
	return out, true
}

// CurrentAll implements rest.Meter.
func (m *measuring) CurrentAll(ctx context.Context) (map[v1.Key]wire.Usage, error) {
	snap, err := m.sampler.CurrentAll(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[v1.Key]wire.Usage, len(snap.Owners))
	for owner, u := range snap.Owners {
		if key, ok := parseKey(owner); ok {
			out[key] = usage(snap.At, &u)
		}
	}
	return out, nil
}

func usage(at time.Time, u *metrics.Usage) wire.Usage {
	out := wire.Usage{
		Time: at, CPUPercent: u.CPUPercent, MemoryMB: float64(u.MemoryBytes) / mebibyte, MemoryKind: string(u.MemoryKind),
		Processes: u.Processes, Threads: u.Threads,
	}
	if u.OpenFiles >= 0 {
		out.OpenFiles = &u.OpenFiles
	}
	if u.IOKnown {
		out.ReadBytes, out.WriteBytes = &u.ReadBytes, &u.WriteBytes
	}
	if u.Disk != nil {
		mb := float64(u.Disk.Bytes) / mebibyte
		out.DiskMB, out.DiskPartial = &mb, u.Disk.Truncated
	}
	return out
}

// History implements rest.Meter.
func (m *measuring) History(ctx context.Context, key v1.Key, hours int) ([]wire.MetricsRow, error) {
	rows, err := m.history.Rows(ctx, key.String(), hours)
	if err != nil {
		return nil, err
	}
	id, _, _, _ := m.app.store.ObjectInfo(key)
	out := make([]wire.MetricsRow, len(rows))
	for i, r := range rows {
		out[i] = wire.MetricsRow{ID: uint64(r.ID), ServiceID: id, CPUPercent: r.CPUPercent, MemoryMB: r.MemoryMB, Timestamp: r.Timestamp}
		if r.DiskMB != nil {
			out[i].DiskMB = *r.DiskMB
		}
	}
	return out, nil
}

// Series implements rest.Meter.
func (m *measuring) Series(ctx context.Context, key v1.Key, hours, points int) (wire.Series, error) {
	now := time.Now()
	lines, err := m.history.Series(ctx, key.String(), metrics.SeriesQuery{From: now.Add(-time.Duration(hours) * time.Hour), To: now, MaxPoints: points})
	out := wire.Series{Points: []wire.SeriesPoint{}}
	if err != nil || len(lines) == 0 {
		return out, err
	}
	for _, p := range lines[0].Points {
		point := wire.SeriesPoint{
			Time: p.At, StepSeconds: p.Step.Seconds(), CPUPercent: p.CPUPercent, CPUMax: p.CPUMax, MemoryMB: float64(p.MemoryBytes) / mebibyte,
			MemoryMaxMB: float64(p.MemoryMax) / mebibyte, Threads: p.Threads, Processes: p.Processes, OpenFiles: p.OpenFiles,
			ReadBytes: p.ReadBytes, WriteBytes: p.WriteBytes,
		}
		if p.DiskBytes != nil {
			mb := float64(*p.DiskBytes) / mebibyte
			point.DiskMB = &mb
		}
		out.Points = append(out.Points, point)
	}
	return out, nil
}

// The grid of small charts: an hour in steps of two minutes.
const (
	recentStep  = 2 * time.Minute
	recentSteps = 30
)

// Recent implements rest.Meter.
func (m *measuring) Recent(ctx context.Context) (wire.Recent, error) {
	start, owners, err := m.history.Recent(ctx, recentStep, recentSteps)
	if err != nil {
		return wire.Recent{}, err
	}
	out := wire.Recent{Start: start, StepSeconds: int(recentStep / time.Second), Services: map[string]wire.Trail{}, CronJobs: map[string]wire.Trail{}}
	for owner, b := range owners {
		key, ok := parseKey(owner)
		if !ok {
			continue
		}
		trail := wire.Trail{CPUPercent: make([]*float64, recentSteps), MemoryMB: make([]*float64, recentSteps)}
		for i := range recentSteps {
			if b.CPUPercent[i] != nil {
				// A tenth is all that such a chart can show.
				trail.CPUPercent[i] = new(math.Round(*b.CPUPercent[i]*10) / 10)
				trail.MemoryMB[i] = new(math.Round(float64(*b.MemoryBytes[i])/mebibyte*10) / 10)
			}
		}
		if key.Kind == v1.KindService {
			out.Services[key.Name] = trail
		} else {
			out.CronJobs[key.Name] = trail
		}
	}
	return out, nil
}

// Processes implements rest.Meter.
func (m *measuring) Processes(_ context.Context, key v1.Key) ([]wire.Process, error) {
	runs := map[int]*process.Run{}
	var leaders []int
	for _, r := range m.app.keeper.Runs(key.String()) {
		if r.Live() {
			runs[r.PID] = &r
			leaders = append(leaders, r.PID)
		}
	}
	procs, err := metrics.Processes(leaders)
	out := make([]wire.Process, len(procs))
	for i, p := range procs {
		run := runs[p.Leader]
		out[i] = wire.Process{
			PID: p.PID, PPID: p.PPID, Command: p.Command, CPUSeconds: p.CPU.Seconds(), MemoryMB: float64(p.Resident) / mebibyte,
			Threads: p.Threads, Started: p.Started, Run: string(run.ID), Replica: service.Replica(run),
		}
	}
	return out, err
}

// Exposition implements rest.Meter.
func (m *measuring) Exposition() http.Handler { return m.instruments.Handler() }

// Request implements rest.Meter.
func (m *measuring) Request(route, method string, status int, took time.Duration) {
	m.instruments.ObserveRequest(route, method, status, took)
}

// TestAlerts implements rest.Meter.
func (m *measuring) TestAlerts(ctx context.Context, channel string) []wire.AlertTest {
	var out []wire.AlertTest
	for _, c := range m.channels {
		if channel != "" && c.Name != channel {
			continue
		}
		result := wire.AlertTest{Channel: c.Name, OK: true}
		if err := m.notifier.Test(ctx, c.Name); err != nil {
			result.OK, result.Error = false, err.Error()
		}
		out = append(out, result)
	}
	return out
}

// QueueStates implements metrics.QueueSource.
func (m *measuring) QueueStates() []metrics.QueueState {
	f := m.app.loop.Figures()
	return []metrics.QueueState{{Name: "controllers", Depth: f.Depth, Adds: f.Added, Retries: f.Retries}}
}
