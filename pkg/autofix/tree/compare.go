package tree

import (
	"cmp"
	"slices"
)

// Change is one path that differs between two states. Old or New is nil where there is nothing.
type Change struct {
	Path Name   `json:"path"`
	Old  *Entry `json:"old,omitempty"`
	New  *Entry `json:"new,omitempty"`
}

// metaOnly reports whether the content stays.
func (c *Change) metaOnly() bool {
	return c.Old != nil && c.New != nil && sameContent(c.Old, c.New) && c.Old.Hard == c.New.Hard && c.New.Kind != Link
}

// replaces reports whether what is there has to go before the new can come: it is of another kind.
func (c *Change) replaces() bool {
	return c.Old != nil && (c.New == nil || c.New.Kind != c.Old.Kind)
}

// Compare returns what has to change for the folder to go from one state to the other, sorted by path.
func Compare(from, to *Snapshot) []Change {
	var out []Change
	changed := map[Name]bool{}
	add := func(c Change) {
		out = append(out, c)
		changed[c.Path] = true
	}
	i, j := 0, 0
	for i < len(from.Entries) || j < len(to.Entries) {
		var order int
		switch {
		case i == len(from.Entries):
			order = 1
		case j == len(to.Entries):
			order = -1
		default:
			order = comparePaths(from.Entries[i].Path, to.Entries[j].Path)
		}
		switch {
		case order < 0:
			add(Change{Path: from.Entries[i].Path, Old: &from.Entries[i]})
			i++
		case order > 0:
			add(Change{Path: to.Entries[j].Path, New: &to.Entries[j]})
			j++
		default:
			if !same(&from.Entries[i], &to.Entries[j]) {
				add(Change{Path: from.Entries[i].Path, Old: &from.Entries[i], New: &to.Entries[j]})
			}
			i++
			j++
		}
	}
	return withLinks(out, changed, from, to)
}

// withLinks adds the other names of files with several: when one is placed anew, they must be linked to it anew.
func withLinks(out []Change, changed map[Name]bool, from, to *Snapshot) []Change {
	groups := map[Name]bool{}
	for i := range out {
		if n := out[i].New; n != nil && n.Hard != "" {
			groups[n.Hard] = true
		}
	}
	if len(groups) == 0 {
		return out
	}
	for i := range to.Entries {
		e := &to.Entries[i]
		if groups[e.Hard] && !changed[e.Path] {
			out = append(out, Change{Path: e.Path, Old: from.Find(e.Path), New: e})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return comparePaths(a.Path, b.Path) })
	return out
}

// Reverse returns the changes that undo changes.
func Reverse(changes []Change) []Change {
	out := make([]Change, len(changes))
	for i, c := range changes {
		out[i] = Change{Path: c.Path, Old: c.New, New: c.Old}
	}
	return out
}

// Paths are those of the changes, without the folders that only come or go with what is in them.
func Paths(changes []Change) []string {
	inside := map[Name]bool{}
	for _, c := range changes {
		inside[parent(c.Path)] = true
	}
	var out []string
	for _, c := range changes {
		e := cmp.Or(c.New, c.Old)
		if e.Kind == Dir && inside[c.Path] && (c.Old == nil || c.New == nil) {
			continue
		}
		out = append(out, string(c.Path))
	}
	return out
}
