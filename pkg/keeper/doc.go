// Package keeper is the parent of all that the supervisor runs. It starts what it is told to start, stops what it is told
// to stop, keeps the output, and remembers how things ended until it is told to forget. It decides nothing, and knows
// nothing of services, manifests or policies.
//
// It is made to be never in the way and hard to lose:
//
//   - The manager may come and go: runs, output and exits are kept, and told to the next one.
//   - The keeper may be upgraded in place: it becomes the new program in the same process, with every pipe open.
//   - The keeper may be killed: programs hold their own output pipes open (FIFOs, opened for reading and writing), so they
//     run on and at worst wait. The next keeper reads its journal and adopts them by pid, start time and boot id, and ends
//     what this one was at: each byte of output is in the files once, at whatever instruction it was killed (slate, recover).
//     What is lost is how a program ended that did so while no keeper was there, which is reported as Lost, and what it had
//     printed last and nobody has read; the log has a line that says so.
//   - A full disk, a missing log file, a cgroup that cannot be made: noted, counted, said; never a reason to stop.
//
// SIGTERM does not end a keeper that has live runs; the shutdown request does not either. SIGKILL does, and costs what is
// said above.
//
// From the inside:
//
//	socket ──► server ──► start, stop, signal, forget ──► run
//	                                                       ├─ spawner: fork and exec
//	SIGCHLD, pidfds ──► reap ──► afterLeader ──► endTree ───┤
//	                                                       ├─ tree: cgroup, or one walk through /proc for all
//	FIFOs ──► poller ──► stream ──► logFile (rotation) ────┘
//	                       └──► slate: the block under way, and what was done with it
//	every change ──► journal, and watchers ──► socket
package keeper
