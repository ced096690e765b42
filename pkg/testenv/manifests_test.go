package testenv_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// problem is the answer that an error must be.
func problem(t *testing.T, err error, code wire.Code) *wire.Problem {
	t.Helper()
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Fatalf("%v, want the code %s", err, code)
	}
	return p
}

// A manifest file is read, written under guard, and deleted over the API, and its objects follow.
func TestManifestFiles(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	ctx := t.Context()
	text := testenv.Manifest("web", "command: sleep 1000\nenv:\n  API_KEY: \"hush\" # ours\n  PLAIN: a\n")
	made, err := e.Client.WriteManifestFile(ctx, client.ManifestEdit{Path: "team/web.yaml", Text: []byte(text), New: true})
	if err != nil || made.Result != wire.ResultCreated || len(made.Items) != 1 || made.Items[0].PID == 0 || made.Items[0].Phase != v1.PhaseRunning {
		t.Fatalf("%+v %v", made, err)
	}
	pid := e.PID("web")

	// What is read hides the secret; written back, it is as it was, byte for byte.
	seen, err := e.Client.ManifestFile(ctx, "team/web.yaml", false)
	if err != nil || strings.Contains(seen.Text, "hush") || !strings.Contains(seen.Text, `API_KEY: "********" # ours`) {
		t.Fatalf("%+v %v", seen, err)
	}
	edited := strings.Replace(seen.Text, "PLAIN: a", "PLAIN: b", 1)
	p, err := e.Client.Preview(ctx, wire.PreviewRequest{Path: "team/web.yaml", Text: &edited})
	if err != nil || !p.Valid || len(p.Steps) != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	if s := p.Steps[0]; s.Effect != wire.EffectRestart || !strings.Contains(s.Reason, "spec.env") || len(s.Fields) != 1 || s.Fields[0].Field != "spec.env.PLAIN" || s.Fields[0].From != "a" || s.Fields[0].To != "b" {
		t.Errorf("%+v", s)
	}
	if strings.Contains(p.Diff, "hush") || !strings.Contains(p.Diff, "-    PLAIN: a\n+    PLAIN: b\n") || strings.Count(p.Diff, "\n-") != 1 {
		t.Errorf("%s", p.Diff)
	}
	if e.PID("web") != pid {
		t.Error("a preview restarted it")
	}
	written, err := e.Client.WriteManifestFile(ctx, client.ManifestEdit{Path: "team/web.yaml", Text: []byte(edited), ETag: seen.ETag})
	if err != nil || len(written.Items) != 1 || written.Items[0].PID == pid || written.Items[0].PID == 0 {
		t.Fatalf("%+v %v", written, err)
	}
	if onDisk, err := os.ReadFile(filepath.Join(e.Manifests, "team/web.yaml")); err != nil || string(onDisk) != strings.Replace(text, "PLAIN: a", "PLAIN: b", 1) {
		t.Errorf("%v\n%s", err, onDisk)
	}
	pid = e.PID("web")

	// The text that was seen is another one: the conflict shows what is there.
	_, err = e.Client.WriteManifestFile(ctx, client.ManifestEdit{Path: "team/web.yaml", Text: []byte(seen.Text), ETag: seen.ETag})
	if c := problem(t, err, wire.CodeStale).Current; c == nil || c.ETag != written.ETag || !strings.Contains(c.Text, "PLAIN: b") || strings.Contains(c.Text, "hush") {
		t.Errorf("%+v", c)
	}
	// What is broken is refused with its place, unless it is forced; then what is in force stays.
	broken := strings.Replace(text, "command:", "comand:", 1)
	_, err = e.Client.WriteManifestFile(ctx, client.ManifestEdit{Path: "team/web.yaml", Text: []byte(broken)})
	if got := problem(t, err, wire.CodeUnprocessed).Problems; len(got) == 0 || got[0].Line == 0 || got[0].File != "team/web.yaml" || got[0].Field != "spec.comand" {
		t.Errorf("%+v", got)
	}
	if _, err = e.Client.WriteManifestFile(ctx, client.ManifestEdit{Path: "team/web.yaml", Text: []byte(broken), Force: true}); err != nil {
		t.Fatal(err)
	}
	files, err := e.Client.ManifestFiles(ctx)
	if err != nil || len(files.Files) != 1 {
		t.Fatalf("%+v %v", files, err)
	}
	if f := files.Files[0]; f.Path != "team/web.yaml" || len(f.Problems) == 0 || len(f.Objects) != 1 || f.Objects[0].InForce {
		t.Errorf("%+v", f)
	}
	if masked, err := e.Client.ManifestFile(ctx, "team/web.yaml", false); err != nil || strings.Contains(masked.Text, "hush") {
		t.Errorf("a broken file shows its secret: %s %v", masked.Text, err)
	}
	// A mask in a text that cannot be read is not written as a secret.
	_, err = e.Client.WriteManifestFile(ctx, client.ManifestEdit{Path: "team/web.yaml", Text: []byte(strings.Replace(broken, "hush", "********", 1)), Force: true})
	problem(t, err, wire.CodeUnprocessed)
	if e.PID("web") != pid {
		t.Error("a broken file restarted it")
	}

	for _, path := range []string{"../x.yaml", "/tmp/x.yaml", "x.txt", ".git/x.yaml", ""} {
		_, err := e.Client.WriteManifestFile(ctx, client.ManifestEdit{Path: path, Text: []byte(text)})
		problem(t, err, wire.CodeUnprocessed)
		_, err = e.Client.ManifestFile(ctx, path, false)
		problem(t, err, wire.CodeUnprocessed)
	}
	_, err = e.Client.ManifestFile(ctx, "none.yaml", false)
	problem(t, err, wire.CodeNotFound)

	gone, err := e.Client.DeleteManifestFile(ctx, "team/web.yaml", "")
	if err != nil || len(gone.Items) != 1 || gone.Items[0].Key.Name != "web" {
		t.Fatalf("%+v %v", gone, err)
	}
	e.Wait("the service to be gone", func() bool { _, err := e.Client.Service(ctx, "web"); return err != nil })
}

