package autofix

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/autofix/tree"
)

// refusal says what the agent did that it may not.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

func refusef(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// secretNames are files that an agent is not shown and may not write, because they usually hold secrets.
var secretNames = []string{".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_ed25519*", "id_ecdsa*", ".netrc", ".pgpass", ".npmrc", ".pypirc", "credentials.json"}

// samples look like secretNames and are made to be read.
var samples = []string{".env.example", ".env.sample", ".env.template", ".env.dist"}

// secretFile reports whether a file is kept from agents; extra are further paths of the folder, such as env files of the manifest.
func secretFile(p tree.Name, extra []string) bool {
	base := path.Base(string(p))
	if slices.Contains(samples, base) {
		return false
	}
	return slices.Contains(extra, string(p)) || slices.ContainsFunc(secretNames, func(form string) bool {
		match, err := path.Match(form, base)
		return err == nil && match
	})
}

// bounds are what a repair may change.
type bounds struct {
	// folder is what is repaired; manifests is the folder of manifests.
	folder, manifests string
	// secret are paths below folder that the agent is not shown.
	secret []string
}

// review refuses changes that no repair needs and an attack would use.
func (b *bounds) review(changes []tree.Change) error {
	for i := range changes {
		c := &changes[i]
		switch n := c.New; {
		case secretFile(c.Path, b.secret):
			return refusef("it wrote %s, which may hold secrets and is not its to change", c.Path)
		case b.isManifest(c.Path):
			return refusef("it changed %s, a manifest: what runs here, and as whom, is not an agent's to decide", c.Path)
		case n == nil:
		case n.Kind == tree.Link && leadsOut(c.Path, n.Target):
			return refusef("it made %s a link to %s, which is outside of the folder", c.Path, n.Target)
		case c.Old != nil && c.Old.Kind == tree.File && n.Kind == tree.File && c.Old.Sum != n.Sum && lends(c.Old):
			return refusef("it changed %s, which lends its owner's rights to whoever runs it", c.Path)
		case n.Mode&0o6000 != 0 && n.Kind == tree.File && (c.Old == nil || c.Old.Mode&0o6000 != n.Mode&0o6000):
			return refusef("it gave %s the mode %04o, which lends its owner's rights to whoever runs it", c.Path, n.Mode)
		}
	}
	return nil
}

// lends reports whether who runs a file has rights by it that are not their own.
func lends(e *tree.Entry) bool { return e.Mode&0o6000 != 0 || e.Attrs["security.capability"] != nil }

// isManifest reports whether a path of the folder is read by the supervisor as a manifest.
func (b *bounds) isManifest(p tree.Name) bool {
	ext := path.Ext(string(p))
	if ext != ".yaml" && ext != ".yml" {
		return false
	}
	_, inside := agent.Within(b.manifests, filepath.Join(b.folder, string(p)))
	return inside
}

// leadsOut reports whether a link at p leads out of the folder.
func leadsOut(p, target tree.Name) bool {
	to := path.Join(path.Dir(string(p)), string(target))
	return path.IsAbs(string(target)) || to == ".." || strings.HasPrefix(to, "../")
}

// meant keeps what an agent meant of its changes of a copy, as changes of what was backed up, and gives the rest back: an editor that
// writes a file anew changes times and owners. Owners are those of what was there, or of the folder that a new file is in.
func meant(changes []tree.Change, was *tree.Snapshot) []tree.Change {
	var out []tree.Change
	for _, c := range changes {
		if c.Old != nil {
			c.Old = was.Find(c.Path)
		}
		if c.New == nil {
			out = append(out, c)
			continue
		}
		n := *c.New
		n.Hard = "" // a file that was written anew is a file of its own
		if c.Old != nil {
			n.UID, n.GID, n.Attrs = c.Old.UID, c.Old.GID, c.Old.Attrs
			n.Mode |= c.Old.Mode & 0o6000 // which the copy has not
			if c.Old.Kind == n.Kind && c.Old.Sum == n.Sum && c.Old.Size == n.Size && c.Old.Target == n.Target && c.Old.Mode == n.Mode {
				continue
			}
		} else if dir := above(was, c.Path); dir != nil {
			n.UID, n.GID, n.Attrs = dir.UID, dir.GID, nil
		}
		out = append(out, tree.Change{Path: c.Path, Old: c.Old, New: &n})
	}
	return out
}

// above is the innermost folder around a path that was there before.
func above(base *tree.Snapshot, p tree.Name) *tree.Entry {
	for p != "." {
		p = tree.Name(path.Dir(string(p)))
		if e := base.Find(p); e != nil && e.Kind == tree.Dir {
			return e
		}
	}
	return nil
}

// escaped says what an agent tried to change outside of its folder, also when it was not let; empty when it did not. One that tries
// is not to be trusted with the rest.
func escaped(dir string, t *agent.Tool) string {
	switch t.Kind {
	case "edit", "delete", "move":
	default:
		return ""
	}
	paths := slices.Clone(t.Paths)
	for _, d := range t.Diffs {
		paths = append(paths, d.Path)
	}
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		if _, ok := agent.Within(dir, p); !ok {
			return p
		}
	}
	return ""
}

// unfit says why a folder cannot be repaired as a whole; empty when it can. All paths are absolute, with links resolved; data is the
// supervisor's own folder and manifests the one of manifests.
func unfit(folder, home, data, manifests string) string {
	within := func(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
	switch {
	case folder == home:
		return folder + " is a whole home folder"
	case slices.Contains(topFolders, folder), slices.ContainsFunc(systemFolders, func(dir string) bool { return within(folder, dir) }):
		return folder + " belongs to the system"
	case within(data, folder), within(folder, data) && !(within(folder, manifests) && folder != manifests):
		return folder + " holds, or is in, the supervisor's own data"
	}
	return ""
}

var (
	topFolders    = []string{"", "/", "/home", "/root", "/usr", "/usr/local", "/var", "/var/lib", "/opt", "/tmp", "/var/tmp", "/mnt", "/media", "/srv"}
	systemFolders = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr/bin", "/usr/lib", "/usr/sbin", "/usr/share"}
)
