package autofix

import (
	"fmt"
	"strings"

	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/autofix/history"
)

// evidence is what an agent is given to go by.
type evidence struct {
	object, cause string
	summary       string // the failure in one line
	trace, log    string
	detail        string // what a person said
	manifest      string
	changes       string // since it last ran well
	well          string // when that was, in words
	check         string
	past          []history.Fix // repairs of the same error, the newest first
	secrets       []string
}

// Bounds of what is quoted, in bytes.
const (
	maxTrace    = 16 << 10
	maxLog      = 16 << 10
	maxManifest = 8 << 10
	maxChanges  = 24 << 10
	maxDetail   = 4 << 10
	maxPast     = 4 << 10
	pastShown   = 3
)

// prompt is what the agent is told. Everything that a program or a file says is quoted as untrusted.
func (e *evidence) prompt() string {
	p := agent.NewPrompt(e.secrets...)
	p.Say("You repair a program that a service manager runs, %s. %s Your working directory is a copy of its folder. "+
		"Find the cause and repair it with the smallest change that is right, by editing files in this folder only.", e.object, e.cause)
	p.Say("Rules: edit only what the repair needs; do not touch files outside of the working directory; do not run programs, install " +
		"packages or open network addresses; do not hide the error by catching it or by removing what fails, unless that is the right repair; " +
		"keep the style of the code. Files that may hold secrets, such as .env, have been left out of the copy: do not make them. " +
		"When no change of these files can repair it (the network is down, a package is missing), change nothing and say why.")
	if e.detail != "" {
		p.Quote("What the person who asked for the repair says is wrong", e.detail, maxDetail)
	}
	if e.summary != "" {
		p.Quote("The failure in one line", e.summary, maxDetail)
	}
	if e.trace != "" {
		p.Quote("The error", e.trace, maxTrace)
	}
	if e.log != "" {
		p.Quote("The last lines of its log", e.log, maxLog)
	}
	if e.manifest != "" {
		p.Quote("How it is started", e.manifest, maxManifest)
	}
	if e.changes != "" {
		label := "What is not committed"
		if e.well != "" {
			label = "What has changed since it last ran well, " + e.well
		}
		p.Quote(label, e.changes, maxChanges)
	}
	e.quotePast(p)
	if e.check != "" {
		p.Quote("After your change this command has to succeed; it is run for you", e.check, maxDetail)
	}
	p.Say("At the end say in at most five sentences what was wrong and what you changed.")
	return p.String()
}

func (e *evidence) quotePast(p *agent.Prompt) {
	shown := 0
	for i := range e.past {
		f := &e.past[i]
		if shown == pastShown || f.Cause == history.Restore || !f.State.Ended() {
			continue
		}
		shown++
		how := "was made, and the program ran well then"
		switch {
		case !f.Restored.IsZero():
			how = "was made, and a person undid it"
		case f.State == history.Reverted:
			how = "was made, did not help and was undone"
		case f.State == history.Rejected:
			how = "was proposed, and a person did not want it"
		case f.State != history.Applied:
			how = "came to nothing"
		}
		text := strings.TrimSpace(fmt.Sprintf("%s\n%s\n%s", f.Reason, f.Response, f.Diff))
		p.Quote(fmt.Sprintf("An earlier repair of the same error, on %s, %s", f.CreatedAt.Format("2006-01-02"), how), text, maxPast)
	}
}
