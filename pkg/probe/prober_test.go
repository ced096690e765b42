package probe_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/philiporange/supervisor/pkg/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is a check that answers as it is told, and remembers when it was asked.
type patient struct {
	mu     sync.Mutex
	begin  time.Time
	sickAt func(since time.Duration) bool
	asked  []time.Duration
}

func healthyFrom(d time.Duration) *patient {
	return &patient{begin: time.Now(), sickAt: func(since time.Duration) bool { return since < d }}
}

func (c *patient) Check(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := time.Since(c.begin)
	c.asked = append(c.asked, since)
	if c.sickAt(since) {
		return fmt.Errorf("sick at %s", since)
	}
	return nil
}

func (c *patient) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

// spec asks every 10 s; three failures or one success make a verdict.
func spec(c probe.Check) *probe.Spec {
	return &probe.Spec{Check: c, Period: 10 * time.Second, Timeout: time.Second, SuccessThreshold: 1, FailureThreshold: 3}
}

// story runs a prober with one target in a bubble and returns the changes that it told of, as "20s ready", "30s unready: why".
func story(t *testing.T, lasts time.Duration, set func() probe.Set) (told []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var p *probe.Prober
		var mu sync.Mutex
		p = probe.New(func(id string) {
			v, ok := p.Verdict(id)
			if !ok || !v.Known {
				t.Errorf("told of %q, of which nothing is known: %+v", id, v)
			}
			word := map[bool]string{true: "ready", false: "unready"}[v.Ready]
			if v.Failed {
				word = "failed"
			}
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s %s", time.Since(begin), word))
		})
		defer p.Close()
		s := set()
		if s.Started.IsZero() {
			s.Started = begin
		}
		p.Watch("web", s)
		<-time.After(lasts)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		told = append([]string(nil), told...)
	})
	return told
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// A target is asked every tenth of the period until its first success, then at its pace.
func TestReadyQuickly(t *testing.T) {
	t.Parallel()
	var c *patient
	got := story(t, 20*time.Second, func() probe.Set {
		c = healthyFrom(2500 * time.Millisecond)
		return probe.Set{Readiness: spec(c)}
	})
	expect(t, got, "3s ready")
	if want := "[0s 1s 2s 3s 13s]"; fmt.Sprint(c.asked) != want {
		t.Errorf("asked at %v, want %s", c.asked, want)
	}
}

// Being asked more often does not make a slow starter fail sooner: three periods are three periods.
func TestFailureThreshold(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		set  func() probe.Set
		want []string
	}{
		"readiness":              {func() probe.Set { return probe.Set{Readiness: spec(healthyFrom(time.Hour))} }, []string{"20s unready"}},
		"startup fails for good": {func() probe.Set { return probe.Set{Startup: spec(healthyFrom(time.Hour))} }, []string{"20s failed"}},
		"startup gates liveness": {func() probe.Set {
			return probe.Set{Startup: spec(healthyFrom(19 * time.Second)), Liveness: spec(healthyFrom(25 * time.Second))}
		}, []string{"19s ready"}},
		"startup without readiness": {func() probe.Set { return probe.Set{Startup: spec(healthyFrom(5 * time.Second))} }, []string{"5s ready"}},
		"startup, then readiness": {func() probe.Set {
			return probe.Set{Startup: spec(healthyFrom(5 * time.Second)), Readiness: spec(healthyFrom(8 * time.Second))}
		}, []string{"8s ready"}},
		"liveness": {func() probe.Set { return probe.Set{Liveness: spec(healthyFrom(time.Hour))} }, []string{"20s failed"}},
		"an initial delay comes first": {func() probe.Set {
			s := spec(healthyFrom(time.Hour))
			s.InitialDelay = time.Minute
			return probe.Set{Liveness: s}
		}, []string{"1m20s failed"}},
		"two failures are not three": {func() probe.Set { return probe.Set{Liveness: spec(healthyFrom(15 * time.Second))} }, nil},
		"success may need more than one": {func() probe.Set {
			s := spec(healthyFrom(2 * time.Second))
			s.SuccessThreshold = 2
			return probe.Set{Readiness: s}
		}, []string{"12s ready"}},
		"unready and recovered, told twice": {func() probe.Set {
			c := healthyFrom(0)
			c.sickAt = func(d time.Duration) bool { return d > 5*time.Second && d < 35*time.Second }
			return probe.Set{Readiness: spec(c)}
		}, []string{"0s ready", "30s unready", "40s ready"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, story(t, 2*time.Minute, tt.set), tt.want...)
		})
	}
}

// After a restart of the manager unknown is not false: the last known readiness holds until there is a verdict, and nobody
// is asked in a hurry.
func TestUnknownIsNotFalse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := probe.New(func(string) {})
		defer p.Close()
		c := healthyFrom(time.Hour)
		p.Watch("web", probe.Set{Readiness: spec(c), Started: time.Now().Add(-time.Hour), WasReady: true})
		<-time.After(19 * time.Second)
		if v, ok := p.Verdict("web"); !ok || !v.Ready || !v.Known {
			t.Errorf("before the third failure: %+v", v)
		}
		<-time.After(12 * time.Second)
		synctest.Wait()
		if v, _ := p.Verdict("web"); v.Ready || v.Message == "" {
			t.Errorf("after the third failure: %+v", v)
		}
		if n := c.times(); n > 4 {
			t.Errorf("asked %d times in half a minute", n)
		}
	})
}

