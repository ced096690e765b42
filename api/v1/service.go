package v1

import "time"

// Service is a program that should run for as long as its manifest is there and says so.
type Service struct {
	TypeMeta `json:",inline"`
	Metadata ObjectMeta     `json:"metadata"`
	Spec     ServiceSpec    `json:"spec"`
	Status   *ServiceStatus `json:"status,omitempty" jsonschema:"-"`
}

// Key implements Object.
func (s *Service) Key() Key { return Key{Kind: KindService, Name: s.Metadata.Name} }

// Meta implements Object.
func (s *Service) Meta() *ObjectMeta { return &s.Metadata }

// ServiceSpec is what the user asks for.
type ServiceSpec struct {
	Command    Command           `json:"command" jsonschema_description:"What to run: a line (parsed like a shell would, run by /bin/sh only when it needs one) or a list of arguments taken as it stands."`
	WorkingDir string            `json:"workingDir,omitempty" jsonschema_description:"Folder to run in. Default: the folder of the first .py file of the command, else the home folder."`
	Enabled    *bool             `json:"enabled,omitempty" jsonschema:"default=true" jsonschema_description:"Whether it starts when the supervisor starts."`
	Port       Port              `json:"port,omitzero" jsonschema_description:"TCP port that the program listens on, given to it as $PORT; auto picks a free one once and remembers it."`
	Replicas   *int              `json:"replicas,omitempty" jsonschema:"default=1,minimum=0,maximum=64" jsonschema_description:"How many copies run. More than one with a port needs port: auto."`
	Env        map[string]string `json:"env,omitempty" jsonschema_description:"Environment. Overrides envFile. $(NAME) refers to another variable."`
	EnvFile    EnvFiles          `json:"envFile,omitempty" jsonschema_description:"dotenv files, relative to workingDir; later ones win."`
	User       string            `json:"user,omitempty" jsonschema_description:"User to run as, by name or number. Needs a supervisor that runs as root."`
	Group      string            `json:"group,omitempty" jsonschema_description:"Group to run as. Default: the user's own."`
	Umask      string            `json:"umask,omitempty" jsonschema:"pattern=^0?[0-7]{3}$" jsonschema_description:"File mode mask, octal, as a string: \"022\"."`
	DependsOn  []Dependency      `json:"dependsOn,omitempty" jsonschema_description:"What must be there before this starts."`
	Restart    Restart           `json:"restart,omitzero" jsonschema_description:"What to do when the program exits."`
	Stop       Stop              `json:"stop,omitzero" jsonschema_description:"How to stop the program."`
	Probes     Probes            `json:"probes,omitzero" jsonschema_description:"How to find out that it is up, ready and alive."`
	Update     Update            `json:"update,omitzero" jsonschema_description:"How a changed manifest is rolled out."`
	Expose     *Expose           `json:"expose,omitempty" jsonschema_description:"How the service is reached through Caddy."`
	Resources  Resources         `json:"resources,omitzero" jsonschema_description:"Limits, enforced by the kernel where it can."`
	WatchDirs  []string          `json:"watchDirs,omitempty" jsonschema_description:"Folders whose disk use is tracked. Default: workingDir."`
	Logs       LogPolicy         `json:"logs,omitzero" jsonschema_description:"How much of the output is kept."`
	Alerts     *Alerts           `json:"alerts,omitempty" jsonschema_description:"Of what people are told."`
	Autofix    *Autofix          `json:"autofix,omitempty" jsonschema_description:"Repair by a coding agent."`
}

// EnvFile is one dotenv file. In YAML it is a path, or {path, optional}.
type EnvFile struct {
	Path     string `json:"path"`
	Optional bool   `json:"optional,omitempty"`
}

// DependencyCondition is how far a dependency must have come.
type DependencyCondition string

// What a dependant can wait for.
const (
	DependStarted   DependencyCondition = "started"
	DependReady     DependencyCondition = "ready"
	DependCompleted DependencyCondition = "completed"
)

// Dependency names a service that must be started, ready or completed (exited 0) first.
type Dependency struct {
	Name      string              `json:"name"`
	Condition DependencyCondition `json:"condition,omitempty" jsonschema:"enum=started,enum=ready,enum=completed,default=ready"`
}

// RestartPolicy says which exits lead to a restart.
type RestartPolicy string

// The restart policies.
const (
	RestartAlways    RestartPolicy = "Always"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartNever     RestartPolicy = "Never"
)

