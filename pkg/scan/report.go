package scan

import (
	"slices"
	"strings"
	"time"
)

// Status grades a finding.
type Status string

// The grades.
const (
	Red   Status = "red"
	Amber Status = "amber"
	Green Status = "green"
)

// Sources of findings.
const (
	SourceSupervisor = "supervisor"
	SourceAgent      = "agent"
)

// Finding is what one check found.
type Finding struct {
	// Category is transport, headers, cookies, cors, redirects or disclosure, or an agent's own word.
	Category string `json:"category"`
	Check    string `json:"check"`
	Status   Status `json:"status"`
	// Detail is what was seen, Recommendation what to do; it is empty for green.
	Detail         string `json:"detail"`
	Recommendation string `json:"recommendation"`
	// Source is who says so: supervisor for our own checks, agent for a coding agent's opinion.
	Source string `json:"source"`
}

// Summary counts findings by grade.
type Summary struct {
	Red   int `json:"red"`
	Amber int `json:"amber"`
	Green int `json:"green"`
}

// Report is a whole scan.
type Report struct {
	ServiceName string    `json:"service_name"`
	URL         string    `json:"url"`
	ScanTime    time.Time `json:"scan_time"`
	Summary     Summary   `json:"summary"`
	Findings    []Finding `json:"findings"`
	// Requests is how many requests were made.
	Requests int `json:"requests"`
	// Notes are what could not be looked at, and why.
	Notes []string `json:"notes,omitempty"`
}

// Add adds findings, and keeps the worst first.
func (r *Report) Add(findings ...Finding) {
	r.Findings = append(r.Findings, findings...)
	rank := map[Status]int{Red: 0, Amber: 1, Green: 2}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return rank[a.Status] - rank[b.Status] })
	r.Summary = Summary{}
	for _, f := range r.Findings {
		switch f.Status {
		case Red:
			r.Summary.Red++
		case Amber:
			r.Summary.Amber++
		case Green:
			r.Summary.Green++
		}
	}
}

// grade is a finding in the making.
type grade struct {
	status         Status
	detail, advice string
}

func good(detail string) grade         { return grade{Green, detail, ""} }
func weak(detail, advice string) grade { return grade{Amber, detail, advice} }
func bad(detail, advice string) grade  { return grade{Red, detail, advice} }
func (g grade) of(category, check string) Finding {
	return Finding{Category: category, Check: check, Status: g.status, Detail: g.detail, Recommendation: g.advice, Source: SourceSupervisor}
}

// shown cuts what a stranger's server sent, and takes control characters out of it.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 160 {
		s = strings.ToValidUTF8(s[:160], "") + "…"
	}
	return s
}