// What an edit is said to do is what it does.
func TestPreviewTellsTheTruth(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	base := "command: sleep 1000\nport: auto\nenv: {A: \"1\"}\n"
	e.Write("web.yaml", testenv.Manifest("web", base))
	e.Write("off.yaml", testenv.Manifest("off", "command: sleep 1000\nenabled: false\n"))
	e.StartManager()
	e.PID("web")
	for _, tt := range []struct {
		spec, effect string
	}{
		{base + "# a comment\n", ""},
		{base + "stop: {timeout: 3s}\n", wire.EffectInPlace},
		{base + "stop: {timeout: 3s}\nreplicas: 2\n", wire.EffectScale},
		{base, wire.EffectScale},
		{strings.Replace(base, "1000", "1001", 1), wire.EffectRestart},
		{strings.Replace(base, `"1"`, `"2"`, 1), wire.EffectRestart},
		{base + "enabled: false\n", wire.EffectStop},
		{base + "enabled: false\nstop: {timeout: 4s}\n", wire.EffectNone},
		{base, wire.EffectStart},
	} {
		text := testenv.Manifest("web", tt.spec)
		p, err := e.Client.Preview(t.Context(), wire.PreviewRequest{Path: "web.yaml", Text: &text})
		if err != nil || !p.Valid {
			t.Fatalf("%s: %+v %v", tt.spec, p, err)
		}
		effect := ""
		if len(p.Steps) > 0 {
			effect = p.Steps[0].Effect
		}
		if effect != tt.effect || p.Diff == "" {
			t.Errorf("%q: %+v, want %s", tt.spec, p, tt.effect)
		}
		before, err := e.Client.Service(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Client.WriteManifestFile(t.Context(), client.ManifestEdit{Path: "web.yaml", Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		after, err := e.Client.Service(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		same := before.PID != nil && after.PID != nil && *before.PID == *after.PID
		if stays := effect == "" || effect == wire.EffectInPlace || effect == wire.EffectScale; stays != same && effect != wire.EffectNone {
			t.Errorf("%q: was to %q, process %v became %v", tt.spec, effect, before.PID, after.PID)
		}
	}
	two := testenv.Manifest("web", base) + "---\n" + testenv.Manifest("new", "command: sleep 5\ndependsOn: [{name: nobody}]\n")
	p, err := e.Client.Preview(t.Context(), wire.PreviewRequest{Text: &two})
	if err != nil || p.Valid || len(p.Steps) != 1 || p.Steps[0].Key.Name != "new" || p.Steps[0].File != "services/new.yaml" || !strings.Contains(fmt.Sprint(p.Problems), "nobody") {
		t.Errorf("%+v %v", p, err)
	}
	clash := testenv.Manifest("off", "command: sleep 5\n")
	if p, err = e.Client.Preview(t.Context(), wire.PreviewRequest{Path: "other.yaml", Text: &clash}); err != nil || p.Valid || !strings.Contains(fmt.Sprint(p.Problems), "described twice") {
		t.Errorf("%+v %v", p, err)
	}
	if p, err = e.Client.Preview(t.Context(), wire.PreviewRequest{Path: "web.yaml"}); err != nil || len(p.Steps) != 1 || p.Steps[0].Effect != wire.EffectStop || p.Steps[0].Action != "remove" {
		t.Errorf("the removal: %+v %v", p, err)
	}
	e.Write("../changed.yaml", testenv.Manifest("web", strings.Replace(base, "1000", "2000", 1)))
	out, code := e.CLI("diff", "-f", filepath.Join(e.Dir, "changed.yaml"), "--exit-code")
	if code != 1 || !strings.Contains(out, "service/web would restart: a process cannot be given another spec.command (spec.command)") || !strings.Contains(out, "+  command: sleep 2000") {
		t.Errorf("diff: %d\n%s", code, out)
	}
	// A raw answer names its content.
	resp, err := http.Get(e.URL + "/api/v1/manifests/file?path=web.yaml") //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "sleep 1000") || resp.Header.Get("ETag") == "" {
		t.Errorf("%s %v %v", body, resp.Header, err)
	}
}

// Where people wish for it, each edit over the API is a commit that names who made it; the files say how they differ from HEAD.
func TestEditsAreCommits(t *testing.T) {
	t.Parallel()
	e := testenv.New(t, "MANIFESTS_GIT_COMMIT=on")
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", e.Manifests, "-c", "user.name=Me", "-c", "user.email=me@example.org"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	e.Write("hand.yaml", testenv.Manifest("hand", "command: sleep 1000\n"))
	e.StartManager()
	ctx := t.Context()
	text := testenv.Manifest("web", "command: sleep 1000\n")
	if _, err := e.Client.WriteManifestFile(ctx, client.ManifestEdit{Path: "web.yaml", Text: []byte(text), New: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Client.Apply(ctx, []byte(testenv.Manifest("web", "command: sleep 1001\n"))); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Client.Apply(ctx, []byte(testenv.Manifest("other", "command: sleep 1000\n"))); err != nil {
		t.Fatal(err)
	}
	if err := e.Client.Delete(ctx, v1.KindService, "other"); err != nil {
		t.Fatal(err)
	}
	files, err := e.Client.ManifestFiles(ctx)
	if err != nil || files.Repository == nil || files.Repository.Branch != "main" || !files.Repository.Commits {
		t.Fatalf("%+v %v", files, err)
	}
	states := ""
	for _, f := range files.Files {
		states += f.Path + " " + f.Git + "\n"
	}
	if states != "hand.yaml untracked\nweb.yaml clean\n" {
		t.Errorf("%s", states)
	}
	if _, err := e.Client.DeleteManifestFile(ctx, "web.yaml", ""); err != nil {
		t.Fatal(err)
	}
	log := git("log", "--reverse", "--format=%s|%an")
	for i, want := range []string{"web.yaml was edited", "Service/web was replaced", "Service/other was created", "Service/other was deleted", "web.yaml was deleted"} {
		lines := strings.Split(log, "\n")
		if i >= len(lines) || !strings.HasPrefix(lines[i], want+"|user:") {
			t.Errorf("commit %d: %s, want %s", i, log, want)
		}
	}
}
