package alert

import (
	"fmt"
	"time"
)

const (
	defaultCrashLoopAfter = 3
	// cooldown is the least time between two alerts of one rule for one object: what flaps is told of at this pace.
	cooldown = 10 * time.Minute
	// hysteresis is the part of a bound, in percent, by which a figure must fall below it to be well again.
	hysteresis = 5
)

// ruleState is what is remembered of one rule for one object.
type ruleState struct {
	// Since is when the rule began to hold; zero while it does not.
	Since time.Time `json:"since,omitzero"`
	// Told is true while people have been told that it holds, and not that it ceased to.
	Told bool `json:"told,omitempty"`
	// ToldAt is when they were told last that it holds.
	ToldAt time.Time `json:"toldAt,omitzero"`
	// Channels are where they were told, so that the end goes to the same.
	Channels []string `json:"channels,omitempty"`
}

// objectState is what is remembered of one object. It is a value: decide returns a new one.
type objectState map[Rule]ruleState

// verdict is what a rule says of an observation.
type verdict struct {
	watched bool // the object's spec asks for it
	known   bool // the observation tells
	holds   bool
	since   time.Time     // when it began to hold, where that is known
	wait    time.Duration // how long it must hold before it is told
	firing  string
	well    string
}

// decide says what is to be told, what is to be remembered, and when time alone may change the answer (zero: never).
func decide(now time.Time, prev objectState, o *Observation) (next objectState, out []Alert, again time.Time) {
	next = make(objectState, len(prev))
	for _, rule := range rules() {
		st, had := prev[rule]
		v := judge(rule, o, st.Told)
		switch {
		case !v.watched:
			continue // nobody wants to know (any more), not even that it is over
		case !v.known && o.Wanted:
			// Unknown is not false: what was told stays told, what waited goes on waiting.
			if had {
				next[rule] = st
			}
			continue
		}
		var alert *Alert
		var at time.Time
		st, alert, at = step(now, st, v, o)
		if alert != nil {
			alert.Rule, alert.Object, alert.At = rule, o.Object, now
			out = append(out, *alert)
		}
		if !at.IsZero() && (again.IsZero() || at.Before(again)) {
			again = at
		}
		if !st.empty(now) {
			next[rule] = st
		}
	}
	return next, out, again
}

// step moves one rule on.
//
//	quiet ──holds──► waiting ──wait and cooldown over──► told ──ceases──► quiet (and says so)
//	                    └──────────ceases, untold───────────────────────────┘
func step(now time.Time, st ruleState, v verdict, o *Observation) (ruleState, *Alert, time.Time) {
	if !v.holds || !o.Wanted {
		told, since, channels := st.Told, st.Since, st.Channels
		st.Since, st.Told, st.Channels = time.Time{}, false, nil
		if !told {
			return st, nil, time.Time{}
		}
		a := Alert{Status: Resolved, Summary: o.Object + " " + v.well, Since: since, channels: channels}
		if !o.Wanted {
			a.Summary = o.Object + " is stopped; it is no longer watched"
		}
		return st, &a, time.Time{}
	}
	if st.Since.IsZero() {
		if st.Since = now; !v.since.IsZero() && v.since.Before(now) {
			st.Since = v.since
		}
	}
	if st.Told {
		return st, nil, time.Time{}
	}
	due := st.Since.Add(v.wait)
	if free := st.ToldAt.Add(cooldown); !st.ToldAt.IsZero() && free.After(due) {
		due = free
	}
	if now.Before(due) {
		return st, nil, due
	}
	st.Told, st.ToldAt, st.Channels = true, now, o.Spec.Channels
	return st, &Alert{Status: Firing, Summary: o.Object + " " + v.firing, Detail: o.Detail, Since: st.Since, channels: st.Channels}, time.Time{}
}

// judge reads one rule off an observation. told is whether it is told to hold: figures must fall well below a bound then.
func judge(rule Rule, o *Observation, told bool) verdict {
	switch s := &o.Spec; rule {
	case CrashLoop:
		after := s.CrashLoopAfter
		if after <= 0 {
			after = defaultCrashLoopAfter
		}
		v := verdict{watched: s.CrashLoop, known: true, well: "has recovered"}
		switch {
		case o.GaveUp:
			v.holds, v.firing = true, fmt.Sprintf("was given up after %d restarts", o.Restarts)
		case o.Restarts >= after:
			v.holds, v.firing = true, fmt.Sprintf("crashes again and again: %d restarts in a row", o.Restarts)
		case told && o.Restarts > 0:
			v.holds = true // it runs for the moment; well it is once the count was cleared
		}
		return v
	case NotReady:
		v := verdict{watched: s.NotReadyFor > 0, known: o.Ready != nil, since: o.UnreadySince, wait: s.NotReadyFor, well: "is ready again"}
		v.holds = v.known && !*o.Ready
		v.firing = fmt.Sprintf("has not been ready for %s", s.NotReadyFor)
		return v
	case UpdateFailed:
		return verdict{
			watched: s.UpdateFailed, known: o.UpdateFailed != nil, holds: o.UpdateFailed != nil && *o.UpdateFailed,
			firing: "was not updated, and what ran before runs on: " + o.UpdateError, well: "is as its manifest says again",
		}
	case CronFailed:
		v := verdict{watched: s.CronFailure, known: o.FailedRuns != nil, well: "succeeded again"}
		if v.known {
			v.holds = *o.FailedRuns >= max(1, s.FailuresInRow) || (told && *o.FailedRuns > 0)
			v.firing = "failed"
			if *o.FailedRuns > 1 {
				v.firing = fmt.Sprintf("failed %d times in a row", *o.FailedRuns)
			}
		}
		return v
	case CronMissed:
		return verdict{
			watched: s.MissedRun, known: true, holds: !o.MissedAt.IsZero(), since: o.MissedAt,
			firing: "did not run at " + o.MissedAt.Format(time.RFC3339), well: "ran again",
		}
	case Memory:
		return bounded(o.MemoryBytes, s.MemoryOver, told, "memory")
	case Disk:
		return bounded(o.DiskBytes, s.DiskOver, told, "disk space")
	}
	return verdict{}
}

func bounded(value *int64, bound int64, told bool, what string) verdict {
	v := verdict{watched: bound > 0, known: value != nil}
	if !v.watched || !v.known {
		return v
	}
	limit := bound
	if told {
		limit = bound - bound/100*hysteresis
	}
	v.holds = *value > limit
	v.firing = fmt.Sprintf("takes %s of %s, more than %s", mebibytes(*value), what, mebibytes(bound))
	v.well = fmt.Sprintf("takes %s of %s, less than %s again", mebibytes(*value), what, mebibytes(bound))
	return v
}

func mebibytes(n int64) string { return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20)) }

// empty reports that nothing need be remembered.
func (s *ruleState) empty(now time.Time) bool {
	return s.Since.IsZero() && !s.Told && now.Sub(s.ToldAt) > cooldown
}
