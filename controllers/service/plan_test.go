package service

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// scene is an input with one wanted slot, and a state that knows of it.
func scene(edit ...func(in *input, s *state)) (input, state) {
	svc := service("web")
	in := input{
		now: noon, svc: svc, want: true, revision: "r1", session: "s1", policy: "p",
		limits:   limits{delay: time.Second, maxDelay: time.Minute, resetAfter: time.Minute, maxAttempts: 3},
		programs: map[place]resolved{{0, 0}: {program: Program{Hash: "h1"}}},
	}
	s := recall(nil)
	s.revision, s.session = "r1", "s1"
	for _, e := range edit {
		e(&in, &s)
	}
	return in, s
}

// runs puts a live run there, as a start by this version a minute ago left it.
func running(in *input, _ *state) {
	in.runs = append(in.runs, process.Run{
		ID: "Service/web/0/1", Slot: "Service/web/0", Owner: "Service/web", State: process.Running, PID: 7,
		StartedAt: noon.Add(-time.Minute), Labels: map[string]string{labelHash: "h1", labelRevision: "r1"},
	})
}

func ended(code int) func(*input, *state) {
	return func(in *input, s *state) {
		running(in, s)
		in.runs[0].State, in.runs[0].Exit = process.Exited, &process.Exit{Code: code, At: noon}
	}
}

func slot0(change func(*slot)) func(*input, *state) {
	return func(_ *input, s *state) {
		sl := s.slots[0]
		change(&sl)
		s.slots[0] = sl
	}
}

