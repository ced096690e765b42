package history

import (
	"strings"
	"time"
)

// record is a Fix as it is stored; times are microseconds since 1970, 0 for none; files are separated by zero bytes.
type record struct {
	ID           uint64 `gorm:"primaryKey"`
	Object       string
	Folder       string
	Cause        string
	Summary      string
	Detail       string
	Signature    string
	Actor        string
	Job          string
	AgentJob     string
	State        string
	Propose      bool
	Agent        string
	Model        string
	Response     string
	Diff         string
	Files        string
	Backup       string
	Restored     int64
	Reason       string
	Wanted       bool
	Run          uint64
	Of           uint64
	InputTokens  int
	OutputTokens int
	CostUSD      float64 `gorm:"column:cost_usd"`
	CreatedAt    int64   `gorm:"autoCreateTime:false"`
	EndedAt      int64
}

func (record) TableName() string { return "fixes" }

type wellRecord struct {
	Object   string `gorm:"primaryKey"`
	Revision string
	At       int64
}

func (wellRecord) TableName() string { return "well" }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

func toRecord(f *Fix) record {
	return record{
		ID: f.ID, Object: f.Object, Folder: f.Folder, Cause: string(f.Cause), Summary: f.Summary, Detail: f.Detail, Signature: f.Signature,
		Actor: f.Actor, Job: f.Job, AgentJob: f.AgentJob, State: string(f.State), Propose: f.Propose, Agent: f.Agent, Model: f.Model, Response: f.Response,
		Diff: f.Diff, Files: strings.Join(f.Files, "\x00"), Backup: f.Backup, Restored: micros(f.Restored), Reason: f.Reason, Wanted: f.Wanted, Run: f.Run,
		Of: f.Of, InputTokens: f.InputTokens, OutputTokens: f.OutputTokens, CostUSD: f.CostUSD, CreatedAt: micros(f.CreatedAt), EndedAt: micros(f.EndedAt),
	}
}

func (r *record) fix() Fix {
	f := Fix{
		ID: r.ID, Object: r.Object, Folder: r.Folder, Cause: Cause(r.Cause), Summary: r.Summary, Detail: r.Detail, Signature: r.Signature,
		Actor: r.Actor, Job: r.Job, AgentJob: r.AgentJob, State: State(r.State), Propose: r.Propose, Agent: r.Agent, Model: r.Model, Response: r.Response,
		Diff: r.Diff, Backup: r.Backup, Restored: fromMicros(r.Restored), Reason: r.Reason, Wanted: r.Wanted, Run: r.Run, Of: r.Of,
		InputTokens: r.InputTokens, OutputTokens: r.OutputTokens, CostUSD: r.CostUSD, CreatedAt: fromMicros(r.CreatedAt), EndedAt: fromMicros(r.EndedAt),
	}
	if r.Files != "" {
		f.Files = strings.Split(r.Files, "\x00")
	}
	return f
}
