// Package agenttest is what tests have instead of people's coding agents and of the models behind them.
//
//	Fake       a scripted agent: the test's own program, started anew, that speaks the Agent Client Protocol
//	Model      a scripted model server on loopback, which a real agent is pointed at
//	OpenCode   the real opencode, as .ci/setup installs it, with a Model behind it
package agenttest
