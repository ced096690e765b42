// Package agent drives coding agents: programs of others that a user has installed. We do not write one, and never download or
// update one.
//
// An agent is data, a Spec: how it is started, where its key goes, what its own configuration must say. All but those of the text
// protocol speak the Agent Client Protocol over their standard input and output, so that one client drives them all:
//
//	Runner.Start ─► process ─► initialize ─► session/new or session/load ─► Session
//	Session.Prompt ─► Event, Event, … (text, tools, permissions, usage) ─► Outcome
//
// What an agent may do is decided twice: by its own configuration, which makes it ask, and by the Policy, which answers. Neither is
// a fence for a program that lies: it runs as the service's user, in a process group of its own, with an environment made from
// nothing, against clocks and bounds of output, and what it has changed is looked at by whoever called it.
//
// An exit code of 0 and a turn that ended well say nothing about success: a refused tool call ends as well too.
package agent