func intent(verb v1.IntentVerb, at time.Time) func(*input, *state) {
	return func(in *input, _ *state) {
		in.intent = &v1.Intent{ID: "i1", Verb: verb, Time: at, Actor: "user:1000"}
		in.want = verb != v1.IntentStop
		in.whyNot = "it was stopped by user:1000"
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	type edits = []func(*input, *state)
	failing := slot0(func(s *slot) { s.failed, s.attempts, s.tried, s.message = true, 3, "h1/p", "given up" })
	waiting := slot0(func(s *slot) {
		s.attempts, s.tried, s.nextStart, s.reason = 1, "h1/p", noon.Add(10*time.Second), "BackingOff"
	})
	probed := func(v probe.Verdict) func(*input, *state) {
		return func(in *input, _ *state) {
			in.svc = service("web", func(s *v1.ServiceSpec) { s.Probes.Readiness = execProbe("ready", time.Second) })
			in.verdicts = map[process.RunID]probe.Verdict{"Service/web/0/1": v}
		}
	}
	for name, tt := range map[string]struct {
		edits   edits
		want    string // actions
		phase   v1.Phase
		reason  string
		next    time.Duration
		message string
	}{
		"nothing there":    {nil, "start 0", v1.PhasePending, "Starting", 0, ""},
		"it runs":          {edits{running}, "", v1.PhaseRunning, "Running", 0, "runs"},
		"not wanted, runs": {edits{running, func(in *input, _ *state) { in.want, in.whyNot = false, "it is not enabled" }}, "stop Stopping", v1.PhaseStopping, "Stopping", 0, "not enabled"},
		"not wanted, gone": {edits{func(in *input, _ *state) { in.want, in.whyNot = false, "it is not enabled" }}, "", v1.PhaseStopped, "Stopped", 0, "not enabled"},
		"manifest gone":    {edits{running, func(in *input, _ *state) { in.svc, in.want, in.whyNot = nil, false, "its manifest is gone" }}, "stop Stopping", v1.PhaseStopping, "Stopping", 0, "gone"},
		"stopped":          {edits{running, intent(v1.IntentStop, noon)}, "stop Stopping", v1.PhaseStopping, "Stopping", 0, "user:1000"},
		"stopping already": {edits{running, intent(v1.IntentStop, noon), func(in *input, _ *state) { in.runs[0].State = process.Stopping }}, "", v1.PhaseStopping, "Stopping", 0, ""},
		"another program":  {edits{running, func(in *input, _ *state) { in.programs[place{0, 0}] = resolved{program: Program{Hash: "h2"}} }}, "stop Replacing", v1.PhaseStopping, "Replacing", 0, "env file"},
		"another program, blocked": {edits{running, func(in *input, _ *state) {
			in.programs[place{0, 0}] = resolved{program: Program{Hash: "h2"}, blocked: "port 1"}
		}}, "", v1.PhaseRunning, "Running", blockedLook, ""},
		"restart asked for":          {edits{running, intent(v1.IntentRestart, noon)}, "stop RestartedByIntent", v1.PhaseStopping, "Restarting", 0, ""},
		"restarted since":            {edits{running, intent(v1.IntentRestart, noon.Add(-time.Hour))}, "", v1.PhaseRunning, "Running", 0, ""},
		"restart done":               {edits{running, intent(v1.IntentRestart, noon), func(in *input, _ *state) { in.runs[0].Labels[labelIntent] = "i1" }}, "", v1.PhaseRunning, "Running", 0, ""},
		"exit begins a backoff":      {edits{ended(1)}, "", v1.PhaseBackoff, "BackingOff", time.Second, "exited with code 1 after 1m0s; restart 1 of 3 in 1s"},
		"exit of the last attempt":   {edits{ended(1), slot0(func(s *slot) { s.attempts = 3 })}, "", v1.PhaseFailed, "GaveUp", 0, "given up after 3 restarts"},
		"exit after health":          {edits{ended(1), slot0(func(s *slot) { s.attempts, s.run, s.readySince = 3, "Service/web/0/1", noon.Add(-time.Minute) })}, "", v1.PhaseBackoff, "BackingOff", time.Second, "restart 1 of 3"},
		"exit accounted for":         {edits{ended(1), slot0(func(s *slot) { s.lastRun = "Service/web/0/1" })}, "start 0", v1.PhasePending, "Starting", 0, ""},
		"exit of what we stopped":    {edits{ended(143), func(_ *input, s *state) { s.stops["Service/web/0/1"] = stopChanged }}, "start 0", v1.PhasePending, "Starting", 0, ""},
		"exit of what failed probes": {edits{ended(0), func(_ *input, s *state) { s.stops["Service/web/0/1"] = stopDead }}, "", v1.PhaseBackoff, "BackingOff", time.Second, ""},
		"exit, then another version": {edits{ended(1), func(in *input, _ *state) { in.programs[place{0, 0}] = resolved{program: Program{Hash: "h2"}} }}, "start 0", v1.PhasePending, "Starting", 0, ""},
		"exit, then a restart":       {edits{ended(1), intent(v1.IntentRestart, noon)}, "start 0", v1.PhasePending, "Starting", 0, ""},
		"exit, delay 0":              {edits{ended(1), func(in *input, _ *state) { in.limits.delay = 0 }}, "start 0", v1.PhasePending, "Starting", 0, ""},
		"backing off":                {edits{waiting}, "", v1.PhaseBackoff, "BackingOff", 10 * time.Second, ""},
		"backing off, edited":        {edits{waiting, func(in *input, _ *state) { in.policy = "q" }}, "start 0", v1.PhasePending, "Starting", 0, ""},
		"backing off, clock set":     {edits{waiting, slot0(func(s *slot) { s.nextStart = noon.Add(24 * time.Hour) })}, "", v1.PhaseBackoff, "BackingOff", time.Minute, ""},
		"given up":                   {edits{failing}, "", v1.PhaseFailed, "GaveUp", 0, "given up"},
		"given up, old intent":       {edits{failing, intent(v1.IntentStart, noon), func(_ *input, s *state) { s.intent = "i1" }}, "", v1.PhaseFailed, "GaveUp", 0, ""},
		"given up, new intent":       {edits{failing, intent(v1.IntentStart, noon)}, "start 0", v1.PhasePending, "Starting", 0, ""},
		"given up, new session":      {edits{failing, func(in *input, _ *state) { in.session = "s2" }}, "start 0", v1.PhasePending, "Starting", 0, ""},
		"given up, label edited":     {edits{failing, func(in *input, _ *state) { in.revision = "r2" }}, "", v1.PhaseFailed, "GaveUp", 0, ""},
		"waits for another":          {edits{func(in *input, _ *state) { in.waitsFor = "waits for db" }}, "", v1.PhasePending, "WaitingForDependency", 0, "waits for db"},
		"runs, dependency went away": {edits{running, func(in *input, _ *state) { in.waitsFor = "waits for db" }}, "", v1.PhaseRunning, "Running", 0, ""},
		"not asked yet":              {edits{running, probed(probe.Verdict{})}, "", v1.PhaseStarting, "WaitingForProbe", 0, ""},
		"ready":                      {edits{running, probed(probe.Verdict{Known: true, Ready: true})}, "", v1.PhaseRunning, "Running", 0, ""},
		"not ready any more":         {edits{running, probed(probe.Verdict{Known: true, Message: "status 500"}), slot0(func(s *slot) { s.run, s.started = "Service/web/0/1", true })}, "", v1.PhaseUnready, "ProbeFailed", 0, "status 500"},
		"dead":                       {edits{running, probed(probe.Verdict{Known: true, Failed: true, Message: "no answer"})}, "stop ProbeFailed", v1.PhaseStopping, "ProbeFailed", 0, "no answer"},
		"healthy, count pending":     {edits{running, slot0(func(s *slot) { s.run, s.attempts, s.readySince = "Service/web/0/1", 2, noon.Add(-10*time.Second) })}, "", v1.PhaseRunning, "Running", 50 * time.Second, ""},
		"shutting down, runs":        {edits{running, func(in *input, _ *state) { in.hold, in.want, in.whyNot = true, false, "shutdown" }}, "", v1.PhaseStopping, "Stopping", 0, ""},
		"shutting down, ended":       {edits{ended(143), func(in *input, _ *state) { in.hold, in.want, in.whyNot = true, false, "shutdown" }}, "", v1.PhaseStopped, "Stopped", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, before := scene(tt.edits...)
			untouched := before.clone()
			d := plan(in, before)
			if got := actions(d); got != tt.want {
				t.Errorf("actions %q, want %q", got, tt.want)
			}
			if d.phase != tt.phase || d.reason != tt.reason || !strings.Contains(d.message, tt.message) {
				t.Errorf("%s %s %q, want %s %s %q", d.phase, d.reason, d.message, tt.phase, tt.reason, tt.message)
			}
			var next time.Duration
			if !d.next.IsZero() {
				next = d.next.Sub(noon)
			}
			if next != tt.next {
				t.Errorf("next look in %s, want %s", next, tt.next)
			}
			if !reflect.DeepEqual(before, untouched) {
				t.Errorf("the state that was handed over has changed:\n%+v\n%+v", before, untouched)
			}
			// The same again decides the same, and has nothing new to tell.
			again := plan(in, d.state)
			if actions(again) != actions(d) || len(again.notes) != 0 || again.phase != d.phase {
				t.Errorf("a second look: %q, %s, %v", actions(again), again.phase, again.notes)
			}
		})
	}
}

