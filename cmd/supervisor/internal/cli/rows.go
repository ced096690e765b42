package cli

import (
	"strconv"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// serviceHeader and serviceRow are the table of services.
func serviceHeader(wide bool) []string {
	if wide {
		return []string{"NAME", "STATUS", "READY", "RESTARTS", "UPTIME", "PID", "PORT", "URL", "COMMAND", "MESSAGE"}
	}
	return []string{"NAME", "STATUS", "READY", "RESTARTS", "UPTIME", "PID", "PORT", "MESSAGE"}
}

func serviceRow(s *v1.Service, wide bool, now time.Time) []string {
	st := statusOf(s)
	ready := 0
	for _, r := range st.Replicas {
		if r.Ready {
			ready++
		}
	}
	restarts := strconv.Itoa(st.Restarts)
	if st.Restarts > 0 && st.LastExit != nil {
		restarts += " (" + ago(now, st.LastExit.At) + ")"
	}
	uptime := ""
	if st.PID > 0 && st.StartedAt != nil {
		uptime = span(now.Sub(*st.StartedAt))
	}
	row := []string{
		s.Metadata.Name, string(st.Phase), strconv.Itoa(ready) + "/" + strconv.Itoa(replicas(s)), restarts, uptime,
		number(st.PID), number(st.Port),
	}
	if wide {
		row = append(row, st.URL, s.Spec.Command.String())
	}
	return append(row, reason(st))
}

func cronJobHeader(wide bool) []string {
	if wide {
		return []string{"NAME", "SCHEDULE", "ENABLED", "RUNNING", "LAST RUN", "STATUS", "NEXT RUN", "TIME ZONE", "COMMAND"}
	}
	return []string{"NAME", "SCHEDULE", "ENABLED", "RUNNING", "LAST RUN", "STATUS", "NEXT RUN"}
}

func cronJobRow(j *v1.CronJob, wide bool, now time.Time) []string {
	st := j.Status
	if st == nil {
		st = &v1.CronJobStatus{}
	}
	last, next := "", ""
	if st.LastRun != nil {
		last = ago(now, *st.LastRun)
	}
	if st.NextRun != nil {
		next = in(now, *st.NextRun)
	}
	row := []string{j.Metadata.Name, j.Spec.Schedule, yesNo(enabled(j.Spec.Enabled)), yesNo(st.Running), last, outcome(st), next}
	if wide {
		row = append(row, j.Spec.TimeZone, j.Spec.Command.String())
	}
	return row
}

// outcome is how the last run of a cron job ended.
func outcome(st *v1.CronJobStatus) string {
	switch {
	case st.LastSuccess == nil:
		return ""
	case *st.LastSuccess:
		return "ok"
	}
	return "failed"
}

// statusOf is the status of a service, also where none has been observed yet.
func statusOf(s *v1.Service) *v1.ServiceStatus {
	if s.Status == nil {
		return &v1.ServiceStatus{Phase: v1.PhasePending}
	}
	return s.Status
}

// reason says in a sentence why a service is not as it should be; nothing when it is.
func reason(st *v1.ServiceStatus) string {
	var parts []string
	add := func(t string, bad v1.ConditionStatus) {
		c := v1.FindCondition(st.Conditions, t)
		if c == nil || c.Status != bad {
			return
		}
		text := c.Message
		if text == "" {
			text = c.Reason
		}
		for _, p := range parts {
			if p == text {
				return
			}
		}
		parts = append(parts, text)
	}
	add(v1.ConditionManifestValid, v1.ConditionFalse)
	switch st.Phase {
	case v1.PhaseRunning, v1.PhaseComplete:
	case v1.PhaseFailed:
		add(v1.ConditionProgressing, v1.ConditionFalse)
		if len(parts) == 0 {
			add(v1.ConditionReady, v1.ConditionFalse)
		}
	default:
		add(v1.ConditionReady, v1.ConditionFalse)
		if len(parts) == 0 {
			add(v1.ConditionProgressing, v1.ConditionTrue)
		}
	}
	add(v1.ConditionDegraded, v1.ConditionTrue)
	return strings.Join(parts, "; ")
}

// replicas is how many copies a service asks for.
func replicas(s *v1.Service) int {
	if s.Spec.Replicas == nil {
		return 1
	}
	return *s.Spec.Replicas
}

func enabled(b *bool) bool { return b == nil || *b }

// number leaves out what is not there.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// objectTable is the table of one kind.
type objectTable struct {
	kind string
	wide bool
	table
}

func newObjectTable(kind string, wide bool) *objectTable {
	t := &objectTable{kind: kind, wide: wide}
	t.header = serviceHeader(wide)
	if kind == v1.KindCronJob {
		t.header = cronJobHeader(wide)
	}
	return t
}

// row is an object's row as it is at now.
func (t *objectTable) row(o v1.Object, now time.Time) []string {
	switch o := o.(type) {
	case *v1.Service:
		return serviceRow(o, t.wide, now)
	case *v1.CronJob:
		return cronJobRow(o, t.wide, now)
	}
	return nil
}

// gone is the row of an object that does not exist any more.
func (t *objectTable) gone(name string) []string {
	row := make([]string, len(t.header))
	row[0] = name
	for i, h := range t.header {
		if h == "STATUS" {
			row[i] = "Deleted"
		}
	}
	return row
}
