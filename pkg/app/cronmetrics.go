package app

import (
	"context"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/alert"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/metrics"
)

// scrape bounds how long the ledger may take for one scrape.
const scrape = 2 * time.Second

// CronStates implements metrics.ObjectSource.
func (m *measuring) CronStates() []metrics.CronState {
	ctx, cancel := context.WithTimeout(context.Background(), scrape) //nolint:forbidigo // A scrape has no context.
	defer cancel()
	all, err := m.app.cron.ledger.Summaries(ctx, time.Time{})
	if err != nil {
		m.app.log.Warn("the figures of cron jobs are not shown", "err", err)
	}
	jobs := m.app.cron.CronJobs()
	out := make([]metrics.CronState, len(jobs))
	for i, j := range jobs {
		name := j.Metadata.Name
		sum := all[name]
		s := metrics.CronState{
			Name: name, LastRun: sum.LastRun, LastSuccess: sum.LastSuccess,
			Succeeded: uint64(max(0, sum.Executions-sum.Failures)), Failed: uint64(max(0, sum.Failures)),
		}
		if sum.LastState != "" {
			good := sum.LastState == ledger.Succeeded
			s.LastOutcome = &good
		}
		for _, run := range m.app.keeper.Runs(j.Key().String()) {
			if run.Live() {
				s.Running++
			}
		}
		if st := m.app.cron.Status(name); st != nil && st.NextRun != nil {
			s.NextRun = *st.NextRun
		}
		out[i] = s
	}
	return out
}

// jobEnded tells people of failures, and of the recovery. Retries are given their chance first.
func (m *measuring) jobEnded(j *v1.CronJob, row ledger.Row) {
	failed := 0
	if row.State.Bad() {
		if row.Trigger != ledger.Manual && row.Attempt <= j.Spec.Retries.Limit {
			return // another attempt is to come
		}
		failed = 1
	}
	m.notifier.Observe(alert.Observation{
		Object: j.Key().String(), Spec: rules(j.Spec.Alerts), Wanted: true, FailedRuns: &failed, Detail: row.Message,
	})
}

// jobMissed tells people that a run was due and did not happen: nobody was there, or an earlier one does not end. The
// next run that ends resolves it.
func (m *measuring) jobMissed(j *v1.CronJob, why string) {
	m.notifier.Observe(alert.Observation{
		Object: j.Key().String(), Spec: rules(j.Spec.Alerts), Wanted: true, MissedAt: time.Now(), Detail: why,
	})
}
