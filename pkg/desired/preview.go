package desired

import (
	"slices"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/manifest"
)

// Step is what a listing would change of one object.
type Step struct {
	// Old is what is in force, New what would be; nil where there is nothing. One of them is there.
	Old, New v1.Object
	// File is where New comes from, or Old when there is no New.
	File string
}

// Key is the object concerned.
func (s *Step) Key() v1.Key {
	if s.New != nil {
		return s.New.Key()
	}
	return s.Old.Key()
}

// Outlook is what a listing would lead to.
type Outlook struct {
	// Steps are sorted by key. An object that stays as it is has none.
	Steps []Step
	// Problems is everything that would be wrong.
	Problems []v1.Problem
}

// Preview says what Replace would do, and does nothing.
func (s *Set) Preview(l manifest.Listing) Outlook {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := s.merge(l)
	out := Outlook{Problems: m.problems}
	for key, e := range m.next {
		switch was := s.entries[key]; {
		case was == nil:
			out.Steps = append(out.Steps, Step{New: e.object, File: e.origin.File})
		case was.revision != e.revision || was.object.Key() != e.object.Key():
			out.Steps = append(out.Steps, Step{Old: was.object, New: e.object, File: e.origin.File})
		}
	}
	for key, e := range s.entries {
		if m.next[key] == nil {
			out.Steps = append(out.Steps, Step{Old: e.object, File: e.origin.File})
		}
	}
	slices.SortFunc(out.Steps, func(a, b Step) int { return strings.Compare(a.Key().String(), b.Key().String()) })
	return out
}
