package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// savedState is what is kept across restarts.
type savedState struct {
	// Objects is what people were told, by object and rule.
	Objects map[string]objectState `json:"objects"`
	// Waiting is what has yet to be delivered, by channel.
	Waiting map[string][]Alert `json:"waiting,omitempty"`
}

// loadState reads what was saved. A file that is missing is an empty one; a damaged one is so too, beside the error.
func loadState(path string) (savedState, error) {
	var s savedState
	var b []byte
	var err error
	if path != "" {
		b, err = os.ReadFile(path)
	}
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &s)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		s, err = savedState{}, fmt.Errorf("read state of alerts %s: %w", path, err)
	}
	if s.Objects == nil {
		s.Objects = make(map[string]objectState)
	}
	return s, err
}

// saveState replaces the file in one step.
func saveState(path string, s savedState) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode state of alerts: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("save state of alerts: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save state of alerts: %w", err), os.Remove(f.Name()))
	}
	return nil
}
