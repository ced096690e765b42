package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// root is the folder of go.mod.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// binaries builds supervisor and supervisor-keeper once for all tests of a package, into a folder that Main removes.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "supervisor-bin-")
	if err != nil {
		return "", err
	}
	args := []string{"build", "-buildvcs=false", "-tags", "sqlite_fts5", "-o", dir + "/", "./cmd/supervisor", "./cmd/supervisor-keeper"}
	cmd := exec.Command("go", args...) //nolint:noctx // A build has no caller to be cancelled by.
	cmd.Dir = root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	return dir, nil
})

// Main runs the tests of a package and removes what was built for them. Call it from TestMain.
func Main(m interface{ Run() int }) {
	code := m.Run()
	if dir, err := binaries(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}
