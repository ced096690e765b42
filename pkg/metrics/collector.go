package metrics

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "supervisor"

// scrapeBudget is how long a scrape waits for a pass that somebody else has under way.
const scrapeBudget = 5 * time.Second

// UsageSource gives the usage of all owners. Sampler is one.
type UsageSource interface {
	Snapshot(ctx context.Context) (*Snapshot, error)
}

var _ UsageSource = (*Sampler)(nil)

// Collector shows the present state to Prometheus: it keeps nothing, so what is gone from the state is gone from the
// exposition. Its figures are at most a second old.
type Collector struct {
	usage   UsageSource
	objects ObjectSource
	queues  QueueSource
	// kind is the prefix of the owners that are services, such as "Service/".
	kind string
	d    descriptions
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector makes a collector. Owners in the usage whose names begin with servicePrefix ("Service/") are shown as
// services. Each source may be nil; its part is then left out.
func NewCollector(usage UsageSource, objects ObjectSource, queues QueueSource, servicePrefix string) *Collector {
	return &Collector{usage: usage, objects: objects, queues: queues, kind: servicePrefix, d: describe()}
}

type descriptions struct {
	up, ready, readyN, desired, restarts, exitCode, startTime, skipped, dropped *prometheus.Desc
	cpu, memory, files, processes, threads, read, written, received, sent, disk *prometheus.Desc
	cronRunning, cronLast, cronOK, cronOutcome, cronTook, cronNext, cronRuns    *prometheus.Desc
	depth, active, adds, retries                                                *prometheus.Desc
}

func describe() descriptions {
	service := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "service", name), help, []string{"service"}, nil)
	}
	cron := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "cronjob", name), help, append([]string{"cronjob"}, more...), nil)
	}
	queue := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "queue", name), help, []string{"queue"}, nil)
	}
	return descriptions{
		up:        service("up", "Whether the service runs: 1 when at least one replica does, else 0."),
		ready:     service("ready", "Whether all replicas that should run are ready: 1 or 0; 0 when none should run."),
		readyN:    service("ready_replicas", "Replicas that are ready."),
		desired:   service("desired_replicas", "Replicas that should run."),
		restarts:  service("restarts_total", "Restarts after an exit."),
		exitCode:  service("last_exit_code", "Exit code of the last exit; -1 when a signal ended it or it is unknown."),
		startTime: service("start_time_seconds", "When the oldest live replica began, in seconds since the epoch."),
		skipped:   service("log_lines_skipped_total", "Lines that are in the log files and were left out of the search index."),
		dropped:   service("log_dropped_bytes_total", "Bytes of output that could not be written to a log file."),

		cpu:       service("cpu_seconds_total", "CPU time of the whole process tree, user and system."),
		memory:    service("memory_bytes", "Memory of the whole process tree: proportional set size, resident set size where that cannot be read."),
		files:     service("open_fds", "Open file descriptors of the whole process tree."),
		processes: service("processes", "Processes of the whole tree."),
		threads:   service("threads", "Threads of the whole tree."),
		read:      service("storage_read_bytes_total", "Bytes fetched from storage."),
		written:   service("storage_written_bytes_total", "Bytes sent to storage."),
		received:  service("network_receive_bytes_total", "Bytes received in the service's own network namespace."),
		sent:      service("network_transmit_bytes_total", "Bytes sent in the service's own network namespace."),
		disk:      service("disk_bytes", "Allocated space of the watched folders."),

		cronRunning: cron("running", "Runs under way."),
		cronLast:    cron("last_run_timestamp_seconds", "When the last run began, in seconds since the epoch."),
		cronOK:      cron("last_success_timestamp_seconds", "When the last successful run ended, in seconds since the epoch."),
		cronOutcome: cron("last_run_success", "Whether the last run that ended succeeded."),
		cronTook:    cron("last_run_duration_seconds", "How long the last run that ended took."),
		cronNext:    cron("next_run_timestamp_seconds", "When the next run is due, in seconds since the epoch."),
		cronRuns:    cron("runs_total", "Runs by outcome: succeeded, failed, missed.", "outcome"),

		depth:   queue("depth", "Keys that wait."),
		active:  queue("active", "Keys that are worked on."),
		adds:    queue("adds_total", "Keys that were put on the queue."),
		retries: queue("retries_total", "Keys that were put back after an error."),
	}
}

