// Package chat is the conversation between a person and a coding agent about a project and what runs on this machine.
//
//	Send ─► the conversation's session: warm, or resumed, or a new one that is told the past ─► Event, Event, …
//
// The agent reads in the project's folder, and asks our MCP server about the live state. For all else a person is asked, when the
// one at the other end said that it can show the question; else it is refused. An agent's process is kept for a while after an
// answer, because starting it is slow. What was said is kept in a file for each conversation, so that it outlives the agent's process,
// the agent's memory, and ours.
package chat
