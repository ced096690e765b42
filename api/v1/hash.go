package v1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// hash is a short hash of a value's JSON. encoding/json sorts the keys of maps, so equal values have equal hashes.
func hash(v any) string {
	// Every type of this package marshals: there is no channel, function or cycle in them.
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Revision implements Object.
func (s *Service) Revision() string {
	c := *s
	c.Status = nil
	c.Default()
	return hash(c)
}

// Revision implements Object.
func (j *CronJob) Revision() string {
	c := *j
	c.Status = nil
	c.Default()
	return hash(c)
}

// RunHash is a short hash of what a running process was given and cannot be given anew: when it differs, the process must
// be replaced. Labels, probes, routes, dependencies, policies, replicas and retention change in place.
//
// The content of env files is not in it, as this package does no I/O; whoever resolves them adds it.
func (s *Service) RunHash() string {
	sp := &s.Spec
	return hash(struct {
		Command                        Command
		WorkingDir, User, Group, Umask string
		Port                           Port
		Env                            map[string]string
		EnvFile                        EnvFiles
		Resources                      Resources
	}{sp.Command, sp.WorkingDir, sp.User, sp.Group, sp.Umask, sp.Port, sp.Env, sp.EnvFile, sp.Resources})
}

// RunChanges names the fields of what RunHash covers in which two versions differ, such as spec.command.
func (s *Service) RunChanges(other *Service) []string {
	a, b := &s.Spec, &other.Spec
	var out []string
	for _, f := range []struct {
		name     string
		was, now any
	}{
		{"command", a.Command, b.Command},
		{"workingDir", a.WorkingDir, b.WorkingDir},
		{"user", a.User, b.User},
		{"group", a.Group, b.Group},
		{"umask", a.Umask, b.Umask},
		{"port", a.Port, b.Port},
		{"env", a.Env, b.Env},
		{"envFile", a.EnvFile, b.EnvFile},
		{"resources", a.Resources, b.Resources},
	} {
		if hash(f.was) != hash(f.now) {
			out = append(out, "spec."+f.name)
		}
	}
	return out
}
