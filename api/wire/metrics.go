package wire

import "time"

// Usage is what all processes of an object use now. MB are 1,048,576 bytes.
type Usage struct {
	Time time.Time `json:"time"`
	// CPUPercent is of one core: two busy cores are 200.
	CPUPercent float64 `json:"cpu_percent"`
	MemoryMB   float64 `json:"memory_mb"`
	// MemoryKind is pss, rss or mixed: how shared pages are counted.
	MemoryKind string `json:"memory_kind"`
	// DiskMB is null until the watched folders have been walked; DiskPartial says that the walk met its bound of files.
	DiskMB      *float64 `json:"disk_mb"`
	DiskPartial bool     `json:"disk_partial,omitempty"`
	Processes   int      `json:"processes"`
	Threads     int      `json:"threads"`
	// OpenFiles is null where the kernel does not let us look.
	OpenFiles *int `json:"open_files"`
	// ReadBytes and WriteBytes went from and to storage since it was first measured; null where that is not known.
	ReadBytes  *uint64 `json:"read_bytes"`
	WriteBytes *uint64 `json:"write_bytes"`
}

// MetricsNow is the use of everything that runs, by name.
type MetricsNow struct {
	Services map[string]Usage `json:"services"`
	CronJobs map[string]Usage `json:"cronjobs"`
}

// Recent is the last hour of everything that was measured in it, for charts as small as a word.
type Recent struct {
	// Start is the time of the first point; the steps are whole ones since 1970.
	Start       time.Time        `json:"start"`
	StepSeconds int              `json:"step_seconds"`
	Services    map[string]Trail `json:"services"`
	CronJobs    map[string]Trail `json:"cronjobs"`
}

// Trail is one object's figures, oldest first; null where nothing was measured.
type Trail struct {
	CPUPercent []*float64 `json:"cpu_percent"`
	MemoryMB   []*float64 `json:"memory_mb"`
}

// Series is a chart of one object, oldest first, with gaps where nothing ran.
type Series struct {
	Points []SeriesPoint `json:"points"`
}

// SeriesPoint is an average, and the peak within it.
type SeriesPoint struct {
	Time time.Time `json:"time"`
	// StepSeconds is the time that the point stands for; 0 for a single sample.
	StepSeconds float64  `json:"step_seconds"`
	CPUPercent  float64  `json:"cpu_percent"`
	CPUMax      float64  `json:"cpu_max"`
	MemoryMB    float64  `json:"memory_mb"`
	MemoryMaxMB float64  `json:"memory_max_mb"`
	DiskMB      *float64 `json:"disk_mb"`
	Threads     float64  `json:"threads"`
	Processes   float64  `json:"processes"`
	OpenFiles   *float64 `json:"open_files"`
	ReadBytes   *int64   `json:"read_bytes"`
	WriteBytes  *int64   `json:"write_bytes"`
}

// Processes are the processes of an object's runs, parents first.
type Processes struct {
	Processes []Process `json:"processes"`
}

// Process is one process of a run.
type Process struct {
	PID  int `json:"pid"`
	PPID int `json:"ppid"`
	// Command is the program's name as the kernel has it; arguments may hold secrets and are left out.
	Command    string  `json:"command"`
	CPUSeconds float64 `json:"cpu_seconds"`
	// MemoryMB is resident memory, shared pages in full.
	MemoryMB float64   `json:"memory_mb"`
	Threads  int       `json:"threads"`
	Started  time.Time `json:"started"`
	Run      string    `json:"run"`
	Replica  int       `json:"replica"`
}

// AlertTests says how a test of the alert channels went.
type AlertTests struct {
	Results []AlertTest `json:"results"`
}

// AlertTest is the outcome of one channel.
type AlertTest struct {
	Channel string `json:"channel"`
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
}
