// Package onboard makes a manifest of a folder that holds somebody's program.
//
// Look is deterministic: it reads the files that say how a program is run (Procfile, pyproject.toml, package.json, a
// systemd unit, the sources themselves), and proposes a manifest in which each decision has its reason, the place that it
// was read from, and how sure it is. It runs nothing, writes nothing, and leaves the folder by no link; how much it reads is
// bounded, whatever is in there.
//
//	Look ─► candidates, best first ─► manifest text ─► (an agent may refine it) ─► written ─► watched until ready
//	                                        ▲                                                     │
//	                                        └──────────── revised, a few times ◄──────────────────┘
//
// Flow does the rest: a refined manifest is taken only when it is valid and about the same folder, and one that never
// becomes ready is taken back, so that a failed onboarding leaves nothing behind but its report.
package onboard
