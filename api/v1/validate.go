package v1

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	namePattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	envNamePattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	labelKeyPattern = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9.-]{0,252}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	labelPattern    = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$`)
	accountPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?$`)
	umaskPattern    = regexp.MustCompile(`^0?[0-7]{3}$`)
)

// ValidName reports whether a name may be an object's.
func ValidName(name string) bool { return namePattern.MatchString(name) && name != "." && name != ".." }

// checker collects what is wrong. Each method says it once, in the words of the person who wrote the manifest.
type checker struct{ errs FieldErrors }

func (c *checker) add(field, format string, args ...any) {
	c.errs = append(c.errs, FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
}

func oneOf[T ~string](c *checker, field string, got T, allowed ...T) {
	if slices.Contains(allowed, got) {
		return
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	c.add(field, "%q is not allowed; write %s", string(got), strings.Join(words, ", "))
}

func (c *checker) within(field string, got, low, high int64) {
	if got < low || got > high {
		c.add(field, "%d is out of range; write a number from %d to %d", got, low, high)
	}
}

func (c *checker) text(field, got string) {
	if i := strings.IndexByte(got, 0); i >= 0 {
		c.add(field, "holds a NUL byte, which no program can be given; remove it")
	}
}

func (c *checker) header(t TypeMeta, kind string, m ObjectMeta) {
	if t.APIVersion != APIVersion {
		c.add("apiVersion", "%q is not known; write %s", t.APIVersion, APIVersion)
	}
	if t.Kind != kind {
		c.add("kind", "%q is not known; write %s", t.Kind, kind)
	}
	switch {
	case m.Name == "":
		c.add("metadata.name", "is missing; write a name of letters, digits, '.', '_' and '-'")
	case !ValidName(m.Name):
		c.add("metadata.name", "%q is not a name; write 1 to 63 letters, digits, '.', '_' and '-', the first a letter or digit", m.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		if !labelKeyPattern.MatchString(key) {
			c.add("metadata.labels", "%q is not a label's name; write letters, digits, '.', '_' and '-', up to 63, after an optional prefix and '/'", key)
		}
		if !labelPattern.MatchString(m.Labels[key]) {
			c.add("metadata.labels."+key, "%q is not a label's value; write up to 63 letters, digits, '.', '_' and '-'", m.Labels[key])
		}
	}
}

// program checks what a Service and a CronJob have in common.
func (c *checker) program(cmd Command, env map[string]string, files EnvFiles, user, group, umask, dir string) {
	c.command("spec.command", cmd)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		field := "spec.env." + name
		if !envNamePattern.MatchString(name) {
			c.add(field, "%q is not a variable's name; write letters, digits and '_', not beginning with a digit", name)
		}
		c.text(field, env[name])
	}
	for i, f := range files {
		field := fmt.Sprintf("spec.envFile[%d]", i)
		if f.Path == "" {
			c.add(field, "is empty; write the path of a dotenv file")
		}
		c.text(field, f.Path)
	}
	for field, account := range map[string]string{"spec.user": user, "spec.group": group} {
		if account != "" && !accountPattern.MatchString(account) {
			c.add(field, "%q is not an account; write a name or a number", account)
		}
	}
	if umask != "" && !umaskPattern.MatchString(umask) {
		c.add("spec.umask", "%q is not a mask; write three octal digits in quotes, such as \"022\"", umask)
	}
	c.text("spec.workingDir", dir)
}

func (c *checker) command(field string, cmd Command) {
	if cmd.IsZero() || len(cmd.Argv) > 0 && cmd.Argv[0] == "" {
		c.add(field, "is missing; write a command line, or a list of the program and its arguments")
	}
	c.text(field, cmd.Line)
	for i, a := range cmd.Argv {
		c.text(fmt.Sprintf("%s[%d]", field, i), a)
	}
}

func (c *checker) stop(s Stop) {
	if s.Signal != "" {
		if _, err := ParseSignal(s.Signal); err != nil {
			c.add("spec.stop.signal", "%v", err)
		}
	}
	if s.Timeout != nil && *s.Timeout > Duration(24*time.Hour) {
		c.add("spec.stop.timeout", "%s is too long; write at most 24h", s.Timeout)
	}
}

func (c *checker) resources(r Resources) {
	if r.MemoryMax != 0 && r.MemoryMax < 1<<20 {
		c.add("spec.resources.memoryMax", "%s is less than any program needs; write at least 1Mi, such as 512Mi", r.MemoryMax)
	}
	if r.CPUMax != 0 && r.CPUMax < 10 {
		c.add("spec.resources.cpuMax", "%s is less than the kernel can give; write at least \"0.01\"", r.CPUMax)
	}
	if r.PidsMax < 0 {
		c.add("spec.resources.pidsMax", "%d is negative; write how many processes and threads there may be", r.PidsMax)
	}
	if r.OpenFiles != 0 && r.OpenFiles < 16 {
		c.add("spec.resources.openFiles", "%d is less than any program needs; write at least 16", r.OpenFiles)
	}
}

func (c *checker) logs(l LogPolicy) {
	if l.MaxBytes != 0 && l.MaxBytes < 64<<10 {
		c.add("spec.logs.maxBytes", "%s is too small to be useful; write at least 64Ki", l.MaxBytes)
	}
	c.within("spec.logs.linesPerSecond", int64(l.LinesPerSecond), 0, 10_000_000)
	if l.Backups != nil {
		c.within("spec.logs.backups", int64(*l.Backups), 0, 1000)
	}
}

func (c *checker) autofix(a *Autofix) {
	if a == nil {
		return
	}
	if a.Mode != "" {
		oneOf(c, "spec.autofix.mode", a.Mode, AutofixPropose, AutofixApply)
	}
	if a.MaxPerDay != nil {
		c.within("spec.autofix.maxPerDay", int64(*a.MaxPerDay), 0, 1000)
	}
	c.text("spec.autofix.check", a.Check)
}

// Validate implements Object.
func (s *Service) Validate() FieldErrors {
	c := &checker{}
	sp := &s.Spec
	c.header(s.TypeMeta, KindService, s.Metadata)
	c.program(sp.Command, sp.Env, sp.EnvFile, sp.User, sp.Group, sp.Umask, sp.WorkingDir)
	if !sp.Port.Auto && (sp.Port.Number < 0 || sp.Port.Number > 65535) {
		c.add("spec.port", "%d is not a port; write a number from 1 to 65535, or auto", sp.Port.Number)
	}
	c.within("spec.replicas", int64(s.ReplicaCount()), 0, 64)
	if s.ReplicaCount() > 1 && sp.Port.Number != 0 {
		c.add("spec.replicas", "%d replicas cannot share port %d; write port: auto", s.ReplicaCount(), sp.Port.Number)
	}
	c.dependencies(s)
	c.restart(sp.Restart)
	c.stop(sp.Stop)
	c.probe("spec.probes.startup", sp.Probes.Startup, sp.Port)
	c.probe("spec.probes.readiness", sp.Probes.Readiness, sp.Port)
	c.probe("spec.probes.liveness", sp.Probes.Liveness, sp.Port)
	c.update(s)
	c.onDemand(s)
	c.expose(sp.Expose, sp.Port)
	c.resources(sp.Resources)
	for i, dir := range sp.WatchDirs {
		if dir == "" {
			c.add(fmt.Sprintf("spec.watchDirs[%d]", i), "is empty; write the path of a folder")
		}
	}
	c.logs(sp.Logs)
	c.alerts(sp.Alerts)
	c.autofix(sp.Autofix)
	return c.errs
}

func (c *checker) dependencies(s *Service) {
	seen := map[string]bool{}
	for i, d := range s.Spec.DependsOn {
		field := fmt.Sprintf("spec.dependsOn[%d]", i)
		switch folded := strings.ToLower(d.Name); {
		case !ValidName(d.Name):
			c.add(field+".name", "%q is not a service's name", d.Name)
		case folded == strings.ToLower(s.Metadata.Name):
			c.add(field+".name", "%q depends on itself; remove the entry", d.Name)
		case seen[folded]:
			c.add(field+".name", "%q is listed twice; keep one entry", d.Name)
		default:
			seen[folded] = true
		}
		oneOf(c, field+".condition", d.Condition, DependStarted, DependReady, DependCompleted)
	}
}

func (c *checker) restart(r Restart) {
	oneOf(c, "spec.restart.policy", r.Policy, RestartAlways, RestartOnFailure, RestartNever)
	if r.MaxAttempts != nil && *r.MaxAttempts < -1 {
		c.add("spec.restart.maxAttempts", "%d is not allowed; write how many restarts in a row, or -1 for no end", *r.MaxAttempts)
	}
	if r.Delay != nil && r.MaxDelay != nil && *r.Delay > *r.MaxDelay {
		c.add("spec.restart.delay", "%s is longer than maxDelay, %s; make it shorter or maxDelay longer", r.Delay, r.MaxDelay)
	}
}

func (c *checker) probe(field string, p *Probe, port Port) {
	if p == nil {
		return
	}
	ways := 0
	if h := p.HTTPGet; h != nil {
		ways++
		c.probePort(field+".httpGet.port", h.Port, port)
		oneOf(c, field+".httpGet.scheme", h.Scheme, "http", "https")
		if !strings.HasPrefix(h.Path, "/") || strings.ContainsAny(h.Path, " \t\r\n\x00") {
			c.add(field+".httpGet.path", "%q is not a path; write one that begins with '/' and has no spaces", h.Path)
		}
	}
	if t := p.TCPSocket; t != nil {
		ways++
		c.probePort(field+".tcpSocket.port", t.Port, port)
	}
	if e := p.Exec; e != nil {
		ways++
		c.command(field+".exec.command", e.Command)
	}
	if ways != 1 {
		c.add(field, "has %d checks; write exactly one of httpGet, tcpSocket and exec", ways)
	}
	if p.Period != nil && time.Duration(*p.Period) < 10*time.Millisecond {
		c.add(field+".period", "%s is too short; write at least 10ms", p.Period)
	}
	if p.Timeout != nil && *p.Timeout <= 0 {
		c.add(field+".timeout", "must be longer than 0s; write for example 1s")
	}
	if p.SuccessThreshold < 1 {
		c.add(field+".successThreshold", "%d is not allowed; write 1 or more", p.SuccessThreshold)
	}
	if p.FailureThreshold < 1 {
		c.add(field+".failureThreshold", "%d is not allowed; write 1 or more", p.FailureThreshold)
	}
}

func (c *checker) probePort(field string, got int, service Port) {
	switch {
	case got < 0 || got > 65535:
		c.add(field, "%d is not a port; write a number from 1 to 65535", got)
	case got == 0 && service.IsZero():
		c.add(field, "is missing, and the service has no port to take; write it here or in spec.port")
	}
}

func (c *checker) onDemand(s *Service) {
	e := s.Spec.Expose
	switch {
	case e == nil:
	case !e.OnDemand && e.Idle != nil:
		c.add("spec.expose.idle", "is for onDemand: true; write that, or remove the field")
	case !e.OnDemand:
	case s.Spec.Probes.Readiness == nil:
		c.add("spec.expose.onDemand", "needs spec.probes.readiness to know when the requests that wait may be passed on")
	case e.Idle != nil && *e.Idle < Duration(time.Second):
		c.add("spec.expose.idle", "%s is too short; write at least 1s", e.Idle)
	}
}

func (c *checker) update(s *Service) {
	oneOf(c, "spec.update.strategy", s.Spec.Update.Strategy, UpdateRecreate, UpdateRolling)
	if !s.Rolls() {
		for field, d := range map[string]*Duration{"drain": s.Spec.Update.Drain, "progressDeadline": s.Spec.Update.ProgressDeadline} {
			if d != nil {
				c.add("spec.update."+field, "is for strategy: Rolling; write that, or remove the field")
			}
		}
		return
	}
	if d := s.Spec.Update.Drain; d != nil && *d > Duration(24*time.Hour) {
		c.add("spec.update.drain", "%s is too long; write at most 24h", d)
	}
	if d := s.Spec.Update.ProgressDeadline; d != nil && *d < Duration(time.Second) {
		c.add("spec.update.progressDeadline", "%s is too short; write at least 1s", d)
	}
	switch {
	case !s.Spec.Port.Auto:
		c.add("spec.update.strategy", "Rolling runs two versions side by side, which needs port: auto")
	case s.Spec.Probes.Readiness == nil:
		c.add("spec.update.strategy", "Rolling needs spec.probes.readiness to know when the new version may take over")
	case !s.Exposed():
		c.add("spec.update.strategy", "Rolling needs spec.expose: without Caddy in front, clients would have to change ports")
	}
}

// Validate implements Object.
func (j *CronJob) Validate() FieldErrors {
	c := &checker{}
	sp := &j.Spec
	c.header(j.TypeMeta, KindCronJob, j.Metadata)
	c.program(sp.Command, sp.Env, sp.EnvFile, sp.User, sp.Group, sp.Umask, sp.WorkingDir)
	if strings.TrimSpace(sp.Schedule) == "" {
		c.add("spec.schedule", "is missing; write five cron fields such as \"0 2 * * *\", or @daily")
	}
	if sp.TimeZone != "" {
		if _, err := time.LoadLocation(sp.TimeZone); err != nil || sp.TimeZone == "Local" {
			c.add("spec.timeZone", "%q is not a time zone; write an IANA name such as Europe/London or UTC", sp.TimeZone)
		}
	}
	oneOf(c, "spec.concurrencyPolicy", sp.ConcurrencyPolicy, ConcurrencyAllow, ConcurrencyForbid, ConcurrencyReplace)
	oneOf(c, "spec.catchUp", sp.CatchUp, CatchUpSkip, CatchUpOnce, CatchUpAll)
	c.within("spec.retries.limit", int64(sp.Retries.Limit), 0, 100)
	c.within("spec.history.keep", int64(sp.History.Keep), 1, 100_000)
	c.stop(sp.Stop)
	c.resources(sp.Resources)
	c.logs(sp.Logs)
	c.alerts(sp.Alerts)
	c.autofix(sp.Autofix)
	return c.errs
}
