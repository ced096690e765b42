package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// version is a manifest; what is behind a dot is a label, which no process is given.
func version(name string) *v1.Service {
	line, label, _ := strings.Cut(name, ".")
	return &v1.Service{Metadata: v1.ObjectMeta{Name: "web", Labels: map[string]string{"l": label}}, Spec: v1.ServiceSpec{Command: v1.Command{Line: line}}}
}

func history(s *Store) string {
	var out []string
	for _, r := range s.Rollouts(web) {
		out = append(out, fmt.Sprintf("%d:%s:%s:%s", r.Number, r.Revision, r.Phase[:1], r.Service.Spec.Command.Line))
	}
	return strings.Join(out, " ")
}

func TestRollouts(t *testing.T) {
	t.Parallel()
	s := openAt(t, dbPath(t), Options{})
	record := func(revision string, phase v1.RolloutPhase, want string) {
		t.Helper()
		s.RecordRollout(web, v1.Rollout{Revision: revision, Phase: phase, StartedAt: time.Now(), Service: version(revision)})
		if got := history(s); got != want {
			t.Errorf("after %s of %s: %s, want %s", phase, revision, got, want)
		}
	}
	record("a", v1.RolloutComplete, "1:a:C:a")
	record("a.x", v1.RolloutComplete, "1:a.x:C:a") // a label is no new version
	at := s.Rollouts(web)[0].StartedAt
	record("a.x", v1.RolloutComplete, "1:a.x:C:a") // nor is a start
	if again := s.Rollouts(web)[0].StartedAt; !again.Equal(at) {
		t.Errorf("a version of %s is now of %s", at, again)
	}
	record("b", v1.RolloutProgressing, "1:a.x:C:a 2:b:P:b")
	record("b", v1.RolloutFailed, "1:a.x:C:a 2:b:F:b")
	record("c", v1.RolloutProgressing, "1:a.x:C:a 2:b:F:b 3:c:P:c")
	s.RecordRollout(web, v1.Rollout{Revision: "c", Phase: v1.RolloutComplete}) // the manifest is known
	s.RecordRollout(web, v1.Rollout{Revision: "forgotten", Phase: v1.RolloutSuperseded})
	record("a.x", v1.RolloutProgressing, "2:b:F:b 3:c:C:c 4:a.x:P:a") // gone back to
	if got := s.Revision(web, "c"); got == nil || got.Spec.Command.Line != "c" || s.Revision(web, "a") != nil {
		t.Errorf("revision c is %+v", got)
	}
	s = reopen(t, s)
	if got := history(s); got != "2:b:F:b 3:c:C:c 4:a.x:P:a" {
		t.Errorf("after a reopen: %s", got)
	}
	s.DeleteObject(web)
	s = reopen(t, s)
	if got := history(s); got != "" {
		t.Errorf("after the deletion: %s", got)
	}
}

// The last version that is known to work is never among those that go.
func TestRolloutsAreBounded(t *testing.T) {
	t.Parallel()
	s := openAt(t, dbPath(t), Options{})
	s.RecordRollout(web, v1.Rollout{Revision: "good", Phase: v1.RolloutComplete, Service: version("good")})
	for i := range 3 * keptRollouts {
		r := fmt.Sprint("bad", i)
		s.RecordRollout(web, v1.Rollout{Revision: r, Phase: v1.RolloutFailed, Service: version(r)})
	}
	s = reopen(t, s)
	rows := s.Rollouts(web)
	if len(rows) != keptRollouts || rows[0].Revision != "good" || rows[len(rows)-1].Revision != fmt.Sprint("bad", 3*keptRollouts-1) {
		t.Errorf("%d are kept: %s", len(rows), history(s))
	}
}
