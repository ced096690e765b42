package v1_test

import (
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// RunChanges names something just when RunHash differs: the two are written apart, and must not drift.
func TestRunChangesAgreeWithRunHash(t *testing.T) {
	draw := func(t *rapid.T) *v1.Service {
		s := &v1.Service{}
		s.Metadata.Name = "web"
		s.Metadata.Labels = rapid.MapOf(rapid.Just("l"), rapid.SampledFrom([]string{"1", "2"})).Draw(t, "labels")
		s.Spec.Command = v1.Command{Line: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "command")}
		s.Spec.WorkingDir = rapid.SampledFrom([]string{"", "/a"}).Draw(t, "dir")
		s.Spec.User = rapid.SampledFrom([]string{"", "www"}).Draw(t, "user")
		s.Spec.Group = rapid.SampledFrom([]string{"", "www"}).Draw(t, "group")
		s.Spec.Umask = rapid.SampledFrom([]string{"", "022"}).Draw(t, "umask")
		s.Spec.Port = v1.Port{Number: rapid.IntRange(0, 1).Draw(t, "port")}
		s.Spec.Env = rapid.MapOf(rapid.Just("E"), rapid.SampledFrom([]string{"1", "2"})).Draw(t, "env")
		if rapid.Bool().Draw(t, "file") {
			s.Spec.EnvFile = v1.EnvFiles{{Path: ".env"}}
		}
		s.Spec.Resources.PidsMax = int64(rapid.IntRange(0, 1).Draw(t, "pids"))
		n := rapid.IntRange(0, 2).Draw(t, "replicas")
		s.Spec.Replicas = &n
		return s
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t), draw(t)
		if fields := a.RunChanges(b); (len(fields) > 0) != (a.RunHash() != b.RunHash()) {
			t.Fatalf("%v: %s and %s", fields, a.RunHash(), b.RunHash())
		}
	})
}
