package rest

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func TestMaskText(t *testing.T) {
	for in, want := range map[string]string{
		"python app.py":                                  "python app.py",
		"app postgres://u:hunter2@db/x":                  "app postgres://u:********@db/x",
		"app postgres://u@db/x http://h:80/y":            "app postgres://u@db/x http://h:80/y",
		"app postgres://u:$(PW)@db/x":                    "app postgres://u:$(PW)@db/x",
		"DB_PASSWORD=hunter2 LOG=info app":               "DB_PASSWORD=******** LOG=info app",
		"API_KEY='a b' app":                              "API_KEY=******** app",
		"app --token=abc --port 80":                      "app --token=******** --port 80",
		"app --api-key abc":                              "app --api-key ********",
		"app --password --verbose":                       "app --password --verbose",
		"app --token=$TOKEN --secret ${S} SECRET=$(S) x": "app --token=$TOKEN --secret ${S} SECRET=$(S) x",
		"app token abc":                                  "app token abc",
		`app "--password=a b" c`:                         `app "--password=******** c`,
		"keyboard --monkey banana":                       "keyboard --monkey banana",
	} {
		if got := maskText(in); got != want {
			t.Errorf("maskText(%q) = %q, want %q", in, got, want)
		}
	}
}

func secretService() *v1.Service {
	s := &v1.Service{TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}}
	s.Metadata.Name = "web"
	s.Spec.Command = v1.Command{Argv: []string{"app", "--token", "t0ps3cret", "--db=postgres://u:t0ps3cret@h/d"}}
	s.Spec.Env = map[string]string{
		"DB_PASSWORD": "t0ps3cret", "DATABASE_URL": "postgres://u:t0ps3cret@h/d", "LOG_LEVEL": "info", "GITHUB_TOKEN": "t0ps3cret",
		"AWS_SECRET_ACCESS_KEY": "t0ps3cret", "STRIPE_KEY": "t0ps3cret", "TOKEN_REF": "$(GITHUB_TOKEN)", "EMPTY_SECRET": "",
	}
	s.Spec.Probes.Readiness = &v1.Probe{HTTPGet: &v1.HTTPGet{Headers: map[string]string{"Authorization": "t0ps3cret", "Accept": "text/html"}}}
	s.Spec.Probes.Liveness = &v1.Probe{Exec: &v1.ExecProbe{Command: v1.Command{Line: "check --password=t0ps3cret"}}}
	return s
}

func TestMaskedObject(t *testing.T) {
	a := &API{deps: Deps{Observed: noStatus{}}}
	shown, err := a.show(secretService(), false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := marshal(shown)
	if err != nil || strings.Contains(text, "t0ps3cret") {
		t.Errorf("a secret shows: %s %v", text, err)
	}
	for _, want := range []string{`"LOG_LEVEL":"info"`, `"TOKEN_REF":"$(GITHUB_TOKEN)"`, `"EMPTY_SECRET":""`, `"Accept":"text/html"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not shown: %s", want, text)
		}
	}
	open, err := a.show(secretService(), true)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := marshal(open); err != nil || !strings.Contains(text, "t0ps3cret") {
		t.Errorf("reveal does not: %s %v", text, err)
	}
}

// What was shown, sent back, is the object as it was, whatever else was edited.
func TestUnmask(t *testing.T) {
	cur := secretService()
	tree, err := masked(cur)
	if err != nil {
		t.Fatal(err)
	}
	next := fromTree(t, tree)
	next.Spec.Env["LOG_LEVEL"] = "debug"
	back, hidden, err := unmask(next, cur, true)
	if err != nil || !hidden {
		t.Fatalf("%v %v", hidden, err)
	}
	want := secretService()
	want.Spec.Env["LOG_LEVEL"] = "debug"
	if back.Revision() != want.Revision() {
		t.Errorf("got %+v", back)
	}
	// A mask in a new place stands for nothing.
	next.Spec.Env["OTHER_SECRET"] = mask
	if _, _, err := unmask(next, cur, true); err == nil || !strings.Contains(err.Error(), "spec.env.OTHER_SECRET") {
		t.Errorf("an unknown secret: %v", err)
	}
	if _, _, err := unmask(fromTree(t, tree), nil, false); err == nil {
		t.Error("masks of an object that is not there were taken")
	}
	if same, hidden, err := unmask(cur, cur, true); hidden || err != nil || same.Revision() != cur.Revision() {
		t.Errorf("nothing to put back: %v %v", hidden, err)
	}
}

// Masking hides, and is undone, for any environment.
func TestMaskRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := secretService()
		s.Spec.Env = rapid.MapOf(rapid.StringMatching(`[A-Z_]{1,12}(KEY|TOKEN|URL)?`), rapid.String()).Draw(rt, "env")
		s.Spec.Command = v1.Command{Line: "x " + rapid.String().Draw(rt, "line")}
		tree, err := masked(s)
		if err != nil {
			rt.Fatal(err)
		}
		back, _, err := unmask(fromTree(t, tree), s, true)
		if err != nil || back.Revision() != s.Revision() {
			rt.Fatalf("%+v became %+v: %v", s.Spec, back, err)
		}
	})
}
