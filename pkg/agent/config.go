package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// LoadSpecs returns the built-in agents as a file changes and adds to them; a file that is not there changes nothing. It is a JSON
// list of Specs: one with the ID of a built-in agent sets those fields that it names. Agents of the file come first.
func LoadSpecs(path string) ([]Spec, error) {
	specs := Builtin()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || path == "" {
		return specs, nil
	}
	if err != nil {
		return specs, fmt.Errorf("read the agents' file: %w", err)
	}
	return mergeSpecs(specs, path, text)
}

func mergeSpecs(builtin []Spec, path string, text []byte) ([]Spec, error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(text, &entries); err != nil {
		return builtin, fmt.Errorf("%s is not a JSON list of agents: %w", path, err)
	}
	var first []Spec
	rest := slices.Clone(builtin)
	for i, entry := range entries {
		var head struct{ ID string }
		if err := json.Unmarshal(entry, &head); err != nil {
			return builtin, fmt.Errorf("%s: agent %d: %w", path, i+1, err)
		}
		spec := Spec{ID: head.ID, Protocol: ProtocolACP}
		at := slices.IndexFunc(rest, func(s Spec) bool { return s.ID == head.ID })
		if at >= 0 {
			spec = rest[at]
			rest = slices.Delete(rest, at, at+1)
		}
		strict := json.NewDecoder(bytes.NewReader(entry))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&spec); err != nil {
			return builtin, fmt.Errorf("%s: agent %d (%s): %w", path, i+1, head.ID, err)
		}
		if slices.ContainsFunc(first, func(s Spec) bool { return s.ID == spec.ID }) {
			return builtin, fmt.Errorf("%s: agent %s is there twice", path, spec.ID)
		}
		if err := spec.check(); err != nil {
			return builtin, fmt.Errorf("%s: %w", path, err)
		}
		if spec.Name == "" {
			spec.Name = spec.ID
		}
		first = append(first, spec)
	}
	return slices.DeleteFunc(append(first, rest...), func(s Spec) bool { return s.Disabled }), nil
}