// Restart says what happens after an exit. Delays double from Delay to MaxDelay; after MaxAttempts restarts in a row
// without ResetAfter of health between them the service is given up. Nil pointers take the supervisor's defaults.
type Restart struct {
	Policy      RestartPolicy `json:"policy,omitempty" jsonschema:"enum=Always,enum=OnFailure,enum=Never,default=Always"`
	Delay       *Duration     `json:"delay,omitempty" jsonschema_description:"Wait before the first restart; 0s restarts at once. Default: RESTART_DELAY."`
	MaxDelay    *Duration     `json:"maxDelay,omitempty" jsonschema_description:"The longest wait. Default: 5m."`
	MaxAttempts *int          `json:"maxAttempts,omitempty" jsonschema:"minimum=-1" jsonschema_description:"Restarts in a row before giving up; -1 never gives up. Default: MAX_RESTART_ATTEMPTS."`
	ResetAfter  *Duration     `json:"resetAfter,omitempty" jsonschema_description:"Health that clears the count. Default: 1m."`
}

// Stop says how a program is stopped: the signal, and after the timeout SIGKILL to all that is left of its tree.
type Stop struct {
	Signal  string    `json:"signal,omitempty" jsonschema:"default=SIGTERM"`
	Timeout *Duration `json:"timeout,omitempty" jsonschema_description:"Default: 10s."`
}

// Probes are the three questions; their meaning is that of Kubernetes.
type Probes struct {
	Startup   *Probe `json:"startup,omitempty" jsonschema_description:"Until it passes once, the others wait; when it fails for good, the program is restarted."`
	Readiness *Probe `json:"readiness,omitempty" jsonschema_description:"While it fails, the replica gets no traffic and dependants wait."`
	Liveness  *Probe `json:"liveness,omitempty" jsonschema_description:"When it fails, the program is restarted."`
}

// Probe is one check: exactly one of HTTPGet, TCPSocket and Exec.
type Probe struct {
	HTTPGet          *HTTPGet   `json:"httpGet,omitempty"`
	TCPSocket        *TCPSocket `json:"tcpSocket,omitempty"`
	Exec             *ExecProbe `json:"exec,omitempty"`
	InitialDelay     *Duration  `json:"initialDelay,omitempty" jsonschema_description:"Default: 0s."`
	Period           *Duration  `json:"period,omitempty" jsonschema_description:"Default: 10s; until the first success a tenth of it, but at least 100ms."`
	Timeout          *Duration  `json:"timeout,omitempty" jsonschema_description:"Default: 1s."`
	SuccessThreshold int        `json:"successThreshold,omitempty" jsonschema:"minimum=1,default=1"`
	FailureThreshold int        `json:"failureThreshold,omitempty" jsonschema:"minimum=1,default=3"`
}

// HTTPGet passes on a status from 200 to 399.
type HTTPGet struct {
	Path    string            `json:"path,omitempty" jsonschema:"default=/"`
	Port    int               `json:"port,omitempty" jsonschema:"minimum=0,maximum=65535" jsonschema_description:"Default: the service's port."`
	Host    string            `json:"host,omitempty" jsonschema_description:"Default: 127.0.0.1."`
	Scheme  string            `json:"scheme,omitempty" jsonschema:"enum=http,enum=https,default=http"`
	Headers map[string]string `json:"headers,omitempty"`
}

// TCPSocket passes when the port accepts a connection.
type TCPSocket struct {
	Port int    `json:"port,omitempty" jsonschema:"minimum=0,maximum=65535" jsonschema_description:"Default: the service's port."`
	Host string `json:"host,omitempty" jsonschema_description:"Default: 127.0.0.1."`
}

// ExecProbe passes when the command exits 0. It runs with the service's folder, environment and user.
type ExecProbe struct {
	Command Command `json:"command"`
}

// UpdateStrategy says how a new version takes over.
type UpdateStrategy string

// The update strategies.
const (
	UpdateRecreate UpdateStrategy = "Recreate"
	UpdateRolling  UpdateStrategy = "Rolling"
)

// Update says how a changed manifest is rolled out.
type Update struct {
	Strategy UpdateStrategy `json:"strategy,omitempty" jsonschema:"enum=Recreate,enum=Rolling,default=Recreate" jsonschema_description:"Recreate stops the old process and starts the new one. Rolling starts the new one beside the old one, which goes on until the new one is ready; it needs port: auto, a readiness probe and expose."`
	Drain    *Duration      `json:"drain,omitempty" jsonschema_description:"Rolling: how long the old process may go on with the connections that it has once new ones go to its successor. Default: 30s."`
	// ProgressDeadline bounds the wait for readiness; a process that exits is tried restart.maxAttempts times again.
	ProgressDeadline *Duration `json:"progressDeadline,omitempty" jsonschema_description:"Rolling: how long a new process may take to become ready before the update is given up and the old one stays. Default: 10m."`
}

