package autofix

import (
	"fmt"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/autofix/history"
)

// day is the span of the budget.
const day = 24 * time.Hour

// verdict says whether a repair is tried, and when to ask again if it is not.
type verdict struct {
	Go     bool
	Reason string
	// Again is when the answer may be another one; zero means that it stays.
	Again time.Time
}

// admit decides whether a failure is worth an agent's time and money. past are the repairs of the object, the newest first. A person
// who asks is not held back by what holds us back.
func admit(now time.Time, enabled bool, policy *v1.Autofix, cause history.Cause, past []history.Fix) verdict {
	for i := range past {
		if f := &past[i]; !f.State.Ended() {
			return verdict{Reason: fmt.Sprintf("fix %d of it is %s", f.ID, f.State), Again: later(now, f.State)}
		}
	}
	if cause == history.Hand {
		return verdict{Go: true}
	}
	p := policyOf(policy)
	switch {
	case !enabled:
		return verdict{Reason: "repairs are switched off (AUTOFIX_ENABLED)"}
	case !p.enabled:
		return verdict{Reason: "its manifest switches repairs off (spec.autofix.enabled)"}
	}
	if len(past) > 0 {
		if until := past[0].CreatedAt.Add(p.cooldown); until.After(now) {
			return verdict{Reason: fmt.Sprintf("fix %d was tried %s ago; the next waits until %s have passed", past[0].ID, now.Sub(past[0].CreatedAt).Round(time.Second), p.cooldown), Again: until}
		}
	}
	var spent int
	var oldest time.Time
	for i := range past {
		if f := &past[i]; f.Cause != history.Hand && f.Cause != history.Restore && f.CreatedAt.After(now.Add(-day)) {
			spent++
			oldest = f.CreatedAt
		}
	}
	if spent >= p.perDay {
		return verdict{Reason: fmt.Sprintf("%d repairs were tried in 24 hours, which is all that is allowed (spec.autofix.maxPerDay)", spent), Again: oldest.Add(day)}
	}
	return verdict{Go: true}
}

// askAgain is when to look again at something that another repair keeps from being repaired.
const askAgain = time.Minute

// later is when to ask again while another repair goes on. One that waits for a person holds everything.
func later(now time.Time, s history.State) time.Time {
	if s == history.Proposed {
		return time.Time{}
	}
	return now.Add(askAgain)
}

// policy is what a manifest says, with what holds where it does not.
type policy struct {
	enabled, propose bool
	agent, model     string
	check            string
	cooldown         time.Duration
	perDay           int
}

func policyOf(a *v1.Autofix) policy {
	p := policy{enabled: true, cooldown: v1.DefaultCooldown, perDay: v1.DefaultFixesPerDay}
	if a == nil {
		return p
	}
	p.enabled = a.Enabled == nil || *a.Enabled
	p.propose, p.agent, p.model, p.check = a.Mode == v1.AutofixPropose, a.Agent, a.Model, a.Check
	p.cooldown = a.Cooldown.Or(v1.DefaultCooldown)
	if a.MaxPerDay != nil {
		p.perDay = *a.MaxPerDay
	}
	return p
}
