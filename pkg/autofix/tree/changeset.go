package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// ChangeSet is a change of a folder, kept for later with all content that is new.
type ChangeSet struct {
	dir     string
	Changes []Change `json:"changes"`
}

// Keep writes changes and the new content of their files into dir, which must not exist.
func Keep(dir string, changes []Change, content func(Name) (io.ReadCloser, error)) (_ *ChangeSet, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep a change: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("keep a change: %w", err), os.RemoveAll(dir))
		}
	}()
	for i := range changes {
		n := changes[i].New
		if n == nil || n.Kind != File {
			continue
		}
		if err := keepFile(filepath.Join(dir, strconv.Itoa(i)), n, content); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Path, err)
		}
	}
	s := &ChangeSet{dir: dir, Changes: changes}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, indexName), text, 0o600); err != nil {
		return nil, err
	}
	return s, syncFS(dir)
}

func keepFile(to string, e *Entry, content func(Name) (io.ReadCloser, error)) error {
	from, err := content(e.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum, _, err := digest(f, from)
	if err == nil && sum != e.Sum {
		err = ErrChanged
	}
	return errors.Join(err, f.Close())
}

// LoadChanges reads what Keep has written.
func LoadChanges(dir string) (*ChangeSet, error) {
	text, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil {
		return nil, fmt.Errorf("read a change that was kept: %w", err)
	}
	s := &ChangeSet{dir: dir}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("read a change that was kept: %s: %w", dir, err)
	}
	return s, nil
}

// Content opens the new content of a file.
func (s *ChangeSet) Content(p Name) (io.ReadCloser, error) {
	for i := range s.Changes {
		if s.Changes[i].Path == p {
			return os.Open(filepath.Join(s.dir, strconv.Itoa(i)))
		}
	}
	return nil, fmt.Errorf("%s: %w", p, os.ErrNotExist)
}

// Folder opens the content of files of a folder that is on the disk, without following links.
func Folder(dir string) func(Name) (io.ReadCloser, error) {
	return func(p Name) (io.ReadCloser, error) {
		root, err := openFolder(dir)
		if err != nil {
			return nil, err
		}
		defer root.Close() //nolint:errcheck // what it has opened stays open
		f, _, err := openFile(root, p)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
}