// TLSMode says where a site's certificate comes from.
type TLSMode string

// The TLS modes.
const (
	TLSAuto     TLSMode = "auto"     // as Caddy does by itself: a public certificate, or the one it was given
	TLSInternal TLSMode = "internal" // signed by Caddy's own authority
	TLSOff      TLSMode = "off"      // plain HTTP, at CADDY_HTTP_PORT
)

// Expose says how the service is reached through Caddy.
type Expose struct {
	Enabled          *bool             `json:"enabled,omitempty" jsonschema:"default=true"`
	Subdomain        string            `json:"subdomain,omitempty" jsonschema_description:"A DNS label; the site is SUBDOMAIN.CADDY_BASE_DOMAIN."`
	Path             string            `json:"path,omitempty" jsonschema_description:"A path such as /myapp: below CADDY_DOMAIN, or of the host or subdomain where there is one."`
	Host             string            `json:"host,omitempty" jsonschema_description:"A whole host name."`
	TLS              TLSMode           `json:"tls,omitempty" jsonschema:"enum=auto,enum=internal,enum=off,default=auto" jsonschema_description:"Where the certificate comes from; internal is Caddy's own authority, off is plain HTTP at CADDY_HTTP_PORT."`
	StripPath        *bool             `json:"stripPath,omitempty" jsonschema:"default=true" jsonschema_description:"Whether path is taken off before the program sees it; it then finds it in X-Forwarded-Prefix."`
	Headers          map[string]string `json:"headers,omitempty" jsonschema_description:"Headers put on every response; an empty value removes one."`
	RequestHeaders   map[string]string `json:"requestHeaders,omitempty" jsonschema_description:"Headers put on what the program receives; an empty value removes one."`
	BasicAuth        map[string]string `json:"basicAuth,omitempty" jsonschema_description:"User: bcrypt hash, as made by caddy hash-password. Without one of these Caddy lets nobody through."`
	StreamTimeout    *Duration         `json:"streamTimeout,omitempty" jsonschema_description:"The longest life of a WebSocket or another stream. Default: no limit."`
	OnDemand         bool              `json:"onDemand,omitempty" jsonschema_description:"Run only while somebody asks: the first request starts it and waits, and it is stopped when it has been idle. Needs a readiness probe."`
	Idle             *Duration         `json:"idle,omitempty" jsonschema_description:"onDemand: how long nobody has to be connected before it is stopped. Default: 10m."`
	StreamCloseDelay *Duration         `json:"streamCloseDelay,omitempty" jsonschema_description:"How long WebSockets go on after a change of Caddy's configuration. Default: CADDY_STREAM_CLOSE_DELAY."`
}

// Resources are limits on the whole process tree (cgroup v2), or on each process (rlimits).
type Resources struct {
	MemoryMax ByteSize `json:"memoryMax,omitempty" jsonschema_description:"Memory of the whole tree, such as 512Mi."`
	CPUMax    CPU      `json:"cpuMax,omitempty" jsonschema_description:"Cores, such as \"1.5\"."`
	PidsMax   int64    `json:"pidsMax,omitempty" jsonschema:"minimum=0" jsonschema_description:"Processes and threads of the whole tree."`
	OpenFiles uint64   `json:"openFiles,omitempty" jsonschema_description:"RLIMIT_NOFILE of each process."`
	CoreSize  ByteSize `json:"coreSize,omitempty" jsonschema_description:"RLIMIT_CORE of each process."`
}

// LogPolicy bounds what is kept of a service's output.
type LogPolicy struct {
	MaxBytes       ByteSize  `json:"maxBytes,omitempty" jsonschema_description:"Size at which a log file is rotated. Default: LOG_MAX_BYTES."`
	Backups        *int      `json:"backups,omitempty" jsonschema:"minimum=0,maximum=1000" jsonschema_description:"Rotated files kept. Default: LOG_BACKUP_COUNT."`
	LinesPerSecond int       `json:"linesPerSecond,omitempty" jsonschema:"minimum=0" jsonschema_description:"Lines that are made searchable a second in the long run; what comes faster stays in the files. Default: LOG_LINES_PER_SECOND."`
	Retention      *Duration `json:"retention,omitempty" jsonschema_description:"How long rows stay searchable. Default: LOG_RETENTION_DAYS."`
}