// Describe implements prometheus.Collector. It tells nothing, as which series there are depends on the state.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	if c.objects != nil {
		for _, s := range c.objects.ServiceStates() {
			c.service(to, &s)
		}
		for _, s := range c.objects.CronStates() {
			c.cron(to, &s)
		}
	}
	if c.queues != nil {
		for _, q := range c.queues.QueueStates() {
			gauge(to, c.d.depth, float64(q.Depth), q.Name)
			gauge(to, c.d.active, float64(q.Active), q.Name)
			counter(to, c.d.adds, float64(q.Adds), q.Name)
			counter(to, c.d.retries, float64(q.Retries), q.Name)
		}
	}
	c.usages(to)
}

func (c *Collector) service(to chan<- prometheus.Metric, s *ServiceState) {
	gauge(to, c.d.up, boolean(s.Up > 0), s.Name)
	gauge(to, c.d.ready, boolean(s.Desired > 0 && s.Ready >= s.Desired), s.Name)
	gauge(to, c.d.readyN, float64(s.Ready), s.Name)
	gauge(to, c.d.desired, float64(s.Desired), s.Name)
	counter(to, c.d.restarts, float64(s.Restarts), s.Name)
	counter(to, c.d.skipped, float64(s.SkippedLogLines), s.Name)
	counter(to, c.d.dropped, float64(s.DroppedLogBytes), s.Name)
	if s.LastExitCode != nil {
		gauge(to, c.d.exitCode, float64(*s.LastExitCode), s.Name)
	}
	instant(to, c.d.startTime, s.StartedAt, s.Name)
}

func (c *Collector) cron(to chan<- prometheus.Metric, s *CronState) {
	gauge(to, c.d.cronRunning, float64(s.Running), s.Name)
	instant(to, c.d.cronLast, s.LastRun, s.Name)
	instant(to, c.d.cronOK, s.LastSuccess, s.Name)
	instant(to, c.d.cronNext, s.NextRun, s.Name)
	if s.LastOutcome != nil {
		gauge(to, c.d.cronOutcome, boolean(*s.LastOutcome), s.Name)
		gauge(to, c.d.cronTook, s.LastDuration.Seconds(), s.Name)
	}
	counter(to, c.d.cronRuns, float64(s.Succeeded), s.Name, "succeeded")
	counter(to, c.d.cronRuns, float64(s.Failed), s.Name, "failed")
	counter(to, c.d.cronRuns, float64(s.Missed), s.Name, "missed")
}

// usages shows what services use. When nothing can be measured these series are missing, which is what alerts look for.
func (c *Collector) usages(to chan<- prometheus.Metric) {
	if c.usage == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeBudget) //nolint:forbidigo // Prometheus hands over none.
	defer cancel()
	snap, err := c.usage.Snapshot(ctx)
	if err != nil {
		return
	}
	for owner, u := range snap.Owners {
		name, ok := strings.CutPrefix(owner, c.kind)
		if !ok {
			continue
		}
		counter(to, c.d.cpu, u.CPUTime.Seconds(), name)
		gauge(to, c.d.memory, float64(u.MemoryBytes), name)
		gauge(to, c.d.processes, float64(u.Processes), name)
		gauge(to, c.d.threads, float64(u.Threads), name)
		if u.OpenFiles >= 0 {
			gauge(to, c.d.files, float64(u.OpenFiles), name)
		}
		if u.IOKnown {
			counter(to, c.d.read, float64(u.ReadBytes), name)
			counter(to, c.d.written, float64(u.WriteBytes), name)
		}
		if u.Net != nil {
			counter(to, c.d.received, float64(u.Net.ReceivedBytes), name)
			counter(to, c.d.sent, float64(u.Net.SentBytes), name)
		}
		if u.Disk != nil {
			gauge(to, c.d.disk, float64(u.Disk.Bytes), name)
		}
	}
}

func gauge(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	emit(to, d, prometheus.GaugeValue, v, labels)
}

func counter(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	emit(to, d, prometheus.CounterValue, v, labels)
}

func emit(to chan<- prometheus.Metric, d *prometheus.Desc, t prometheus.ValueType, v float64, labels []string) {
	m, err := prometheus.NewConstMetric(d, t, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err) // a name that is not UTF-8: the scrape says so and goes on
	}
	to <- m
}

func instant(to chan<- prometheus.Metric, d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		gauge(to, d, float64(t.UnixMilli())/1000, labels...)
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
