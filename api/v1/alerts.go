package v1

import "time"

// DefaultNotReadyFor is how long a service may be unready before people are told, unless its manifest says otherwise.
const DefaultNotReadyFor = 5 * time.Minute

// Alerts says of what people are told about an object. Where alerts go is a setting of the machine (ALERT_CHANNELS).
type Alerts struct {
	Enabled      *bool     `json:"enabled,omitempty" jsonschema:"default=true"`
	Channels     []string  `json:"channels,omitempty" jsonschema_description:"Names of channels of ALERT_CHANNELS. Default: all."`
	CrashLoop    *bool     `json:"crashLoop,omitempty" jsonschema:"default=true" jsonschema_description:"Tell when a service is given up or restarted three times in a row."`
	NotReadyFor  *Duration `json:"notReadyFor,omitempty" jsonschema_description:"Tell when a service was not ready for so long; 0s never. Default: 5m."`
	UpdateFailed *bool     `json:"updateFailed,omitempty" jsonschema:"default=true" jsonschema_description:"Tell when a rolling update was given up."`
	CronFailure  *bool     `json:"cronFailure,omitempty" jsonschema:"default=true" jsonschema_description:"Tell when a run of a cron job fails."`
	MissedRun    *bool     `json:"missedRun,omitempty" jsonschema:"default=true" jsonschema_description:"Tell when a run of a cron job was due and did not happen."`
	MemoryOver   ByteSize  `json:"memoryOver,omitempty" jsonschema_description:"Tell when the whole tree uses more memory, such as 512Mi."`
	DiskOver     ByteSize  `json:"diskOver,omitempty" jsonschema_description:"Tell when the watched folders take more space, such as 20Gi."`
}

func (c *checker) alerts(a *Alerts) {
	if a == nil {
		return
	}
	for i, name := range a.Channels {
		if name == "" {
			c.add("spec.alerts.channels", "channel %d has no name; write a name of ALERT_CHANNELS", i)
		}
	}
}
