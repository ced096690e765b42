package wire

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// ManifestFiles is what lies in the manifest folder.
type ManifestFiles struct {
	// Folder is its absolute path.
	Folder string         `json:"folder"`
	Files  []ManifestFile `json:"files"`
	// Problems are those of the folder itself; each file has its own.
	Problems []v1.Problem `json:"problems"`
	// Repository is the git work tree that the folder belongs to, when there is one.
	Repository *Repository `json:"repository,omitempty"`
}

// ManifestFile is one file.
type ManifestFile struct {
	// Path is relative to the folder.
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	ETag     string    `json:"etag"`
	// ReadOnly is why it cannot be edited here; empty when it can.
	ReadOnly string           `json:"read_only,omitempty"`
	Objects  []ManifestObject `json:"objects"`
	Problems []v1.Problem     `json:"problems"`
	// Git is clean, modified or untracked; empty outside a repository.
	Git string `json:"git,omitempty"`
}

// ManifestObject is one document of a file.
type ManifestObject struct {
	Key  v1.Key `json:"key"`
	Line int    `json:"line"`
	// InForce is true when it is this text that is acted on. It is not when the document is broken, or another one has its name.
	InForce bool `json:"in_force"`
}

// Repository is a git work tree.
type Repository struct {
	Branch string `json:"branch"`
	Head   string `json:"head"`
	// Commits is true when each edit over the API becomes a commit.
	Commits bool `json:"commits"`
}

// ManifestText is the text of a file as an answer to a conflict.
type ManifestText struct {
	Path string `json:"path"`
	Text string `json:"text"`
	ETag string `json:"etag"`
}

// ManifestWritten says what came of a written file.
type ManifestWritten struct {
	Path string `json:"path"`
	// Result is created, configured, unchanged or deleted.
	Result string `json:"result"`
	ETag   string `json:"etag,omitempty"`
	// Items are the objects that changed by it.
	Items    []Applied    `json:"items"`
	Problems []v1.Problem `json:"problems"`
}

// PreviewRequest asks what a text would do.
type PreviewRequest struct {
	// Path is the file that the text would be put into. Without one, each object goes where its manifest is, as apply does.
	Path string `json:"path,omitempty"`
	// Text is YAML. When it is absent, the question is what the removal of the file would do.
	Text *string `json:"text,omitempty"`
}

// Preview is what a text would do.
type Preview struct {
	// Valid is false when the text would not be taken as it is.
	Valid bool `json:"valid"`
	// Problems are those of the text, and those that other objects would get by it.
	Problems []v1.Problem `json:"problems"`
	// Diff is unified, empty when nothing would change. Secrets in it are masked.
	Diff string `json:"diff"`
	// Steps are what would become of each object that is not as it was.
	Steps []PreviewStep `json:"steps"`
}

// Effects of an edit on an object.
const (
	EffectStart   = "start"   // something new is started
	EffectRestart = "restart" // processes are stopped and started anew
	EffectRoll    = "roll"    // replicas are replaced one by one, without a gap
	EffectStop    = "stop"    // what runs is stopped
	EffectScale   = "scale"   // replicas are added or taken away
	EffectInPlace = "inPlace" // nothing is restarted
	EffectNone    = "none"    // nothing runs, and nothing is started
)

// PreviewStep is what would become of one object.
type PreviewStep struct {
	Key v1.Key `json:"key"`
	// Action is add, change or remove.
	Action string `json:"action"`
	File   string `json:"file"`
	// Effect is start, restart, roll, stop, scale, inPlace or none; Reason says why, in words.
	Effect string `json:"effect"`
	Reason string `json:"reason"`
	// Fields are those that differ, secrets masked.
	Fields []FieldChange `json:"fields"`
}

// FieldChange is one field that differs. A side that is absent says nothing there.
type FieldChange struct {
	Field string `json:"field"`
	From  any    `json:"from,omitempty"`
	To    any    `json:"to,omitempty"`
}
