package autofix

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/autofix/history"
)

// Trigger is a reason to repair something.
type Trigger struct {
	Key   v1.Key
	Cause history.Cause
	// Summary is the error in one line; Trace is what the program said of it.
	Summary, Trace string
	// Detail is what a person said, and Actor who that is.
	Detail, Actor string
	// Run is the execution of a cron job that failed.
	Run uint64
}

// maxSummary bounds a line that is shown in lists, in bytes.
const maxSummary = 300

// Crashed looks whether a service's last exit is one that a change of its program may mend. since is the time of the last exit that
// was looked at.
func Crashed(key v1.Key, st *v1.ServiceStatus, since time.Time) (Trigger, bool) {
	if st == nil || st.LastExit == nil || !st.LastExit.At.After(since) {
		return Trigger{}, false
	}
	e := st.LastExit
	if e.Lost || e.OOM || e.Code == 0 && e.Signal == "" || e.Signal != "" && !slices.Contains(ownFault, e.Signal) {
		return Trigger{}, false // memory, an operator, or nobody knows: no change of the program helps
	}
	if st.Attempts == 0 && st.Phase != v1.PhaseFailed && st.Phase != v1.PhaseBackoff {
		return Trigger{}, false // the restart policy is content with it
	}
	t := Trigger{Key: key, Cause: history.Crash, Trace: strings.Join(e.LastLines, "\n")}
	headline, traced := headlineOf(t.Trace)
	switch {
	case st.Attempts >= 2 || st.Phase == v1.PhaseFailed:
		t.Cause = history.Loop
	case !traced:
		return Trigger{}, false // once is no pattern, and nothing says where
	}
	t.Summary = summarise(e.Reason, headline)
	return t, true
}

// JobFailed is the trigger of a run of a cron job that failed.
func JobFailed(key v1.Key, run uint64, message, output string) Trigger {
	headline, _ := headlineOf(output)
	return Trigger{Key: key, Cause: history.Cron, Summary: summarise(message, headline), Trace: output, Run: run}
}

// ownFault are the signals that a program gives itself.
var ownFault = []string{"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP"}

func summarise(what, headline string) string {
	if headline != "" {
		what += ": " + headline
	}
	return clip(what)
}

// clip makes one line of bounded length.
func clip(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxSummary {
		text = strings.ToValidUTF8(text[:maxSummary], "") + "…"
	}
	return text
}

var (
	// opensTrace begins what the runtimes of languages print of an error that nobody handled.
	opensTrace = regexp.MustCompile(`(?m)^\s*(Traceback \(most recent call last\)|panic: |fatal error: |Exception in thread |thread '.*' panicked at|Unhandled|Uncaught |.*UnhandledPromiseRejection)`)
	// namesError is a line that says which error it is.
	namesError = regexp.MustCompile(`^(\w[\w.$]*(Error|Exception|Exit|Interrupt|Warning)\b.*|panic: .*|fatal error: .*)$`)
	// errorLine is such a line behind a time, a level and so on.
	errorLine = regexp.MustCompile(`(?i)\b(error|exception|fatal|panic)\b`)
)

// headlineOf is the line of a program's last words that says what is wrong, and whether there is a trace that says where.
func headlineOf(text string) (line string, traced bool) {
	traced = opensTrace.MatchString(text)
	lines := strings.Split(text, "\n")
	for _, form := range []*regexp.Regexp{namesError, errorLine} {
		for _, l := range slices.Backward(lines) {
			if l = strings.TrimSpace(l); form.MatchString(l) {
				return l, traced || form == namesError
			}
		}
	}
	for _, l := range slices.Backward(lines) {
		if l = strings.TrimSpace(l); l != "" {
			return l, traced
		}
	}
	return "", traced
}

var (
	// place is a line of a program in a trace.
	place = regexp.MustCompile(`File "([^"]+)", line \d+, in (\S+)|\s([\w./-]+\.(?:go|js|ts|rb|rs|java|php)):\d+`)
	// varies is what differs from one occurrence of an error to the next.
	varies = regexp.MustCompile(`0x[0-9a-fA-F]+|\d+|'[^']*'|"[^"]*"`)
)

// signature is the same for the same error: what it is, and where it was noticed, without what varies.
func signature(text string) string {
	headline, _ := headlineOf(text)
	where := ""
	if all := place.FindAllStringSubmatch(text, -1); len(all) > 0 {
		last := all[len(all)-1]
		where = last[1] + last[3] + " " + last[2]
	}
	sum := sha256.Sum256([]byte(varies.ReplaceAllString(headline, "#") + "\x00" + where))
	return hex.EncodeToString(sum[:8])
}

const (
	// enough is how often an error is logged within span before it is worth a repair.
	enough = 3
	span   = 10 * time.Minute
	// maxGroups bounds how many errors are told apart.
	maxGroups = 1000
)

// groups counts errors in logs. One goroutine owns it.
type groups map[string][]time.Time

// note counts an entry of a log, and returns a trigger when there were enough of its kind.
func (g groups) note(key v1.Key, text string, at time.Time) (Trigger, bool) {
	headline, traced := headlineOf(text)
	if !traced {
		return Trigger{}, false
	}
	id := key.String() + " " + signature(text)
	times := slices.DeleteFunc(append(g[id], at), func(t time.Time) bool { return at.Sub(t) > span })
	if len(times) < enough {
		g.store(id, times)
		return Trigger{}, false
	}
	delete(g, id)
	return Trigger{Key: key, Cause: history.Errors, Summary: summarise("the same error is logged again and again", headline), Trace: text}, true
}

// store keeps the times of an error, and forgets the error that is silent for longest when there are too many.
func (g groups) store(id string, times []time.Time) {
	g[id] = times
	if len(g) <= maxGroups {
		return
	}
	var oldest string
	for other, times := range g {
		if oldest == "" || times[len(times)-1].Before(g[oldest][len(g[oldest])-1]) {
			oldest = other
		}
	}
	delete(g, oldest)
}
