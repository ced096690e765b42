package keeper

import (
	"bytes"
	"os"
	"slices"
	"strings"
)

// cgroupMount is one mounted hierarchy.
type cgroupMount struct {
	path    string
	v2      bool
	options []string
}

func (m cgroupMount) has(controller string) bool { return slices.Contains(m.options, controller) }

// cgroupMounts lists the mounted hierarchies.
func cgroupMounts() []cgroupMount {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(raw)
}

// parseMounts reads mountinfo lines: "36 35 98:0 /root /point opts - type source superopts".
func parseMounts(raw []byte) []cgroupMount {
	var mounts []cgroupMount
	for line := range bytes.Lines(raw) {
		left, right, ok := strings.Cut(strings.TrimSpace(string(line)), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 || !strings.HasPrefix(r[0], "cgroup") {
			continue
		}
		mounts = append(mounts, cgroupMount{path: l[4], v2: r[0] == "cgroup2", options: strings.Split(r[2], ",")})
	}
	return mounts
}

// ownCgroups tells where we are: controller → path, "" for v2.
func ownCgroups() map[string]string {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	own := map[string]string{}
	for line := range bytes.Lines(raw) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			own[controller] = parts[2]
		}
	}
	return own
}
