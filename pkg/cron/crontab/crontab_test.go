package crontab

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron"
)

func read(t *testing.T, text string, o Options) Result {
	t.Helper()
	r, err := Parse(strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func job(t *testing.T, r Result, i int) *v1.CronJob {
	t.Helper()
	if i >= len(r.Objects) {
		t.Fatalf("only %d objects: %v", len(r.Objects), r.Notes)
	}
	j, ok := r.Objects[i].(*v1.CronJob)
	if !ok {
		t.Fatalf("object %d is a %T", i, r.Objects[i])
	}
	return j
}

func TestCrontab(t *testing.T) {
	r := read(t, `
# Nightly copies
# of everything
0 2 * * *   /usr/local/bin/backup.sh --all

MAILTO = "admin@example.com"
PATH=/usr/bin:/bin
SHELL=/bin/bash
CRON_TZ=Europe/Berlin
*/5 * * * 1-5 cd /srv/app && ./poll.py "$(date +\%F)" > /dev/null 2>&1
@daily  /usr/local/bin/backup.sh
MAILTO=""
@reboot /usr/local/bin/warm-up
`, Options{File: "crontab.txt"})
	if len(r.Objects) != 4 {
		t.Fatalf("%d objects, notes %v", len(r.Objects), r.Notes)
	}
	backup := job(t, r, 0)
	if backup.Metadata.Name != "backup" || backup.Spec.Schedule != "0 2 * * *" || backup.Spec.Command.Line != "/usr/local/bin/backup.sh --all" {
		t.Errorf("%+v", backup)
	}
	if a := backup.Metadata.Annotations; a[AnnotationDescription] != "Nightly copies of everything" || a[AnnotationSource] != "crontab.txt:4" || a[AnnotationMailTo] != "" {
		t.Errorf("annotations: %v", a)
	}
	if sp := backup.Spec; *sp.Timeout != 0 || sp.ConcurrencyPolicy != v1.ConcurrencyAllow || sp.CatchUp != v1.CatchUpSkip || sp.WorkingDir != "~" || sp.Env != nil {
		t.Errorf("it does not do what cron did: %+v", sp)
	}
	poll := job(t, r, 1)
	if poll.Metadata.Name != "poll" || poll.Spec.TimeZone != "Europe/Berlin" || poll.Spec.Env["PATH"] != "/usr/bin:/bin" || poll.Spec.Env["MAILTO"] != "" {
		t.Errorf("%+v", poll)
	}
	want := []string{"/bin/bash", "-c", `cd /srv/app && ./poll.py "$(date +%F)" > /dev/null 2>&1`}
	if !slices.Equal(poll.Spec.Command.Argv, want) {
		t.Errorf("command: %q", poll.Spec.Command.Argv)
	}
	if to := poll.Metadata.Annotations[AnnotationMailTo]; to != "admin@example.com" {
		t.Errorf("mail goes to %q", to)
	}
	if second := job(t, r, 2); second.Metadata.Name != "backup-2" || second.Spec.Schedule != "@daily" {
		t.Errorf("%+v", second)
	}
	boot, ok := r.Objects[3].(*v1.Service)
	if !ok || boot.Spec.Restart.Policy != v1.RestartNever || boot.Metadata.Name != "warm-up" || boot.Metadata.Annotations[AnnotationMailTo] != "" {
		t.Errorf("%+v", r.Objects[3])
	}
	if len(r.Notes) != 2 {
		t.Errorf("notes: %v", r.Notes)
	}
}

func TestSystemCrontab(t *testing.T) {
	r := read(t, "17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly\n@weekly www-data:www /usr/bin/certbot renew\n* * * * * nobody\n", Options{System: true})
	first, second := job(t, r, 0), job(t, r, 1)
	if first.Spec.User != "root" || first.Spec.Schedule != "17 * * * *" || second.Spec.User != "www-data" || second.Metadata.Name != "certbot" {
		t.Errorf("%+v %+v", first, second)
	}
	if len(r.Notes) != 1 || !r.Notes[0].Dropped || r.Notes[0].Line != 3 {
		t.Errorf("notes: %v", r.Notes)
	}
}

func TestWhatCannotBeCarriedOver(t *testing.T) {
	for _, tt := range []struct {
		line, want string
		dropped    bool
	}{
		{"61 * * * * /bin/true", "field 1 (minute)", true},
		{"* * * *", "five time fields", true},
		{"* * * * *", "no command", true},
		{"@fortnightly /bin/true", "is not known", true},
		{"@3600 /bin/true", "is not known", true},
		{"0 0 30 2 * /bin/true", "never comes", true},
		{"nonsense", "five time fields", true},
		{"\x00* * * * * /bin/true", "NUL", true},
		{"LOGNAME=root", "does not let it be changed", false},
		{"CRON_TZ=Mars/Olympus", "not a time zone", false},
		{"0~30 2 * * * /bin/true", "random time", false},
		{"@reboot /bin/true", "new session", false},
	} {
		r := read(t, tt.line+"\n", Options{})
		if len(r.Notes) != 1 || !strings.Contains(r.Notes[0].String(), tt.want) || r.Notes[0].Dropped != tt.dropped {
			t.Errorf("%q: %v", tt.line, r.Notes)
		}
		if tt.dropped && len(r.Objects) != 0 {
			t.Errorf("%q: kept all the same", tt.line)
		}
	}
}

func TestRandomTimesStay(t *testing.T) {
	const text = "~ 2~4 * * * /bin/true\n"
	a, b := job(t, read(t, text, Options{File: "x"}), 0), job(t, read(t, text, Options{File: "x"}), 0)
	if a.Spec.Schedule != b.Spec.Schedule || strings.Contains(a.Spec.Schedule, "~") {
		t.Errorf("%q and %q", a.Spec.Schedule, b.Spec.Schedule)
	}
}

func TestInputAfterPercent(t *testing.T) {
	r := read(t, `* * * * * cat %first line%100\% of 'it'%END`+"\n", Options{})
	argv := job(t, r, 0).Spec.Command.Argv
	if len(argv) != 3 {
		t.Fatalf("%q", argv)
	}
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
	if err != nil || string(out) != "first line\n100% of 'it'\nEND\n" {
		t.Errorf("%q %v", out, err)
	}
}

func TestNames(t *testing.T) {
	for command, want := range map[string]string{
		"/usr/bin/python3 /srv/report.py -v":            "report",
		"cd /srv && FOO=1 nice -n 5 ./sync.sh":          "sync",
		"test -x /usr/sbin/anacron || run-parts /x/day": "day",
		"[ -d /x ] && echo hello":                       "echo",
		"$HOME/bin/tool":                                "job",
		"/opt/Ünïcode":                                  "n-code",
	} {
		p := &parser{used: map[string]bool{}}
		if got := p.name(v1.KindCronJob, command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	taken := func(_, name string) bool { return name == "backup" }
	if name := read(t, "@daily /bin/backup\n", Options{Taken: taken}).Objects[0].Meta().Name; name != "backup-2" {
		t.Errorf("a name that is taken: %q", name)
	}
}

func TestUnreadable(t *testing.T) {
	broken := errors.New("broken pipe")
	if _, err := Parse(iotest.ErrReader(broken), Options{}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := Parse(strings.NewReader(strings.Repeat("x", maxLine+1)), Options{}); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"0 2 * * * /usr/bin/backup\n", "MAILTO=root\n@daily a%b\\%c\n", "# note\n*/5 * * * * root cd / && x\n", "0~59 ~ * * * a\n",
		"@reboot x\n", "SHELL = '/bin/bash'\nCRON_TZ=UTC\n1 1 1 1 1 $(date)\n", "-* * * * * x\n",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, system bool) {
		r, err := Parse(strings.NewReader(text), Options{System: system})
		if err != nil {
			return
		}
		names := map[v1.Key]bool{}
		for _, o := range r.Objects {
			if errs := o.Validate(); len(errs) > 0 {
				t.Fatalf("%q: %v", text, errs)
			}
			if names[o.Key().Folded()] {
				t.Fatalf("%q: %s twice", text, o.Key())
			}
			names[o.Key().Folded()] = true
			if j, ok := o.(*v1.CronJob); ok {
				if _, err := cron.Parse(j.Spec.Schedule, cron.Options{}); err != nil {
					t.Fatalf("%q: %v", text, err)
				}
			}
		}
	})
}
