package rest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// cronView is the flat view of a cron job as it is observed.
func (a *API) cronView(j *v1.CronJob) wire.Cron {
	w := wire.Cron{
		Name: j.Metadata.Name, Command: maskText(j.Spec.Command.String()), Schedule: j.Spec.Schedule, WorkingDir: j.Spec.WorkingDir,
		Enabled: jobEnabled(j), Timeout: j.Spec.Timeout.Or(v1.DefaultJobTimeout).Seconds(), WatchDirs: append([]string{}, j.Spec.WatchDirs...),
		EnvVars: make(map[string]string, len(j.Spec.Env)),
	}
	for name, v := range j.Spec.Env {
		w.EnvVars[name] = maskLeaf([]string{"env", name}, "", v)
	}
	if len(j.Spec.EnvFile) > 0 {
		w.EnvFile = &j.Spec.EnvFile[0].Path
	}
	w.ID, w.CreatedAt, w.UpdatedAt, _ = a.deps.Observed.ObjectInfo(j.Key())
	if a.deps.Cron == nil {
		return w
	}
	w.ScheduleDescription = a.deps.Cron.Describe(j)
	if st := a.deps.Cron.Status(j.Metadata.Name); st != nil {
		w.Running, w.LastRun, w.NextRun = st.Running, st.LastRun, st.NextRun
		if c := v1.FindCondition(st.Conditions, v1.ConditionReady); c != nil && c.Status != v1.ConditionTrue {
			w.Message = c.Message
		}
	}
	return w
}

func jobEnabled(j *v1.CronJob) bool { return j.Spec.Enabled == nil || *j.Spec.Enabled }

// ignoredCronFields are those of the answer that may be sent back and say nothing.
var ignoredCronFields = []string{"id", "created_at", "updated_at", "running", "last_run", "next_run", "schedule_description", "message"}

// cronBody is what was sent: the values, and which fields were null.
type cronBody struct {
	wire.CronFields
	null map[string]bool
}

func readCron(c *call) (cronBody, error) {
	var b cronBody
	data, err := c.body()
	if err != nil {
		return b, err
	}
	b.null, err = decodeFields(data, map[string]any{
		"name": &b.Name, "command": &b.Command, "schedule": &b.Schedule, "working_dir": &b.WorkingDir, "enabled": &b.Enabled,
		"timeout": &b.Timeout, "watch_dirs": &b.WatchDirs, "env_vars": &b.EnvVars, "env_file": &b.EnvFile,
	}, ignoredCronFields)
	return b, err
}

// cronEdit is a job and what differs from it.
type cronEdit struct {
	next    *v1.CronJob
	changes []Change
}

func (e *cronEdit) put(value any, path ...string) {
	e.changes = append(e.changes, Change{Path: path, Value: value})
}

// edit applies b to cur, which it does not change. What equals what is shown was sent back, and changes nothing.
func (b *cronBody) edit(cur *v1.CronJob, shown *wire.Cron) (cronEdit, error) {
	next, err := copyObject(cur)
	if err != nil {
		return cronEdit{}, err
	}
	e := cronEdit{next: next}
	var wrong v1.FieldErrors
	required := func(field string) {
		if b.null[field] {
			wrong = append(wrong, v1.FieldError{Field: field, Detail: "is required"})
		}
	}
	required("command")
	required("schedule")
	if b.null["name"] || (b.Name != nil && *b.Name != cur.Metadata.Name) {
		wrong = append(wrong, v1.FieldError{Field: "name", Detail: "a name cannot be changed; make a new cron job and delete this one"})
	}
	if b.Command != nil && *b.Command != shown.Command {
		if strings.Contains(*b.Command, mask) {
			wrong = append(wrong, v1.FieldError{Field: "command", Detail: "still holds " + mask + "; write the secret itself there, or leave the command as it was shown"})
		}
		next.Spec.Command = v1.Command{Line: *b.Command}
		e.put(*b.Command, "spec", "command")
	}
	if b.Schedule != nil && *b.Schedule != shown.Schedule {
		next.Spec.Schedule = *b.Schedule
		e.put(*b.Schedule, "spec", "schedule")
	}
	if dir, given := value(b.WorkingDir, b.null["working_dir"]); given && dir != shown.WorkingDir {
		next.Spec.WorkingDir = dir
		e.put(orRemove(dir), "spec", "workingDir")
	}
	if b.Enabled != nil && *b.Enabled != shown.Enabled {
		next.Spec.Enabled = b.Enabled
		e.put(*b.Enabled, "spec", "enabled")
	}
	if b.Timeout != nil && *b.Timeout != shown.Timeout {
		d := v1.Duration(*b.Timeout * float64(time.Second))
		next.Spec.Timeout = &d
		e.put(d.String(), "spec", "timeout")
	}
	b.editLists(&e, shown, &wrong)
	if len(wrong) > 0 {
		return e, wrong
	}
	return e, nil
}

