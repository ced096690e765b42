package settings

import (
	"log/slog"
	"path/filepath"
	"time"
)

// KeeperExternal is the value of SUPERVISOR_KEEPER that says: somebody else, such as systemd, starts the keeper.
const KeeperExternal = "external"

// The formats of the supervisor's own log.
const (
	LogText = "text"
	LogJSON = "json"
)

// The values of CRON_SCHEDULER.
const (
	CronBuiltin = "builtin"
	CronTick    = "tick"
)

// Settings is how the supervisor is set up. It does not change while it runs.
type Settings struct {
	// Dir holds all data. Manifests is the folder of manifests.
	Dir, Manifests string
	// Keeper is the keeper's program, or KeeperExternal.
	Keeper string
	// Host and Port are where the HTTP API listens. Port 0 lets the kernel choose.
	Host string
	Port int
	// LogLevel and LogFormat (LogText or LogJSON) are those of the supervisor's own log.
	LogLevel  slog.Level
	LogFormat string
	// RescanInterval is how often the manifest folder is read although nothing told of a change.
	RescanInterval time.Duration

	// ProjectsDir is the folder of the projects that can be onboarded by name.
	ProjectsDir string
	// ServiceHost is the name or address by which people reach services on this machine.
	ServiceHost string
	// CaddyMode is how routes reach Caddy: CaddyAuto and its fellows. CaddyAdminURL is Caddy's admin API.
	CaddyMode, CaddyAdminURL string
	// CaddyDomain is the site below which services have a path. CaddyBaseDomain is the domain below which they have a
	// subdomain, and CaddyPort the port of those sites; CaddyHTTPPort is that of sites without TLS.
	CaddyDomain, CaddyBaseDomain string
	CaddyPort, CaddyHTTPPort     int
	// CaddyBind are the addresses at which our sites listen; none means all.
	CaddyBind []string
	// CaddyDashboard is the subdomain or host of the supervisor itself; empty means that it has none.
	CaddyDashboard string
	// CaddyStreamCloseDelay is how long WebSockets outlive a change of Caddy's configuration.
	CaddyStreamCloseDelay time.Duration
	// CaddyFile is the Caddyfile that is written for people who import it in theirs, which is CaddyConfigFile.
	CaddyFile, CaddyConfigFile string
	// CaddyProgram is the Caddy that is run as one of our own services.
	CaddyProgram string
	// UpstreamsDir is the folder in which Caddy reads where a service is, below it one for each supervisor.
	UpstreamsDir string

	// MonitorInterval is the time between two samples of what services use.
	MonitorInterval time.Duration
	// CronScheduler is CronBuiltin, or CronTick, which leaves the instants to whoever calls /api/cron/tick. CronMaxRuns bounds
	// the runs of all cron jobs at one time.
	CronScheduler string
	CronMaxRuns   int
	// AlertChannels is where people are told, as parsed by pkg/alert: secret.
	AlertChannels string
	// LogMaxBytes, LogBackupCount and LogRetention bound the output that is kept of a service whose manifest does not say.
	LogMaxBytes    int64
	LogBackupCount int
	LogRetention   time.Duration
	// LogIndexMaxBytes bounds the database of searchable lines, LogBudget what is made searchable of one service, in lines a
	// second.
	LogIndexMaxBytes int64
	LogBudget        int
	// ManifestsGitCommit makes each edit of a manifest over the API a commit, where the folder is in a git work tree.
	ManifestsGitCommit bool
	// AutofixEnabled and AutofixTimeout are for the repair by coding agents.
	AutofixEnabled bool
	AutofixTimeout time.Duration
	// AutofixHealthy is how long a repaired program has to run well, AutofixBackupMax the size of the largest folder that is repaired.
	AutofixHealthy   time.Duration
	AutofixBackupMax int64
	// Agent is how coding agents are run; JobWorkers is how many jobs in the background run at a time.
	Agent      Agent
	JobWorkers int
	// MaxRestartAttempts (-1: no limit) and RestartDelay apply to a service whose manifest does not say.
	MaxRestartAttempts int
	RestartDelay       time.Duration

	all []Setting
}

// Setting is one setting as it can be shown to people: secrets are masked.
type Setting struct {
	// Name is that of the variable, such as SUPERVISOR_PORT.
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	// Source is where the value comes from: "default", "detected", "environment", "flag --supervisor-port", or
	// "/path/.env:3".
	Source string `json:"source"`
	Help   string `json:"help"`
}

// All returns every setting, in the order in which they are documented.
func (s *Settings) All() []Setting { return append([]Setting(nil), s.all...) }

// Socket is the unix socket of the API.
func (s *Settings) Socket() string { return filepath.Join(s.Dir, socketName) }

// Database is the SQLite file of status and history.
func (s *Settings) Database() string { return filepath.Join(s.Dir, "supervisor.db") }

// Log is the supervisor's own log file.
func (s *Settings) Log() string { return filepath.Join(s.Dir, "supervisor.log") }

// Token is the file that holds the API's bearer token.
func (s *Settings) Token() string { return filepath.Join(s.Dir, "token") }

// KeeperDir is the keeper's folder.
func (s *Settings) KeeperDir() string { return filepath.Join(s.Dir, "keeper") }

// Logs is the folder with a folder of output for each service.
func (s *Settings) Logs() string { return filepath.Join(s.Dir, "logs") }

// Backups is the folder with the backups that precede a repair.
func (s *Settings) Backups() string { return filepath.Join(s.Dir, "backups") }

// SocketIn is the unix socket of the supervisor whose data is in dir.
func SocketIn(dir string) string { return filepath.Join(dir, socketName) }

const socketName = "supervisor.sock"