func actions(d decision) string {
	var words []string
	for _, s := range d.starts {
		words = append(words, fmt.Sprintf("start %d", s.at.replica))
	}
	for _, s := range d.stops {
		words = append(words, "stop "+string(s.reason))
	}
	return strings.Join(words, ", ")
}

// Delays double to the cap; beyond hotLoop they are never nothing.
func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		delay, limit time.Duration
		attempts     int
		want         time.Duration
	}{
		{time.Second, time.Minute, 0, time.Second},
		{time.Second, time.Minute, 3, 8 * time.Second},
		{time.Second, time.Minute, 6, time.Minute},
		{time.Second, time.Minute, 1 << 30, time.Minute},
		{5 * time.Second, time.Second, 3, 5 * time.Second},
		{0, time.Minute, 5, 0},
		{0, time.Minute, hotLoop, hotDelay},
		{0, 0, hotLoop, hotDelay},
		{time.Nanosecond, 1 << 62, 200, 1 << 62},
	} {
		if got := backoff(limits{delay: tt.delay, maxDelay: tt.limit}, tt.attempts); got != tt.want {
			t.Errorf("backoff(%s up to %s, attempt %d) = %s, want %s", tt.delay, tt.limit, tt.attempts, got, tt.want)
		}
	}
}

func TestExitInfo(t *testing.T) {
	t.Parallel()
	yes := true
	for want, exit := range map[string]process.Exit{
		"exited with code 3":                         {Code: 3},
		"was ended by SIGKILL (out of memory)":       {Code: -1, Signal: 9, OOM: &yes},
		"was ended by SIGSEGV (core dumped)":         {Code: -1, Signal: 11, Core: true},
		"ended while nobody could see how":           {Lost: true},
		"exited with code 0; still there: 12 zfs":    {Left: []string{"12 zfs"}},
		"exited with code 1 (a process of it was ki": {Code: 1, OOM: &yes},
	} {
		info := exitInfo(process.Run{Exit: &exit})
		if !strings.HasPrefix(info.Reason, want) {
			t.Errorf("%+v reads %q, want %q", exit, info.Reason, want)
		}
		if exit.Lost && info.Code == 0 {
			t.Error("an unknown exit is told as success")
		}
	}
}

// A later run of a slot has a greater ID, whatever the clock says.
func TestRunIDs(t *testing.T) {
	t.Parallel()
	const slot = "Service/web/0"
	first := newRunID(slot, noon)
	for _, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(time.Nanosecond), noon.Add(time.Hour)} {
		if next := newRunID(slot, at, "", first, "Service/web/1/ffffffffffffffff"); next <= first || len(next) != len(first) {
			t.Errorf("%s comes after %s", next, first)
		}
	}
	if name, ok := serviceOf(first); !ok || name != "web" || replicaOf(slot) != 0 || replicaOf("Service/web/12") != 12 {
		t.Errorf("%s is of %q", first, name)
	}
	if _, ok := serviceOf("CronJob/web/0/1"); ok {
		t.Error("a job's run is taken for a service's")
	}
}

// Of a kind of event a burst is told, then one a minute, with the number of those that were not.
func TestTeller(t *testing.T) {
	t.Parallel()
	var tell teller
	n := 0
	for i := range 100 {
		if ok, _ := tell.admit("Exited", noon.Add(time.Duration(i)*time.Millisecond)); ok {
			n++
		}
	}
	if n != eventBurst {
		t.Errorf("%d of 100 told", n)
	}
	if ok, _ := tell.admit("GaveUp", noon); !ok {
		t.Error("another reason is held back too")
	}
	if ok, untold := tell.admit("Exited", noon.Add(eventPause)); !ok || untold != 80 {
		t.Errorf("after the pause: %t, %d untold", ok, untold)
	}
	if ok, _ := tell.admit("Exited", noon.Add(eventPause+time.Second)); ok {
		t.Error("more than one a minute")
	}
}