// The modes of Autofix.
const (
	AutofixPropose = "propose" // a person sees the changes first
	AutofixApply   = "apply"   // changes are made, verified, and undone when they do not help
)

// Autofix says whether and how a coding agent may repair the program.
type Autofix struct {
	Enabled   *bool     `json:"enabled,omitempty" jsonschema:"default=true" jsonschema_description:"Whether failures are repaired without anybody asking. Default: AUTOFIX_ENABLED."`
	Agent     string    `json:"agent,omitempty" jsonschema_description:"ID of the coding agent, such as opencode. Default: AGENT."`
	Model     string    `json:"model,omitempty" jsonschema_description:"Model, by its name or an alias such as sonnet. Default: the agent's."`
	Mode      string    `json:"mode,omitempty" jsonschema:"enum=propose,enum=apply" jsonschema_description:"propose shows the changes and waits for approval; apply makes them, and undoes them when the program does not run well. Default: apply."`
	Check     string    `json:"check,omitempty" jsonschema_description:"Command that must exit 0 in a copy of the folder before a fix is taken, such as pytest -q."`
	Cooldown  *Duration `json:"cooldown,omitempty" jsonschema_description:"Least time between two repairs that nobody asked for. Default: 10m."`
	MaxPerDay *int      `json:"maxPerDay,omitempty" jsonschema:"minimum=0" jsonschema_description:"Repairs in 24 hours that nobody asked for. Default: 5."`
}

// Phase is a service's state in one word.
type Phase string

// The phases of a service.
const (
	PhasePending  Phase = "Pending"  // has yet to be started: waits for a dependency, a port or its turn
	PhaseStarting Phase = "Starting" // runs, not ready yet
	PhaseRunning  Phase = "Running"  // runs and is ready
	PhaseUnready  Phase = "Unready"  // was ready, and its readiness probe fails now
	PhaseStopping Phase = "Stopping" // was told to stop, is not gone yet
	PhaseStopped  Phase = "Stopped"  // does not run, as asked
	PhaseBackoff  Phase = "Backoff"  // exited, and is restarted after a delay
	PhaseFailed   Phase = "Failed"   // given up: too many restarts, or it cannot be started at all
	PhaseComplete Phase = "Complete" // exited and the restart policy is content with that
)

// ServiceStatus is what was observed of a service.
type ServiceStatus struct {
	// ObservedRevision is the revision of the manifest that this status speaks of.
	ObservedRevision string `json:"observedRevision"`
	// ObservedIntent is the ID of the last intent that was acted on.
	ObservedIntent string `json:"observedIntent,omitempty"`
	// Session is the keeper session that this status speaks of: what failed or was completed in an earlier one is tried anew.
	Session    string      `json:"session,omitempty"`
	Phase      Phase       `json:"phase"`
	Conditions []Condition `json:"conditions,omitempty"`
	// PID is that of the first live replica, 0 when there is none.
	PID int `json:"pid"`
	// Port is the port in force, 0 when there is none.
	Port int `json:"port,omitempty"`
	// StartedAt is when the first live replica started.
	StartedAt *time.Time      `json:"startedAt,omitempty"`
	Replicas  []ReplicaStatus `json:"replicas,omitempty"`
	// Restarts counts restarts after exits since the manifest was first seen; Attempts those in the present row of failures.
	Restarts int       `json:"restarts"`
	Attempts int       `json:"attempts,omitempty"`
	LastExit *ExitInfo `json:"lastExit,omitempty"`
	// NextRestart is when the backoff ends.
	NextRestart *time.Time `json:"nextRestart,omitempty"`
	URL         string     `json:"url,omitempty"`
	// Rollout is the present update of a service that is updated without downtime, or the last one.
	Rollout *RolloutStatus `json:"rollout,omitempty"`
	// StableRevision is the revision that last ran with every replica ready.
	StableRevision string    `json:"stableRevision,omitempty"`
	UpdatedAt      time.Time `json:"updatedAt"`
}

