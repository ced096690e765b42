package settings

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"syscall"

	"github.com/joho/godotenv"
)

// dotenv is a .env file.
type dotenv struct {
	path   string
	values map[string]string
	lines  map[string]int
}

// assignment is a line that sets a variable, in the forms that godotenv reads.
var assignment = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*[=:]`)

// readDotenv reads a .env file; nil when there is none.
func readDotenv(path string) (*dotenv, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return nil, nil //nolint:nilnil // no file is no values, and no error
	case err != nil:
		return nil, fmt.Errorf("read settings: %w", err)
	}
	f := &dotenv{path: path, lines: map[string]int{}}
	// The parser does not tell lines. The last assignment is the one that counts; within a value of many lines this can
	// name a wrong line, which is shown only.
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if m := assignment.FindSubmatch(line); m != nil {
			f.lines[string(m[1])] = n
		}
	}
	if f.values, err = godotenv.UnmarshalBytes(text); err != nil {
		// Its error quotes the file, and what is in such a file may be secret.
		if f.concernsUs() {
			return nil, fmt.Errorf("read settings: %s is not a dotenv file; write lines like NAME=value, and quote values that have spaces, quotes or # in them", path)
		}
		return nil, nil //nolint:nilnil // the file of some other program in whose folder we happen to be
	}
	return f, nil
}

// concernsUs reports whether the file seems to set one of our settings.
func (f *dotenv) concernsUs() bool {
	for _, d := range definitions() {
		if f.lines[d.name] > 0 {
			return true
		}
	}
	return false
}

// source renders "/path/.env:3".
func (f *dotenv) source(name string) string {
	if n := f.lines[name]; n > 0 {
		return f.path + ":" + strconv.Itoa(n)
	}
	return f.path
}