func (b *cronBody) editLists(e *cronEdit, shown *wire.Cron, wrong *v1.FieldErrors) {
	if dirs, given := value(b.WatchDirs, b.null["watch_dirs"]); given && !slices.Equal(dirs, shown.WatchDirs) {
		e.next.Spec.WatchDirs = dirs
		e.put(orNone(dirs, len(dirs)), "spec", "watchDirs")
	}
	if env, given := value(b.EnvVars, b.null["env_vars"]); given && !maps.Equal(env, shown.EnvVars) {
		merged := map[string]string{}
		for name, v := range env {
			if old, had := shown.EnvVars[name]; had && v == old {
				v = e.next.Spec.Env[name] // sent back as it was shown, which may be masked
			} else if strings.Contains(v, mask) {
				*wrong = append(*wrong, v1.FieldError{Field: "env_vars." + name, Detail: "still holds " + mask + "; write the secret itself there"})
			}
			merged[name] = v
		}
		e.next.Spec.Env = merged
		e.put(orNone(merged, len(merged)), "spec", "env")
	}
	if file, given := value(b.EnvFile, b.null["env_file"]); given && file != deref(shown.EnvFile) {
		e.next.Spec.EnvFile = nil
		if file != "" {
			e.next.Spec.EnvFile = v1.EnvFiles{{Path: file}}
		}
		e.put(orRemove(file), "spec", "envFile")
	}
}

// orNone is nil, which removes a field, for what is empty.
func orNone(v any, length int) any {
	if length == 0 {
		return nil
	}
	return v
}

// cronNames are the flat names of the manifest's fields.
var cronNames = map[string]string{
	"metadata.name": "name", "spec.command": "command", "spec.schedule": "schedule", "spec.workingDir": "working_dir", "spec.timeout": "timeout",
	"spec.enabled": "enabled", "spec.watchDirs": "watch_dirs", "spec.env": "env_vars", "spec.envFile": "env_file",
}

func (c *call) validateCronJob(j *v1.CronJob, runner Cron) error {
	full, err := copyObject(j)
	if err != nil {
		return err
	}
	full.Default()
	wrong := full.Validate()
	if len(wrong) == 0 {
		wrong = runner.Check(full)
	}
	if len(wrong) == 0 {
		return nil
	}
	out := make(v1.FieldErrors, len(wrong))
	for i, w := range wrong {
		out[i] = w
		if flat, ok := cronNames[w.Field]; ok {
			out[i].Field = flat
		}
	}
	return out
}

// badRequest answers wrong fields with 400, which is what clients of cron jobs expect.
func badRequest(err error) error {
	var wrong v1.FieldErrors
	if !errors.As(err, &wrong) {
		return err
	}
	return &Error{Code: wire.CodeInvalid, Detail: wrong.Error(), Fields: wrong}
}

func createCron(c *call) (any, error) {
	runner, err := c.cron()
	if err != nil {
		return nil, err
	}
	body, err := readCron(c)
	if err != nil {
		return nil, err
	}
	j := &v1.CronJob{TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindCronJob}}
	j.Metadata.Name = deref(body.Name)
	shown := wire.Cron{Name: j.Metadata.Name, Enabled: true, Timeout: v1.DefaultJobTimeout.Seconds()}
	edit, err := body.edit(j, &shown)
	if err != nil {
		return nil, err
	}
	if err := c.validateCronJob(edit.next, runner); err != nil {
		return nil, badRequest(err)
	}
	if _, taken := c.api.deps.Desired.Get(j.Key()); taken {
		return nil, Errorf(wire.CodeConflict, "there is a cron job %s already; change it with PUT /api/cron/%s", j.Metadata.Name, j.Metadata.Name)
	}
	revision, err := c.api.deps.Editor.Create(c.Request.Context(), Document{Object: edit.next}, c.caller.actor())
	if err != nil {
		return nil, err
	}
	return c.cronActed(j.Key(), revision, runner)
}

func updateCron(c *call) (any, error) {
	cur, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	body, err := readCron(c)
	if err != nil {
		return nil, err
	}
	shown := c.api.cronView(cur)
	edit, err := body.edit(cur, &shown)
	if err != nil {
		return nil, err
	}
	if len(edit.changes) == 0 {
		return shown, nil
	}
	if err := c.validateCronJob(edit.next, runner); err != nil {
		return nil, err
	}
	ifMatch, err := c.ifMatch(cur)
	if err != nil {
		return nil, err
	}
	revision, err := c.api.deps.Editor.Change(c.Request.Context(), cur.Key(), edit.changes, ifMatch, c.caller.actor())
	if err != nil {
		return nil, err
	}
	return c.cronActed(cur.Key(), revision, runner)
}

// settlePause is the time between two looks at whether the reconciler has acted.
const settlePause = 5 * time.Millisecond

// cronActed waits until the reconciler has taken in the revision, and returns the job's view then.
func (c *call) cronActed(key v1.Key, revision string, runner Cron) (any, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), c.api.deps.Patience)
	defer cancel()
	tick := time.NewTicker(settlePause)
	defer tick.Stop()
	for ctx.Err() == nil {
		if st := runner.Status(key.Name); st != nil && st.ObservedRevision == revision {
			break
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	o, ok := c.api.deps.Desired.Get(key)
	j, isJob := o.(*v1.CronJob)
	if !ok || !isJob {
		return nil, Errorf(wire.CodeConflict, "%s was deleted again meanwhile", key.Name)
	}
	return c.api.cronView(j), nil
}

func deleteCron(c *call) (any, error) {
	j, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	if err := c.remove(j); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), c.api.stopPatience(j))
	defer cancel()
	if err := runner.Gone(ctx, j.Metadata.Name); err != nil {
		return nil, &Error{Code: wire.CodeTimeout, Detail: "the manifest of " + j.Metadata.Name + " is deleted, but what runs of it has not ended yet", Cause: err}
	}
	return wire.Deleted{Status: "deleted", Name: j.Metadata.Name}, nil
}
