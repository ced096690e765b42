package onboard

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/manifest"
)

const (
	// maxDocuments bounds what an agent may propose at once.
	maxDocuments = 6
	// maxAnswer bounds the manifest in an agent's answer, in bytes.
	maxAnswer = 32 << 10
	// maxLog bounds what an agent is shown of a log.
	maxLog = 8 << 10
)

// dialogue is what is said to an agent about one project, and what is taken of its answers.
type dialogue struct {
	ask  Agent
	look *Look
}

const (
	task = `You help to run somebody's project under Supervisor, a service manager. Look at the project in your working folder. You can
read files there; you can change nothing, and need not.`
	form = `Answer with one YAML block between three backquotes, marked yaml: the whole manifest, with a comment beside each thing that you have
decided and why. Keep apiVersion, kind, metadata.name and spec.workingDir as they are. The program must stay in the foreground, listen on
127.0.0.1, and take its port from $(PORT) where it can. Do not install anything, do not write secrets, do not set spec.user or spec.expose. When the
proposal is right as it is, answer with it unchanged.`
)

// refine asks for a better manifest than the look's, and returns one that can be taken.
func (d *dialogue) refine(ctx context.Context) (string, error) {
	p := agent.NewPrompt().Say(task)
	if d.look.Manifest == "" {
		p.Say("Nothing in the folder says plainly how it is run. Write a manifest of this form:\n\n%s", skeleton(d.look))
	} else {
		p.Say("A program has looked at the folder and proposes a manifest. Its reasons are in the comments; it may be wrong.")
		p.Quote("The proposal", d.look.Manifest, maxAnswer)
		for i, c := range d.look.Candidates {
			if i > 0 {
				p.Quote(fmt.Sprintf("Another candidate, of confidence %d of 100 (%s)", c.Confidence, c.Kind), c.Command, 1000)
			}
		}
	}
	if len(d.look.Warnings) > 0 {
		p.Quote("What it noticed", strings.Join(d.look.Warnings, "\n"), 4000)
	}
	p.Say(form)
	return d.answer(ctx, p)
}

// revise asks for another manifest than one that has failed.
func (d *dialogue) revise(ctx context.Context, tried string, failed *Attempt) (string, error) {
	p := agent.NewPrompt().Say(task)
	p.Say("This manifest was tried, and the service did not become ready.")
	p.Quote("The manifest", tried, maxAnswer)
	p.Quote("What was seen", failed.Trouble, 2000)
	p.Quote("The end of what it printed", strings.Join(failed.Log, "\n"), maxLog)
	p.Say("Find out why, and propose another one.").Say(form)
	return d.answer(ctx, p)
}

// answer asks, and once more when the answer cannot be taken.
func (d *dialogue) answer(ctx context.Context, p *agent.Prompt) (string, error) {
	prompt := p.String()
	for second := false; ; second = true {
		answer, err := d.ask(ctx, prompt)
		if err != nil {
			return "", err
		}
		text, err := block(answer)
		if err == nil {
			err = d.look.accept(text)
		}
		if err == nil {
			return text, nil
		}
		if second {
			return "", fmt.Errorf("its answer cannot be taken: %w", err)
		}
		again := agent.NewPrompt().Say("%s", prompt).Say("You were asked this before, and the answer could not be taken.")
		prompt = again.Quote("Why", err.Error(), 2000).String()
	}
}

var fence = regexp.MustCompile("(?s)```(?:ya?ml)?[ \t]*\r?\n(.*?)```")

// block is the last YAML block of an answer.
func block(answer string) (string, error) {
	all := fence.FindAllStringSubmatch(answer, -1)
	if len(all) == 0 {
		return "", errors.New("it holds no YAML between three backquotes")
	}
	text := strings.ReplaceAll(all[len(all)-1][1], "\r\n", "\n")
	if len(text) > maxAnswer {
		return "", fmt.Errorf("the manifest is larger than %d bytes", maxAnswer)
	}
	return text, nil
}

// accept says why a manifest that others have written cannot be taken for the project; nil when it can.
func (l *Look) accept(text string) error {
	docs, err := decode(text)
	if err != nil {
		return err
	}
	for i, d := range docs {
		s, ok := d.Object.(*v1.Service)
		name := d.Key.Name
		switch {
		case !ok:
			return fmt.Errorf("%s is no Service", d.Key)
		case i == 0 && name != l.Name:
			return fmt.Errorf("the first document is named %q, and must be named %q", name, l.Name)
		case i > 0 && !strings.HasPrefix(name, l.Name+"-"):
			return fmt.Errorf("%q must begin with %q, as it belongs to that project", name, l.Name+"-")
		case s.Spec.User != "" || s.Spec.Group != "":
			return fmt.Errorf("%s sets spec.user or spec.group, which is for the user to decide", name)
		case s.Spec.Expose != nil:
			return fmt.Errorf("%s sets spec.expose: whether others can reach it is for the user to decide", name)
		case i > 0 && l.another(name):
			return fmt.Errorf("%q is the name of a service of another folder", name)
		case !l.within(s.Spec.WorkingDir):
			return fmt.Errorf("%s has the workingDir %q, which is not in %s", name, s.Spec.WorkingDir, l.Dir)
		}
	}
	return nil
}

// another reports whether a name is that of a service of another project.
func (l *Look) another(name string) bool {
	if l.nameUsed == nil {
		return false
	}
	dir, used := l.nameUsed(name)
	return used && !l.within(dir)
}

// decode reads a manifest that others have written: valid, and of a bounded number of documents.
func decode(text string) ([]manifest.Document, error) {
	docs, problems := manifest.Decode("", []byte(text))
	if len(problems) > 0 {
		lines := make([]string, len(problems))
		for i, p := range problems {
			lines[i] = p.String()
		}
		return nil, errors.New(strings.Join(lines, "\n"))
	}
	if len(docs) == 0 || len(docs) > maxDocuments {
		return nil, fmt.Errorf("it holds %d documents; there must be 1 to %d", len(docs), maxDocuments)
	}
	return docs, nil
}

func (l *Look) within(dir string) bool {
	rel, err := filepath.Rel(l.Dir, dir)
	return err == nil && filepath.IsAbs(dir) && rel != ".." && !strings.HasPrefix(rel, "../")
}

// skeleton is a manifest for a project that says nothing.
func skeleton(l *Look) string {
	return fmt.Sprintf("apiVersion: %s\nkind: Service\nmetadata:\n  name: %s\nspec:\n  command: COMMAND\n  workingDir: %s\n  port: auto\n", v1.APIVersion, scalar(l.Name), quoted(l.Dir))
}
