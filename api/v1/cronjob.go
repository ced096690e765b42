package v1

import "time"

// CronJob is a program that runs at scheduled instants.
type CronJob struct {
	TypeMeta `json:",inline"`
	Metadata ObjectMeta     `json:"metadata"`
	Spec     CronJobSpec    `json:"spec"`
	Status   *CronJobStatus `json:"status,omitempty" jsonschema:"-"`
}

// Key implements Object.
func (j *CronJob) Key() Key { return Key{Kind: KindCronJob, Name: j.Metadata.Name} }

// Meta implements Object.
func (j *CronJob) Meta() *ObjectMeta { return &j.Metadata }

// ConcurrencyPolicy says what happens when a run is due and the one before has not ended.
type ConcurrencyPolicy string

// The concurrency policies.
const (
	ConcurrencyAllow   ConcurrencyPolicy = "Allow"
	ConcurrencyForbid  ConcurrencyPolicy = "Forbid"
	ConcurrencyReplace ConcurrencyPolicy = "Replace"
)

// CatchUp says what happens with instants that passed while the supervisor was down.
type CatchUp string

// The catch-up policies.
const (
	CatchUpSkip CatchUp = "skip"
	CatchUpOnce CatchUp = "once"
	CatchUpAll  CatchUp = "all"
)

// CronJobSpec is what the user asks for.
type CronJobSpec struct {
	Command           Command           `json:"command" jsonschema_description:"What to run, as for a Service."`
	Schedule          string            `json:"schedule" jsonschema_description:"Five cron fields, or @hourly, @daily, @weekly, @monthly, @yearly, @every 5m. Six fields (seconds first) when seconds is true."`
	Seconds           bool              `json:"seconds,omitempty" jsonschema_description:"The schedule has six fields, seconds first."`
	TimeZone          string            `json:"timeZone,omitempty" jsonschema_description:"IANA name such as Europe/London. Default: the machine's zone."`
	Enabled           *bool             `json:"enabled,omitempty" jsonschema:"default=true"`
	Timeout           *Duration         `json:"timeout,omitempty" jsonschema_description:"A run that takes longer is ended with its whole tree. 0s: no limit. Default: 5m."`
	ConcurrencyPolicy ConcurrencyPolicy `json:"concurrencyPolicy,omitempty" jsonschema:"enum=Allow,enum=Forbid,enum=Replace,default=Forbid"`
	StartingDeadline  *Duration         `json:"startingDeadline,omitempty" jsonschema_description:"How late a run may start. Default: 1h."`
	CatchUp           CatchUp           `json:"catchUp,omitempty" jsonschema:"enum=skip,enum=once,enum=all,default=once"`
	Jitter            *Duration         `json:"jitter,omitempty" jsonschema_description:"Runs start up to this much later, each by its own amount."`
	Retries           Retries           `json:"retries,omitzero"`
	History           History           `json:"history,omitzero"`
	WorkingDir        string            `json:"workingDir,omitempty"`
	Env               map[string]string `json:"env,omitempty"`
	EnvFile           EnvFiles          `json:"envFile,omitempty"`
	User              string            `json:"user,omitempty"`
	Group             string            `json:"group,omitempty"`
	Umask             string            `json:"umask,omitempty" jsonschema:"pattern=^0?[0-7]{3}$"`
	Stop              Stop              `json:"stop,omitzero"`
	Resources         Resources         `json:"resources,omitzero"`
	WatchDirs         []string          `json:"watchDirs,omitempty"`
	Logs              LogPolicy         `json:"logs,omitzero"`
	Alerts            *Alerts           `json:"alerts,omitempty" jsonschema_description:"Of what people are told."`
	Autofix           *Autofix          `json:"autofix,omitempty"`
}

// Retries says how often a failed run is tried again for the same instant.
type Retries struct {
	Limit int       `json:"limit,omitempty" jsonschema:"minimum=0,maximum=100"`
	Delay *Duration `json:"delay,omitempty" jsonschema_description:"Doubles with each retry. Default: 10s."`
}

// History bounds what is remembered of past runs.
type History struct {
	Keep int `json:"keep,omitempty" jsonschema:"minimum=1,default=100"`
}

// CronJobStatus is what was observed of a cron job.
type CronJobStatus struct {
	ObservedRevision string      `json:"observedRevision"`
	Conditions       []Condition `json:"conditions,omitempty"`
	Running          bool        `json:"running"`
	LastRun          *time.Time  `json:"lastRun,omitempty"`
	NextRun          *time.Time  `json:"nextRun,omitempty"`
	LastSuccess      *bool       `json:"lastSuccess,omitempty"`
	UpdatedAt        time.Time   `json:"updatedAt"`
}
