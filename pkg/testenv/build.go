package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// root is the folder of go.mod.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// binaries builds supervisor and supervisor-keeper once for all tests of a package, into a folder that Main removes.
var binaries = sync.OnceValues(func() (string, error) { return build("test") })

// build builds both programs, with a version in them, into a folder of their own.
func build(version string) (string, error) {
	dir, err := os.MkdirTemp("", "supervisor-bin-")
	if err != nil {
		return "", err
	}
	flags := fmt.Sprintf("-X main.version=%[1]s -X github.com/philiporange/supervisor/pkg/app.Version=%[1]s", version)
	args := []string{"build", "-buildvcs=false", "-tags", "sqlite_fts5,nomsgpack", "-ldflags", flags, "-o", dir + "/", "./cmd/supervisor", "./cmd/supervisor-keeper"}
	cmd := exec.Command("go", args...) //nolint:noctx // A build has no caller to be cancelled by.
	cmd.Dir = root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	return dir, nil
}

// Build builds both programs in another version, for tests of an upgrade.
func Build(t testing.TB, version string) (dir string) {
	t.Helper()
	dir, err := build(version)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Main runs the tests of a package and removes what was built for them. Call it from TestMain.
func Main(m interface{ Run() int }) {
	code := m.Run()
	if dir, err := binaries(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}
