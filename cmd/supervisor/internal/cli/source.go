package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// maxManifest bounds one file that is sent, in bytes.
const maxManifest = 16 << 20

// manifest is one text that was named with -f.
type manifest struct {
	name string // as people wrote it
	text []byte
}

// readManifests reads what -f names: files, folders (their *.yaml and *.yml, with recursive also those below), - for
// standard input.
func (c *cli) readManifests(names []string, recursive bool) ([]manifest, error) {
	var out []manifest
	add := func(name string, r io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
		if err == nil && len(text) > maxManifest {
			err = fmt.Errorf("it is larger than %s", v1.ByteSize(maxManifest))
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, manifest{name, text})
		return nil
	}
	file := func(name string) error {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("read manifests: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		return add(name, f)
	}
	for _, name := range names {
		if name == "-" {
			if err := add("standard input", c.In); err != nil {
				return nil, err
			}
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		if !info.IsDir() {
			if err := file(name); err != nil {
				return nil, err
			}
			continue
		}
		before := len(out)
		err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case path == name:
				return nil
			case d.IsDir() && (!recursive || strings.HasPrefix(d.Name(), ".")):
				return fs.SkipDir
			case d.IsDir() || !isManifest(d.Name()):
				return nil
			}
			return file(path)
		})
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		if len(out) == before {
			return nil, fmt.Errorf("%s holds no *.yaml or *.yml; use -R to look into its folders too", name)
		}
	}
	return out, nil
}

// isManifest reports whether the daemon would take a file of that name for a manifest.
func isManifest(name string) bool {
	ext := filepath.Ext(name)
	return (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(name, ".")
}

// checkManifests lets the supervisor look at all texts before it acts on any. It complains about what is wrong, with
// the names of our files, and returns the objects of each text.
func (c *cli) checkManifests(ctx context.Context, api *client.Client, manifests []manifest) ([][]v1.Key, error) {
	keys := make([][]v1.Key, len(manifests))
	bad := 0
	for i, m := range manifests {
		v, err := api.Validate(ctx, m.text)
		var p *wire.Problem
		switch {
		case errors.As(err, &p) && len(p.Problems) > 0:
			v = wire.Validation{Problems: p.Problems}
		case err != nil:
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		for _, problem := range v.Problems {
			problem.File = m.name
			c.notef("%s\n", plain(problem.String()))
		}
		bad += len(v.Problems)
		keys[i] = v.Keys
	}
	if bad > 0 {
		c.notef("error: nothing was changed: %s in what was given\n", count(bad, "problem"))
		return nil, errSaid
	}
	return keys, nil
}
