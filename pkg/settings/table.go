package settings

import (
	"strings"
	"time"
)

// The names that are needed before the table can be read.
const (
	dirName       = "SUPERVISOR_DIR"
	manifestsName = "SUPERVISOR_MANIFESTS"
	keeperName    = "SUPERVISOR_KEEPER"
	hostName      = "SERVICE_HOST"
	projectsName  = "PROJECTS_DIR"
)

// Definition is one setting that exists.
type Definition struct {
	// Name is that of the variable, Flag that of the command line's flag, without dashes.
	Name, Flag string
	// Default is the value of an absent setting. It is a description in parentheses where it depends on the machine.
	Default string
	// Help is one sentence without a full stop.
	Help string
}

// definition is a row of the table: what is shown of a setting, and how its text becomes a field of Settings.
//
// A table, and not struct tags (as caarlos0/env reads them): each value must remember where it came from, down to the
// line of a .env file, flags must come before the environment, and all errors must name their origin.
type definition struct {
	name, def, help string
	// set parses text into s. Its error says what is allowed.
	set func(s *Settings, text string) error
	// mask hides what is secret in a value; nil when there can be nothing.
	mask func(text string) string
}

// definitions is the table, in the order of documentation. It is a function so that nobody can change it.
func definitions() []definition {
	table := []definition{
		{
			name: dirName, def: "(~/.supervisor)", help: "folder of all data",
			set: absolute(func(s *Settings) *string { return &s.Dir }),
		},
		{
			name: manifestsName, def: "(SUPERVISOR_DIR/manifests)", help: "folder of the manifests",
			set: absolute(func(s *Settings) *string { return &s.Manifests }),
		},
		{
			name: keeperName, def: "(supervisor-keeper beside the program)",
			help: "the keeper's program, or external when systemd starts it", set: setKeeper,
		},
		{
			name: "SUPERVISOR_HOST", def: "0.0.0.0", help: "address on which the HTTP API listens",
			set: host(func(s *Settings) *string { return &s.Host }),
		},
		{
			name: "SUPERVISOR_PORT", def: "9900", help: "port on which the HTTP API listens; 0 picks a free one",
			set: integer(func(s *Settings) *int { return &s.Port }, "a port", 0, 65535),
		},
		{
			name: "SUPERVISOR_LOG_LEVEL", def: "info", help: "how much the supervisor says: debug, info, warn or error",
			set: setLogLevel,
		},
		{
			name: "SUPERVISOR_LOG_FORMAT", def: LogText, help: "how it says it: text or json",
			set: oneOf(func(s *Settings) *string { return &s.LogFormat }, LogText, LogJSON),
		},
		{
			name: "RESCAN_INTERVAL", def: "60s", help: "how often the manifest folder is read although no change was seen",
			set: duration(rescanField, minRescan),
		},
		{
			name: projectsName, def: "(~/Code)", help: "folder of the projects that can be onboarded by name",
			set: absolute(func(s *Settings) *string { return &s.ProjectsDir }),
		},
		{
			name: hostName, def: "(the machine's first address)", help: "name or address by which people reach services on this machine",
			set: host(func(s *Settings) *string { return &s.ServiceHost }),
		},
	}
	table = append(table, caddyDefinitions()...)
	table = append(table, []definition{
		{
			name: upstreamsName, def: "(/run/supervisor/upstreams, or a folder in /dev/shm)",
			help: "folder in which Caddy reads, at each request, where a service that is updated without downtime is",
			set:  absolute(func(s *Settings) *string { return &s.UpstreamsDir }),
		},
		{
			name: "MONITOR_INTERVAL", def: "60s", help: "time between two samples of what services use",
			set: duration(monitorField, minMonitor),
		},
		{
			name: "CRON_SCHEDULER", def: CronBuiltin, help: "who looks for due cron jobs: builtin, or tick for a system crontab that calls /api/cron/tick",
			set: oneOf(func(s *Settings) *string { return &s.CronScheduler }, CronBuiltin, CronTick),
		},
		{
			name: "CRON_MAX_RUNS", def: "1000", help: "runs of all cron jobs at one time",
			set: integer(func(s *Settings) *int { return &s.CronMaxRuns }, "a number of runs", 1, 100_000),
		},
		{
			name: "ALERT_CHANNELS", def: noChannels, help: "where people are told: NAME=FORM+URL separated by spaces; forms are webhook, slack, discord, ntfy",
			set: setAlertChannels, mask: maskAlertChannels,
		},
		{
			name: "LOG_MAX_BYTES", def: "10485760", help: "size at which a service's log file is rotated",
			set: size(func(s *Settings) *int64 { return &s.LogMaxBytes }),
		},
		{
			name: "LOG_BACKUP_COUNT", def: "5", help: "rotated log files that are kept",
			set: integer(func(s *Settings) *int { return &s.LogBackupCount }, "a number of files", 0, 1000),
		},
		{
			name: "LOG_RETENTION_DAYS", def: "7", help: "how long lines stay searchable, in days or with a unit",
			set: setRetention,
		},
		{
			name: "LOG_INDEX_MAX_BYTES", def: "1Gi", help: "size of the database of searchable lines; the oldest go first",
			set: size(func(s *Settings) *int64 { return &s.LogIndexMaxBytes }),
		},
		{
			name: "LOG_LINES_PER_SECOND", def: "5000", help: "lines of one service that are made searchable a second; what comes faster stays in the files",
			set: integer(func(s *Settings) *int { return &s.LogBudget }, "a number of lines", 1, 10_000_000),
		},
		{
			name: "MANIFESTS_GIT_COMMIT", def: "off", help: "whether each edit of a manifest over the API is committed, where the folder is in a git work tree",
			set: boolean(func(s *Settings) *bool { return &s.ManifestsGitCommit }),
		},
		{
			name: "AUTOFIX_ENABLED", def: "true", help: "whether coding agents repair what fails without being asked",
			set: boolean(func(s *Settings) *bool { return &s.AutofixEnabled }),
		},
		{
			name: "AUTOFIX_TIMEOUT", def: "300s", help: "time that the agent may take for a repair",
			set: duration(autofixField, minAutofix),
		},
		{
			name: "AUTOFIX_HEALTHY", def: "10s", help: "how long a repaired program has to run well before the repair is kept",
			set: duration(func(s *Settings) *time.Duration { return &s.AutofixHealthy }, 0),
		},
		{
			name: "AUTOFIX_BACKUP_MAX_BYTES", def: "1Gi", help: "largest folder, without caches, that is backed up for a repair; a larger one is not repaired",
			set: size(func(s *Settings) *int64 { return &s.AutofixBackupMax }),
		},
		{
			name: "MAX_RESTART_ATTEMPTS", def: "3", help: "restarts in a row before a service is given up; -1 never gives up",
			set: integer(func(s *Settings) *int { return &s.MaxRestartAttempts }, "a number of restarts", -1, 1_000_000),
		},
		{
			name: "RESTART_DELAY", def: "5s", help: "wait before the first restart of a service; 0 restarts at once",
			set: duration(restartField, 0),
		},
	}...)
	return append(table, agentDefinitions()...)
}

// Definitions returns every setting that exists, in the order of documentation.
func Definitions() []Definition {
	table := definitions()
	out := make([]Definition, len(table))
	for i, d := range table {
		out[i] = Definition{Name: d.name, Flag: flagName(d.name), Default: d.def, Help: d.help}
	}
	return out
}

// flagName is "supervisor-port" for SUPERVISOR_PORT.
func flagName(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }
