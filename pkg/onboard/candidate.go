package onboard

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Reason is why something was decided.
type Reason struct {
	// What was decided: command, port, env, probe, name, ...
	What string `json:"what"`
	// Why is a sentence.
	Why string `json:"why"`
	// Source is the file that it was read from, with the line where there is one; empty when it is a convention.
	Source string `json:"source,omitempty"`
	// Confidence is from 0 to 100.
	Confidence int `json:"confidence"`
}

// Candidate is one way to run a project.
type Candidate struct {
	// Kind says what it was taken for: fastapi, procfile, systemd, static, ...
	Kind string `json:"kind"`
	// Title says it in words.
	Title   string `json:"title"`
	Command string `json:"command"`
	// Port is that which the program will listen on; 0 when it serves nothing, or nobody can tell.
	Port int `json:"port,omitempty"`
	// PortFree is true when the command takes whichever port $PORT holds.
	PortFree bool `json:"port_free,omitempty"`
	// Serves is false for a program that listens on no port: a worker, a bot.
	Serves bool `json:"serves"`
	// Health is a path that answers when all is well; empty where only the port tells.
	Health string `json:"health,omitempty"`
	// Env and EnvFiles are what it needs.
	Env      map[string]string `json:"env,omitempty"`
	EnvFiles []string          `json:"env_files,omitempty"`
	// WorkingDir is below the project's folder, "." most of the time.
	WorkingDir string `json:"working_dir,omitempty"`
	// SlowStart is true when it builds itself first.
	SlowStart bool `json:"slow_start,omitempty"`
	// StopSignal is another one than SIGTERM.
	StopSignal string `json:"stop_signal,omitempty"`
	// Missing is a program that it needs and that is not installed.
	Missing string `json:"missing,omitempty"`
	// Confidence is from 0 to 100: how sure it is that this is how the project is meant to be run.
	Confidence int      `json:"confidence"`
	Reasons    []Reason `json:"reasons"`
	// Beside are other programs of the same project, such as the workers of a Procfile.
	Beside []Candidate `json:"beside,omitempty"`
	// Name tells those beside apart.
	Name string `json:"name,omitempty"`
}

func (c *Candidate) because(what string, confidence int, source, format string, args ...any) {
	c.Reasons = append(c.Reasons, Reason{What: what, Why: fmt.Sprintf(format, args...), Source: source, Confidence: confidence})
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *Candidate) setEnv(name, value string) {
	if !variable.MatchString(name) || strings.ContainsRune(value, 0) {
		return
	}
	if c.Env == nil {
		c.Env = map[string]string{}
	}
	c.Env[name] = value
}

// byConfidence puts the surest first, and keeps the order in which they were found.
func byConfidence(all []Candidate) {
	slices.SortStableFunc(all, func(a, b Candidate) int { return b.Confidence - a.Confidence })
}

// shellWord quotes a word of a command line where it must be.
func shellWord(w string) string {
	if w != "" && !strings.ContainsAny(w, " \t\n\"'\\$`|&;<>()*?[]{}~#!=%") {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// at is "file:line".
func at(file string, line int) string {
	if line <= 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}
