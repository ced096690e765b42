package wire

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Service is the flat view of a service. Fields that may be absent are null.
type Service struct {
	ID             uint64    `json:"id"`
	Name           string    `json:"name"`
	Command        string    `json:"command"`
	WorkingDir     string    `json:"working_dir"`
	Port           *int      `json:"port"`
	Enabled        bool      `json:"enabled"`
	ExposeCaddy    bool      `json:"expose_caddy"`
	CaddySubdomain *string   `json:"caddy_subdomain"`
	CaddyPath      *string   `json:"caddy_path"`
	WatchDirs      []string  `json:"watch_dirs"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	Running        bool      `json:"running"`
	PID            *int      `json:"pid"`

	Phase    v1.Phase `json:"phase"`
	Message  string   `json:"message"`
	Restarts int      `json:"restarts"`
	URL      string   `json:"url,omitempty"`
	// File is the manifest, relative to the manifest directory.
	File string `json:"file,omitempty"`
}

// ServiceFields is what a client may send of a service. In a PUT an absent field stays as it is and null clears it;
// those that only the supervisor can know (id, running, pid, ...) are taken and ignored, so that what GET gave can be
// sent back.
type ServiceFields struct {
	Name           *string   `json:"name,omitempty"`
	Command        *string   `json:"command,omitempty"`
	WorkingDir     *string   `json:"working_dir,omitempty"`
	Port           *v1.Port  `json:"port,omitempty"`
	Enabled        *bool     `json:"enabled,omitempty"`
	ExposeCaddy    *bool     `json:"expose_caddy,omitempty"`
	CaddySubdomain *string   `json:"caddy_subdomain,omitempty"`
	CaddyPath      *string   `json:"caddy_path,omitempty"`
	WatchDirs      *[]string `json:"watch_dirs,omitempty"`
}

// Deleted answers a DELETE.
type Deleted struct {
	Status string `json:"status"` // deleted
	Name   string `json:"name"`
}

// Started answers start and restart.
type Started struct {
	Status string `json:"status"` // started, already_running or restarted
	Name   string `json:"name"`
	PID    int    `json:"pid"`
}

// Stopped answers stop.
type Stopped struct {
	Status string `json:"status"` // stopped or not_running
	Name   string `json:"name"`
}

// LogRow is one indexed line of a service's output.
type LogRow struct {
	ID        uint64    `json:"id"`
	ServiceID uint64    `json:"service_id"`
	Level     string    `json:"level"` // info, warning or error
	Message   string    `json:"message"`
	Timestamp time.Time `json:"timestamp"`
}

// MetricsRow is one sample of a service's use of the machine.
type MetricsRow struct {
	ID         uint64    `json:"id"`
	ServiceID  uint64    `json:"service_id"`
	CPUPercent float64   `json:"cpu_percent"`
	MemoryMB   float64   `json:"memory_mb"`
	DiskMB     float64   `json:"disk_mb"`
	Timestamp  time.Time `json:"timestamp"`
}

// Metrics is a service's use of the machine now.
type Metrics struct {
	PID            *int     `json:"pid"`
	CPUPercent     float64  `json:"cpu_percent"`
	MemoryMB       float64  `json:"memory_mb"`
	DiskMB         float64  `json:"disk_mb"`
	ChildProcesses int      `json:"child_processes"`
	UptimeSeconds  float64  `json:"uptime_seconds"`
	RestartCount   int      `json:"restart_count"`
	WatchDirs      []string `json:"watch_dirs"`
}

// Fix is one repair by a coding agent.
type Fix struct {
	ID            uint64    `json:"id"`
	ServiceID     uint64    `json:"service_id"`
	ErrorSummary  string    `json:"error_summary"`
	RobotResponse string    `json:"robot_response"`
	Success       bool      `json:"success"`
	FilesModified []string  `json:"files_modified"`
	BackupPath    *string   `json:"backup_path"`
	Restored      bool      `json:"restored"`
	CanRestore    bool      `json:"can_restore"`
	Timestamp     time.Time `json:"timestamp"`
}

// Scan is the newest security scan of a service.
type Scan struct {
	HasScan     bool       `json:"has_scan"`
	JobID       *string    `json:"job_id"`
	Status      *string    `json:"status"`
	Result      any        `json:"result"`
	Error       *string    `json:"error"`
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`
}

// Status is all services at a glance.
type Status struct {
	Services    []StatusRow `json:"services"`
	Total       int         `json:"total"`
	Running     int         `json:"running"`
	Enabled     int         `json:"enabled"`
	ServiceHost string      `json:"service_host"`
}

// StatusRow is one service at a glance.
type StatusRow struct {
	Name           string   `json:"name"`
	Enabled        bool     `json:"enabled"`
	Running        bool     `json:"running"`
	PID            *int     `json:"pid"`
	Port           *int     `json:"port"`
	CaddySubdomain *string  `json:"caddy_subdomain"`
	Metrics        *Metrics `json:"metrics"`
	Phase          v1.Phase `json:"phase"`
}

// SupervisorLogs is the end of the supervisor's own log.
type SupervisorLogs struct {
	Lines []string `json:"lines"`
	// Total is how many lines the file has.
	Total int `json:"total"`
}

// JobStarted answers what goes on in the background.
type JobStarted struct {
	JobID   string `json:"job_id"`
	Status  string `json:"status"` // started
	Service string `json:"service,omitempty"`
	URL     string `json:"url,omitempty"`
}

// Restored answers the undoing of a fix.
type Restored struct {
	Status     string `json:"status"` // restored
	FixID      uint64 `json:"fix_id"`
	BackupPath string `json:"backup_path"`
	Service    string `json:"service"`
	// UndoID is the fix whose restore undoes this one; Changed are the paths that differed.
	UndoID  uint64   `json:"undo_id"`
	Changed []string `json:"changed"`
}
