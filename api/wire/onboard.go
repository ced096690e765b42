package wire

import "time"

// Projects are the folders that could be onboarded.
type Projects struct {
	Projects []Project `json:"projects"`
}

// Project is a folder of PROJECTS_DIR.
type Project struct {
	Name string `json:"name"`
	Path string `json:"path"`
	// Service is the service that runs from it, empty when there is none.
	Service string `json:"service,omitempty"`
}

// OnboardRequest asks for a project to become a service.
type OnboardRequest struct {
	// Project is a folder's name in PROJECTS_DIR, or a path.
	Project string `json:"project"`
	// Model and Agent are those that refine the manifest; empty takes the defaults.
	Model string `json:"model,omitempty"`
	Agent string `json:"agent,omitempty"`
	// Port is the one that the service shall have; 0 leaves it to the look.
	Port int `json:"port,omitempty"`
	// NoAgent leaves it to the look alone, DryRun writes nothing.
	NoAgent bool `json:"no_agent,omitempty"`
	DryRun  bool `json:"dry_run,omitempty"`
	// Manifest is tried in place of what the look would propose.
	Manifest string `json:"manifest,omitempty"`
}

// OnboardStarted answers an OnboardRequest.
type OnboardStarted struct {
	JobID   string `json:"job_id"`
	Status  string `json:"status"` // started
	Project string `json:"project"`
}

// OnboardPreview is what a look at a project brings: no agent was asked, and nothing was written.
type OnboardPreview struct {
	ProjectName string `json:"project_name"`
	ProjectPath string `json:"project_path"`
	// DataDir is where its data goes by convention; Exists is whether that is there.
	DataDir string `json:"data_dir"`
	Exists  bool   `json:"exists"`
	// Service is the name that it would have; Known is true when it runs from this folder already, and Diff is then how the
	// manifest would change.
	Service string `json:"service"`
	Known   bool   `json:"known"`
	Diff    string `json:"diff,omitempty"`
	// Manifest is the text for the best candidate, empty when nothing says how the project is run.
	Manifest   string             `json:"manifest"`
	Candidates []OnboardCandidate `json:"candidates"`
	Reasons    []OnboardReason    `json:"reasons"`
	Warnings   []string           `json:"warnings"`
}

// OnboardCandidate is one way to run a project.
type OnboardCandidate struct {
	Kind       string          `json:"kind"`
	Title      string          `json:"title"`
	Command    string          `json:"command"`
	Port       int             `json:"port,omitempty"`
	Confidence int             `json:"confidence"`
	Manifest   string          `json:"manifest"`
	Reasons    []OnboardReason `json:"reasons"`
}

// OnboardReason is why something was decided.
type OnboardReason struct {
	What string `json:"what"`
	Why  string `json:"why"`
	// Source is the file and line that it was read from; empty for a convention.
	Source string `json:"source,omitempty"`
	// Confidence is from 0 to 100.
	Confidence int `json:"confidence"`
}

// OnboardResult is the result of the job.
type OnboardResult struct {
	Project     string `json:"project"`
	ProjectPath string `json:"project_path"`
	DataDir     string `json:"data_dir"`
	Service     string `json:"service"`
	Command     string `json:"command"`
	Port        int    `json:"port,omitempty"`
	URL         string `json:"url,omitempty"`
	Manifest    string `json:"manifest"`
	// Diff is how it differs from the manifest that was there, or from the look's proposal.
	Diff string `json:"diff,omitempty"`
	// By is who had the last word: look, user or agent; Agent says what part the agent had.
	By       string          `json:"by"`
	Agent    string          `json:"agent"`
	Reasons  []OnboardReason `json:"reasons"`
	Warnings []string        `json:"warnings,omitempty"`
	// Attempts are the manifests that were tried, in order.
	Attempts []OnboardAttempt `json:"attempts,omitempty"`
	Ready    bool             `json:"ready"`
	DryRun   bool             `json:"dry_run,omitempty"`
}

// OnboardAttempt is one manifest that was tried.
type OnboardAttempt struct {
	By       string   `json:"by"`
	Command  string   `json:"command"`
	Manifest string   `json:"manifest"`
	Ready    bool     `json:"ready"`
	Trouble  string   `json:"trouble,omitempty"`
	Log      []string `json:"log,omitempty"`
}

// ScanRequest asks for a security scan. All may be left out.
type ScanRequest struct {
	Model string `json:"model,omitempty"`
	Agent string `json:"agent,omitempty"`
	// NoAgent leaves it to our own checks.
	NoAgent bool `json:"no_agent,omitempty"`
}

// ScanResult is the result of a security scan.
type ScanResult struct {
	ServiceName string        `json:"service_name"`
	URL         string        `json:"url"`
	ScanTime    time.Time     `json:"scan_time"`
	Summary     ScanSummary   `json:"summary"`
	Findings    []ScanFinding `json:"findings"`
	Requests    int           `json:"requests"`
	Notes       []string      `json:"notes,omitempty"`
}

// ScanSummary counts findings by grade.
type ScanSummary struct {
	Red   int `json:"red"`
	Amber int `json:"amber"`
	Green int `json:"green"`
}

// ScanFinding is what one check found.
type ScanFinding struct {
	Category       string `json:"category"`
	Check          string `json:"check"`
	Status         string `json:"status"` // red, amber or green
	Detail         string `json:"detail"`
	Recommendation string `json:"recommendation"`
	// Source is supervisor for our own checks, agent for a coding agent's opinion.
	Source string `json:"source"`
}
