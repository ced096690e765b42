package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
)

// describedEvents is how much of its history describe shows of an object.
const describedEvents = 20

func (c *cli) describeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "describe [KIND] NAME...",
		Short:   "Tell all about a service or cron job, and why it is not running",
		Example: "  supervisor describe web\n  supervisor describe cronjob/backup",
		Args:    minArgs("at least one service or cron job"), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			refs, err := parseRefs(args)
			if err != nil {
				return err
			}
			var failed error
			first := true
			for _, r := range refs {
				objects, err := find(ctx, api, r, "")
				var unknown notFoundError
				if errors.As(err, &unknown) {
					c.complain(err)
					c.explainAbsence(ctx, api, r)
					failed = errSaid
					continue
				}
				if err != nil {
					return err
				}
				for _, o := range objects {
					if !first {
						c.printf("\n")
					}
					first = false
					if err := c.describe(ctx, api, o); err != nil {
						return err
					}
				}
			}
			return failed
		}),
	}
}

// explainAbsence tells of a manifest that is there and has never been valid.
func (c *cli) explainAbsence(ctx context.Context, api *client.Client, r ref) {
	problems, err := api.Problems(ctx)
	if err != nil {
		return // the error that led here has been told
	}
	for _, p := range problems {
		base := strings.TrimSuffix(path.Base(p.File), path.Ext(p.File))
		if strings.EqualFold(p.Key.Name, r.Name) || strings.EqualFold(base, r.Name) {
			c.notef("  %s\n", plain(p.String()))
		}
	}
}

func (c *cli) describe(ctx context.Context, api *client.Client, o v1.Object) error {
	key, file := o.Key(), ""
	if key.Kind == v1.KindService {
		if flat, err := api.Service(ctx, key.Name); err == nil {
			file = flat.File
		}
	}
	c.field("Name", key.Name)
	c.field("Kind", key.Kind)
	if labels := o.Meta().Labels; len(labels) > 0 {
		c.field("Labels", pairs(labels))
	}
	if notes := o.Meta().Annotations; len(notes) > 0 {
		c.field("Annotations", pairs(notes))
	}
	c.field("Manifest", file)
	var conditions []v1.Condition
	switch o := o.(type) {
	case *v1.Service:
		conditions = statusOf(o).Conditions
		c.describeService(o)
	case *v1.CronJob:
		if o.Status != nil {
			conditions = o.Status.Conditions
		}
		c.describeCronJob(o)
	}
	c.describeConditions(conditions)
	problems, err := api.Problems(ctx)
	if err != nil {
		return err
	}
	problems = slices.DeleteFunc(problems, func(p v1.Problem) bool {
		return p.Key.Folded() != key.Folded() && (file == "" || p.File != file)
	})
	if len(problems) > 0 {
		c.printf("Problems:\n")
		for _, p := range problems {
			c.printf("  %s\n", c.paint(red, plain(p.String())))
		}
	}
	events, err := api.Events(ctx, v1.EventFilter{Key: key, Limit: describedEvents})
	if err != nil {
		return err
	}
	c.describeEvents(events)
	return nil
}

// field writes one line of "Name:  value", nothing when there is no value.
func (c *cli) field(name, value string) {
	if value != "" {
		c.printf("%-13s%s\n", name+":", plain(value))
	}
}

func pairs(m map[string]string) string {
	words := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		words = append(words, k+"="+m[k])
	}
	return strings.Join(words, ", ")
}

