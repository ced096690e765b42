package v1

import "time"

// What a manifest means where it says nothing. Defaults that are settings of the supervisor (restart delay and attempts, log
// bounds) are not here: their fields stay nil, so that a change of the setting reaches every manifest that is silent.
const (
	DefaultMaxDelay         = 5 * time.Minute
	DefaultResetAfter       = time.Minute
	DefaultStopTimeout      = 10 * time.Second
	DefaultStopSignal       = "SIGTERM"
	DefaultProbePeriod      = 10 * time.Second
	DefaultProbeTimeout     = time.Second
	DefaultFailureThreshold = 3
	DefaultJobTimeout       = 5 * time.Minute
	DefaultStartingDeadline = time.Hour
	DefaultRetryDelay       = 10 * time.Second
	DefaultHistoryKeep      = 100
	DefaultCooldown         = 10 * time.Minute
	DefaultDrain            = 30 * time.Second
	DefaultIdle             = 10 * time.Minute
	DefaultProgressDeadline = 10 * time.Minute
	DefaultFixesPerDay      = 5
)

func orPtr[T any](p **T, def T) {
	if *p == nil {
		*p = &def
	}
}

func orValue[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}

// Default implements Object.
func (s *Service) Default() {
	sp := &s.Spec
	orPtr(&sp.Enabled, true)
	orPtr(&sp.Replicas, 1)
	for i := range sp.DependsOn {
		orValue(&sp.DependsOn[i].Condition, DependReady)
	}
	orValue(&sp.Restart.Policy, RestartAlways)
	orPtr(&sp.Restart.MaxDelay, Duration(DefaultMaxDelay))
	orPtr(&sp.Restart.ResetAfter, Duration(DefaultResetAfter))
	sp.Stop.setDefaults()
	for _, p := range []*Probe{sp.Probes.Startup, sp.Probes.Readiness, sp.Probes.Liveness} {
		if p != nil {
			p.setDefaults()
		}
	}
	orValue(&sp.Update.Strategy, UpdateRecreate)
	if sp.Update.Strategy == UpdateRolling {
		orPtr(&sp.Update.Drain, Duration(DefaultDrain))
		orPtr(&sp.Update.ProgressDeadline, Duration(DefaultProgressDeadline))
	}
	if sp.Expose != nil {
		orPtr(&sp.Expose.Enabled, true)
		orValue(&sp.Expose.TLS, TLSAuto)
		orPtr(&sp.Expose.StripPath, true)
		if sp.Expose.OnDemand {
			orPtr(&sp.Expose.Idle, Duration(DefaultIdle))
		}
	}
	sp.Autofix.setDefaults()
}

// Default implements Object.
func (j *CronJob) Default() {
	sp := &j.Spec
	orPtr(&sp.Enabled, true)
	orPtr(&sp.Timeout, Duration(DefaultJobTimeout))
	orValue(&sp.ConcurrencyPolicy, ConcurrencyForbid)
	orPtr(&sp.StartingDeadline, Duration(DefaultStartingDeadline))
	orValue(&sp.CatchUp, CatchUpOnce)
	orPtr(&sp.Retries.Delay, Duration(DefaultRetryDelay))
	orValue(&sp.History.Keep, DefaultHistoryKeep)
	sp.Stop.setDefaults()
	sp.Autofix.setDefaults()
}

func (s *Stop) setDefaults() {
	orValue(&s.Signal, DefaultStopSignal)
	orPtr(&s.Timeout, Duration(DefaultStopTimeout))
}

func (p *Probe) setDefaults() {
	orPtr(&p.InitialDelay, 0)
	orPtr(&p.Period, Duration(DefaultProbePeriod))
	orPtr(&p.Timeout, Duration(DefaultProbeTimeout))
	orValue(&p.SuccessThreshold, 1)
	orValue(&p.FailureThreshold, DefaultFailureThreshold)
	if p.HTTPGet != nil {
		orValue(&p.HTTPGet.Path, "/")
		orValue(&p.HTTPGet.Scheme, "http")
	}
}

func (a *Autofix) setDefaults() {
	if a != nil {
		orPtr(&a.Enabled, true)
		orPtr(&a.Cooldown, Duration(DefaultCooldown))
		orPtr(&a.MaxPerDay, DefaultFixesPerDay)
	}
}

// IsEnabled reports whether the service starts when the supervisor starts.
func (s *Service) IsEnabled() bool { return s.Spec.Enabled == nil || *s.Spec.Enabled }

// ReplicaCount is how many copies should run.
func (s *Service) ReplicaCount() int {
	if s.Spec.Replicas == nil {
		return 1
	}
	return *s.Spec.Replicas
}

// Exposed reports whether the service asks for a route through Caddy.
func (s *Service) Exposed() bool {
	e := s.Spec.Expose
	return e != nil && (e.Enabled == nil || *e.Enabled) && (e.Subdomain != "" || e.Path != "" || e.Host != "")
}

// Rolls reports whether the service is updated beside its old processes.
func (s *Service) Rolls() bool { return s.Spec.Update.Strategy == UpdateRolling }

// OnDemand reports whether the service runs only while somebody asks for it.
func (s *Service) OnDemand() bool { return s.Exposed() && s.Spec.Expose.OnDemand }

// RoutedByFile reports whether Caddy looks at each request where the service is.
func (s *Service) RoutedByFile() bool { return s.Rolls() || s.OnDemand() }

// IsEnabled reports whether the job runs by its schedule.
func (j *CronJob) IsEnabled() bool { return j.Spec.Enabled == nil || *j.Spec.Enabled }
