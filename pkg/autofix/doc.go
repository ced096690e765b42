// Package autofix lets a coding agent repair a program that fails, with a seat belt.
//
//	trigger ─► admit ─► Pending ─► Preparing ─► Working ─► Checking ─┬─► Applying ─► Verifying ─┬─► Applied
//	                       │            │           │          │     ▼      ▲           │      │
//	                       └────────────┴───────────┴──────────┤  Proposed ─┤           ▼      │
//	                                                           ▼     │      └────► Reverting ◄─┘
//	                                              Failed, Refused    └► Rejected        └─► Reverted
//
// The folder is backed up whole before anything else, and no backup means no repair. The agent works on a copy, without the files
// that hold secrets. What it changed is what we find changed, not what it says; what is outside of the copy, is no file of the
// project, or changes what the supervisor itself is told, refuses the whole repair. Changes go into the folder as one step that a
// crash leaves done or not begun, the program has to show that it runs, and when it does not the folder becomes what it was.
//
// Whether to try at all (admit), what a failure is (trigger) and what follows what (machine) are pure decisions; an Engine acts. It
// knows services only as a World.
package autofix
