package wire

// Settings is how the supervisor is set up, and what it is made of.
type Settings struct {
	Version Version `json:"version"`
	// SQLite is the version of the library that the databases are written with.
	SQLite        string  `json:"sqlite"`
	UptimeSeconds float64 `json:"uptime_seconds"`
	// Settings are in the order of documentation.
	Settings []Setting `json:"settings"`
	// Data is what lies in the data folder, the largest first.
	Data []DataSize `json:"data"`
	// AlertChannels are where people are told, in the order in which they were written.
	AlertChannels []AlertChannel `json:"alert_channels"`
}

// Setting is one setting. Secrets are masked.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	// Source is where the value comes from: default, detected, environment, flag --NAME, or FILE:LINE.
	Source string `json:"source"`
	Help   string `json:"help"`
}

// DataSize is how much one part of the data folder takes.
type DataSize struct {
	// Path is relative to the data folder; About says what it is for.
	Path  string `json:"path"`
	About string `json:"about"`
	Bytes int64  `json:"bytes"`
	Files int    `json:"files"`
}

// AlertChannel is one place where people are told.
type AlertChannel struct {
	Name string `json:"name"`
	// Form is webhook, slack, discord or ntfy.
	Form string `json:"form"`
}