func (c *cli) describeService(s *v1.Service) {
	st, now := statusOf(s), c.Now()
	c.field("Command", s.Spec.Command.String())
	c.field("Folder", s.Spec.WorkingDir)
	c.field("User", s.Spec.User)
	c.field("Enabled", yesNo(enabled(s.Spec.Enabled)))
	c.field("Depends on", dependencies(s.Spec.DependsOn))
	port := number(st.Port)
	if s.Spec.Port.Auto {
		port = strings.TrimSpace(port + " (auto)")
	}
	c.field("Port", port)
	c.field("URL", st.URL)
	c.printf("%-13s%s\n", "Status:", c.paint(colorOf(string(st.Phase)), string(st.Phase)))
	c.field("Reason", reason(st))
	if st.NextRestart != nil && st.Phase == v1.PhaseBackoff {
		c.field("Next start", in(now, *st.NextRestart))
	}
	if st.PID > 0 {
		c.field("Process", fmt.Sprintf("pid %d, started %s", st.PID, ago(now, valueOr(st.StartedAt))))
	}
	if st.Restarts > 0 || st.Attempts > 0 {
		c.field("Restarts", fmt.Sprintf("%d, %d of them in the present row of failures", st.Restarts, st.Attempts))
	}
	c.describeExit(st.LastExit)
	if len(st.Replicas) > 1 {
		t := &table{header: []string{"REPLICA", "PID", "PORT", "READY", "STARTED", "MESSAGE"}}
		for _, r := range st.Replicas {
			t.rows = append(t.rows, []string{fmt.Sprint(r.Index), number(r.PID), number(r.Port), yesNo(r.Ready), ago(now, r.StartedAt), r.Message})
		}
		c.printf("Replicas:\n")
		c.printTable(c.Out, t, "  ", true)
	}
}

func dependencies(deps []v1.Dependency) string {
	words := make([]string, len(deps))
	for i, d := range deps {
		words[i] = fmt.Sprintf("%s (%s)", d.Name, d.Condition)
	}
	return strings.Join(words, ", ")
}

func (c *cli) describeExit(e *v1.ExitInfo) {
	if e == nil {
		return
	}
	text := e.Reason
	if text == "" {
		text = fmt.Sprintf("exited with code %d", e.Code)
	}
	if !e.StartedAt.IsZero() && e.At.After(e.StartedAt) {
		text += ", having run for " + took(e.At.Sub(e.StartedAt))
	}
	c.field("Last exit", ago(c.Now(), e.At)+": "+text)
	for _, line := range e.LastLines {
		c.printf("  %s %s\n", c.paint(faint, "|"), plain(line))
	}
}

func (c *cli) describeCronJob(j *v1.CronJob) {
	now := c.Now()
	c.field("Command", j.Spec.Command.String())
	c.field("Folder", j.Spec.WorkingDir)
	c.field("User", j.Spec.User)
	c.field("Schedule", strings.TrimSpace(j.Spec.Schedule+" "+j.Spec.TimeZone))
	c.field("Enabled", yesNo(enabled(j.Spec.Enabled)))
	st := j.Status
	if st == nil {
		return
	}
	c.field("Running", yesNo(st.Running))
	if st.LastRun != nil {
		c.field("Last run", strings.TrimSuffix(ago(now, *st.LastRun)+", "+outcome(st), ", "))
	}
	if st.NextRun != nil {
		c.field("Next run", fmt.Sprintf("%s (%s)", in(now, *st.NextRun), st.NextRun.Format(time.RFC3339)))
	}
}

func (c *cli) describeConditions(conditions []v1.Condition) {
	if len(conditions) == 0 {
		return
	}
	t := &table{header: []string{"CONDITION", "IS", "SINCE", "REASON", "MESSAGE"}}
	for _, k := range conditions {
		t.rows = append(t.rows, []string{k.Type, string(k.Status), ago(c.Now(), k.LastTransitionTime), k.Reason, k.Message})
	}
	c.printf("Conditions:\n")
	c.printTable(c.Out, t, "  ", true)
}

func (c *cli) describeEvents(events []v1.Event) {
	if len(events) == 0 {
		c.printf("Events:      none\n")
		return
	}
	t := &table{header: []string{"WHEN", "TYPE", "REASON", "BY", "MESSAGE"}}
	for i := range events {
		e := &events[i]
		t.rows = append(t.rows, []string{ago(c.Now(), e.Time), string(e.Type), e.Reason, e.Actor, e.Message})
	}
	c.printf("Events:\n")
	c.printTable(c.Out, t, "  ", true)
}
