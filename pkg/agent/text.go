package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// execute is a turn of the text protocol: a process for each, whose standard output is the answer.
func (t *turn) execute(text string) (stop string, usage Usage, err error) {
	s := t.s
	setup := s.plan.setup
	setup.Prompt = text
	args, err := s.plan.spec.argv(&setup)
	if err != nil {
		return "", usage, fmt.Errorf("agent %s: %w", s.plan.spec.ID, err)
	}
	p, err := start(command{path: s.plan.path, argv: args, env: s.plan.env, dir: s.request.Dir, who: s.plan.who}, s.runner.notes(), s.runner.config.graces)
	if err != nil {
		return "", usage, fmt.Errorf("agent %s: %w", s.plan.spec.ID, err)
	}
	defer p.stdout.Close() //nolint:errcheck // it was only read
	// The end of the turn ends the process.
	stopped := make(chan struct{})
	cancel := context.AfterFunc(t.ctx, func() { defer close(stopped); p.end() })
	go t.feed(p, text)
	err = t.listen(p)
	if err != nil {
		p.kill()
	}
	<-p.ended
	if !cancel() {
		<-stopped
	}
	switch {
	case t.ctx.Err() != nil:
		return "cancelled", usage, context.Cause(t.ctx)
	case err != nil:
		return "", usage, err
	case !p.cmd.ProcessState.Success():
		return "", usage, fmt.Errorf("%s ended with %s: %s", s.plan.spec.Name, p.how(), lastLines(s.mask(Redact(p.stderr.String()))))
	}
	return "end_turn", usage, nil
}

// feed writes the prompt to the process, unless it was an argument.
func (t *turn) feed(p *child, text string) {
	inArgv := false
	for _, word := range t.s.plan.spec.Argv {
		inArgv = inArgv || strings.Contains(word, ".Prompt")
	}
	if !inArgv {
		_, _ = io.WriteString(p.stdin, text) //nolint:errcheck // it is gone, or does not read
	}
	_ = p.stdin.Close()
}

// listen reads what the process prints until its end.
func (t *turn) listen(p *child) error {
	buf := make([]byte, 4096)
	held := 0 // bytes at the begin of buf, of a character whose end is still to come
	left := t.s.request.Limits.Output
	for {
		n, err := p.stdout.Read(buf[held:])
		if left -= int64(n); left < 0 {
			return ErrOutput
		}
		n += held
		if held = unfinished(buf[:n]); err != nil {
			held = 0
		}
		if whole := n - held; whole > 0 {
			t.heard(Event{Kind: KindText, Text: strings.ToValidUTF8(string(buf[:whole]), "\ufffd")})
			copy(buf, buf[whole:n])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what the agent says: %w", err)
		}
	}
}

// unfinished is how many bytes at the end begin a character that is not complete.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}