// What is asked nothing that makes it ready is ready at once.
func TestOnlyLiveness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := probe.New(func(string) {})
		defer p.Close()
		p.Watch("web", probe.Set{Liveness: spec(healthyFrom(0)), Started: time.Now()})
		if v, ok := p.Verdict("web"); !ok || !v.Ready {
			t.Errorf("verdict %+v", v)
		}
	})
}

// A clock that was set back does not make a target wait for longer than its initial delay.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	got := story(t, time.Minute, func() probe.Set {
		s := spec(healthyFrom(0))
		s.InitialDelay = 5 * time.Second
		return probe.Set{Readiness: s, Started: time.Now().Add(24 * time.Hour)}
	})
	expect(t, got, "5s ready")
}

// What is forgotten is asked no more, told of no more, and may be watched anew with other probes.
func TestForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		told := 0
		p := probe.New(func(string) {
			mu.Lock()
			defer mu.Unlock()
			told++
		})
		old, renewed := healthyFrom(time.Hour), healthyFrom(0)
		p.Watch("web", probe.Set{Liveness: spec(old), Started: time.Now()})
		p.Watch("web", probe.Set{Liveness: spec(renewed), Started: time.Now()}) // asked already
		<-time.After(15 * time.Second)
		p.Forget("web")
		if _, ok := p.Verdict("web"); ok {
			t.Error("a verdict on what is forgotten")
		}
		n := old.times()
		p.Watch("web", probe.Set{Readiness: spec(renewed), Started: time.Now()})
		<-time.After(time.Minute)
		if old.times() != n || renewed.times() == 0 {
			t.Errorf("the old probe was asked %d times after it was forgotten, the new one %d times", old.times()-n, renewed.times())
		}
		p.Close()
		p.Watch("late", probe.Set{Readiness: spec(healthyFrom(0)), Started: time.Now()})
		if _, ok := p.Verdict("late"); ok {
			t.Error("asked after Close")
		}
		mu.Lock()
		defer mu.Unlock()
		if told != 1 {
			t.Errorf("told %d times, want once, of the second target", told)
		}
	})
}

// hanging never answers by itself.
type hanging struct{}

func (hanging) Check(ctx context.Context) error {
	<-ctx.Done()
	return errors.New("no answer in time")
}

// A check that hangs is a failure after its timeout, and does not hold up Close.
func TestTimeout(t *testing.T) {
	t.Parallel()
	expect(t, story(t, 2*time.Minute, func() probe.Set { return probe.Set{Liveness: spec(hanging{})} }), "23s failed")
}

// For every series of answers: told only of changes, a verdict only after as many like answers in a row as were asked for.
func TestVerdictProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		answers := rapid.SliceOfN(rapid.Bool(), 1, 40).Draw(rt, "answers")
		s := probe.Spec{
			Period: time.Second, Timeout: time.Second,
			SuccessThreshold: rapid.IntRange(1, 3).Draw(rt, "successes"), FailureThreshold: rapid.IntRange(1, 4).Draw(rt, "failures"),
		}
		synctest.Test(t, func(*testing.T) {
			n := 0
			var verdicts []bool
			var p *probe.Prober
			var mu sync.Mutex
			s.Check = checkFunc(func() error {
				mu.Lock()
				defer mu.Unlock()
				n++
				if n <= len(answers) && !answers[n-1] {
					return errors.New("no")
				}
				return nil
			})
			wrong := ""
			p = probe.New(func(id string) {
				v, _ := p.Verdict(id)
				mu.Lock()
				defer mu.Unlock()
				if len(verdicts) > 0 && verdicts[len(verdicts)-1] == v.Ready {
					wrong = "told without a change"
				}
				verdicts = append(verdicts, v.Ready)
				need := s.FailureThreshold
				if v.Ready {
					need = s.SuccessThreshold
				}
				for i := range need {
					if at := n - 1 - i; at < 0 || at < len(answers) && answers[at] != v.Ready {
						wrong = fmt.Sprintf("verdict %t after %d answers of %v", v.Ready, n, answers)
					}
				}
			})
			p.Watch("web", probe.Set{Readiness: &s, Started: time.Now()})
			<-time.After(time.Duration(len(answers)+5) * time.Second)
			p.Close()
			if wrong != "" {
				rt.Error(wrong)
			}
			if len(verdicts) == 0 || !verdicts[len(verdicts)-1] {
				rt.Errorf("at the end it answers, and the verdicts are %v", verdicts)
			}
		})
	})
}

type checkFunc func() error

func (f checkFunc) Check(context.Context) error { return f() }
