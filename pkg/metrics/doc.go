// Package metrics measures what runs cost: CPU, memory, files, processes, disk and network of whole process trees, now
// and over the past year, and shows the same figures to Prometheus.
//
// Four parts stand beside each other, each usable alone:
//
//	Lister (runs) ──► Sampler ──► Snapshot ──► History (metrics.db)  ──► Rows, Series
//	                     ▲            └──────► Collector (/metrics) ◄── ObjectSource, QueueSource, ...
//	            diskWatcher (watch_dirs)                             ◄── Instruments (latencies)
//
// A Sampler takes a pass over /proc once in an interval, or when somebody asks for what is current; nothing runs in
// between. The tree of a run is what its cgroup holds, or, without a cgroup, everything that descends from its leader,
// shares its session, or carries its SUPERVISOR_RUN_ID after it was orphaned.
//
// The package knows runs only by what a Lister tells: it may not know services, manifests, the keeper or HTTP routes.
package metrics