// ReplicaStatus is what was observed of one replica.
type ReplicaStatus struct {
	Index     int       `json:"index"`
	Run       string    `json:"run"`
	PID       int       `json:"pid"`
	Port      int       `json:"port,omitempty"`
	Ready     bool      `json:"ready"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	Message   string    `json:"message,omitempty"`
	// LastRun is the newest run whose exit has been accounted for.
	LastRun string `json:"lastRun,omitempty"`
	// Attempts counts restarts in the present row of failures; NextStart is when its backoff ends.
	Attempts  int       `json:"attempts,omitempty"`
	NextStart time.Time `json:"nextStart,omitzero"`
	// Failed is true when the replica was given up, Complete when it ended and that was all it had to do.
	Failed   bool `json:"failed,omitempty"`
	Complete bool `json:"complete,omitempty"`
	// Tried identifies what was tried last: a hash of the program, and one of its restart policy and probes. When it is
	// another one that is wanted, failures are forgotten.
	Tried string `json:"tried,omitempty"`
	// Started is true once Run has been ready; ReadySince is zero while it is not.
	Started    bool      `json:"started,omitempty"`
	ReadySince time.Time `json:"readySince,omitzero"`
	// Lane says in which of the replica's two places Run lives. During an update there is a process in the other one.
	Lane   int           `json:"lane,omitempty"`
	Beside *BesideStatus `json:"beside,omitempty"`
	// DrainsSince is when a replica that is not wanted any more was taken out of rotation.
	DrainsSince time.Time `json:"drainsSince,omitzero"`
}

// BesideStatus is what was observed of the process beside the one that serves: its successor, which has yet to become ready,
// or its predecessor, which has yet to finish what it began.
type BesideStatus struct {
	Run       string    `json:"run,omitempty"`
	PID       int       `json:"pid,omitempty"`
	Port      int       `json:"port,omitempty"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	Message   string    `json:"message,omitempty"`
	// DrainsSince is when it was taken out of rotation; zero for a successor.
	DrainsSince time.Time `json:"drainsSince,omitzero"`
	// What follows is that of ReplicaStatus.
	LastRun   string    `json:"lastRun,omitempty"`
	Attempts  int       `json:"attempts,omitempty"`
	NextStart time.Time `json:"nextStart,omitzero"`
	Tried     string    `json:"tried,omitempty"`
}

// RolloutPhase is how far an update has come.
type RolloutPhase string

// The phases of an update.
const (
	RolloutProgressing RolloutPhase = "Progressing"
	RolloutComplete    RolloutPhase = "Complete"
	RolloutFailed      RolloutPhase = "Failed"     // given up; what ran before it runs on
	RolloutSuperseded  RolloutPhase = "Superseded" // another version, or a stop, came before it was complete
)

// RolloutStatus is an update of a service that goes on beside its old processes.
type RolloutStatus struct {
	// From and To are revisions; they are the same when a restart was asked for.
	From  string       `json:"from,omitempty"`
	To    string       `json:"to"`
	Phase RolloutPhase `json:"phase"`
	// Step is what is waited for, in one word: Starting, WaitingForReady, Draining, BackingOff, ...
	Step string `json:"step,omitempty"`
	// Replica is the one whose turn it is.
	Replica   int       `json:"replica"`
	StartedAt time.Time `json:"startedAt"`
	// StepAt is when that replica's turn began.
	StepAt  time.Time  `json:"stepAt,omitzero"`
	EndedAt *time.Time `json:"endedAt,omitempty"`
	Actor   string     `json:"actor,omitempty"`
	Message string     `json:"message,omitempty"`
	// LastLines are the last lines of the process that failed.
	LastLines []string `json:"lastLines,omitempty"`
	// Version identifies what is rolled out: the program, the policies by which it fails, and the order to restart.
	Version string `json:"version"`
}

// Rollout is an update in the history of a service.
type Rollout struct {
	// Number counts the revisions of a service from 1.
	Number   int          `json:"number"`
	Revision string       `json:"revision"`
	Phase    RolloutPhase `json:"phase"`
	// StartedAt is when the revision was begun with for the last time, EndedAt when it had come to Phase.
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
	Actor     string    `json:"actor,omitempty"`
	Message   string    `json:"message,omitempty"`
	// Service is the manifest in that revision.
	Service *Service `json:"service,omitempty"`
}

// ExitInfo says how a run ended.
type ExitInfo struct {
	// Code is the exit code, or -1 when it was ended by a signal or the truth is not known.
	Code int `json:"code"`
	// Signal is the name of the signal that ended it, such as SIGKILL.
	Signal string `json:"signal,omitempty"`
	Core   bool   `json:"core,omitempty"`
	OOM    bool   `json:"oom,omitempty"`
	// Lost is true when the process is gone and nobody saw how.
	Lost      bool      `json:"lost,omitempty"`
	StartedAt time.Time `json:"startedAt"`
	At        time.Time `json:"at"`
	// Reason is a sentence: "exited with code 1", "killed by SIGKILL (out of memory)".
	Reason string `json:"reason"`
	// LastLines are the last lines of stderr (or stdout, when stderr is empty).
	LastLines []string `json:"lastLines,omitempty"`
}
