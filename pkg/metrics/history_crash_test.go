package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
)

func TestDamagedDatabaseIsSetAside(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"not a database": func(t *testing.T, path string) { write(t, path, strings.Repeat("no database ", 1000)) },
		"cut off": func(t *testing.T, path string) {
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		},
		"garbage in the schema": func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 3000)), 100); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "metrics.db")
			now := epoch
			h := openTest(t, path, &now)
			record(t, h, snapshotOf(now, "Service/web", 1, 1))
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, path)
			var aside string
			h, err := OpenHistory(path, HistoryOptions{Log: quiet, OnSetAside: func(p string, _ error) { aside = p }})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = h.Close() }()
			record(t, h, snapshotOf(time.Now(), "Service/web", 1, 1))
			if _, err := os.Stat(aside); err != nil {
				t.Errorf("set aside at %q: %v", aside, err)
			}
			if rows, err := h.Rows(t.Context(), "Service/web", 24); err != nil || len(rows) != 1 {
				t.Errorf("after it: %d rows, %v", len(rows), err)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageWhileOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metrics.db")
	now := epoch
	h := openTest(t, path, &now)
	for i := range 2000 {
		now = epoch.Add(time.Duration(i) * time.Second)
		record(t, h, snapshotOf(now, "Service/web", 1, 1))
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openTest(t, path, &now)
	asides := 0
	h.onSetAside = func(string, error) { asides++ }
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(4096 * 3); off < st.Size(); off += 4096 { // the schema stays whole, the rows do not
		if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 4096)), off); err != nil {
			t.Fatal(err)
		}
	}
	_ = f.Close()
	var firstErr error
	for range 5 {
		now = now.Add(time.Minute)
		if err := h.Record(t.Context(), snapshotOf(now, "Service/web", 1, 1)); err != nil && firstErr == nil {
			firstErr = err
		}
	}
	if firstErr == nil || asides != 1 {
		t.Errorf("error %v, set aside %d times; want an error and once", firstErr, asides)
	}
	if rows, err := h.Rows(t.Context(), "Service/web", 1); err != nil || len(rows) < 4 {
		t.Errorf("after it: %d rows, %v; want those since", len(rows), err)
	}
}

func TestClosedHistory(t *testing.T) {
	t.Parallel()
	now := epoch
	h := openTest(t, filepath.Join(t.TempDir(), "metrics.db"), &now)
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.Rows(t.Context(), "x", 1)
	for _, err := range []error{err, h.Record(t.Context(), &Snapshot{}), h.Forget(t.Context(), "x")} {
		if !errors.Is(err, errClosed) {
			t.Errorf("%v, want %v", err, errClosed)
		}
	}
}

// recordForEver is the other process of TestHistorySurvivesKill: it goes on where the database ends, a minute a sample.
func recordForEver(ctx context.Context, path string) {
	h, err := OpenHistory(path, HistoryOptions{Log: quiet})
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	var last int64
	if err := h.db.Table("samples_raw").Select("COALESCE(MAX(at), ?)", epoch.Unix()).Scan(&last).Error; err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	for {
		last += 60
		if err := h.Record(ctx, snapshotOf(time.Unix(last, 0), "Service/web", 1, 1)); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, last)
	}
}

func TestHistorySurvivesKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metrics.db")
	acknowledged := epoch.Unix()
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "METRICS_TEST_RECORD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for i := range 150 + 37*round {
			line, err := lines.ReadString('\n')
			var at int64
			if _, scanErr := fmt.Sscan(line, &at); err != nil || scanErr != nil {
				t.Fatalf("round %d, line %d: %q, %v", round, i, line, errors.Join(err, scanErr))
			}
			acknowledged = at
		}
		_ = cmd.Process.Kill()
		rest, _ := io.ReadAll(lines)
		for line := range strings.Lines(string(rest)) {
			var at int64
			if _, err := fmt.Sscan(line, &at); err == nil && strings.HasSuffix(line, "\n") {
				acknowledged = at
			}
		}
		_ = cmd.Wait()
	}
	now := time.Unix(acknowledged, 0)
	h := openTest(t, path, &now)
	checkUnbroken(t, h, acknowledged)
}

// checkUnbroken reads all tiers together: a sample a minute from the first to the last, whatever was killed when.
func checkUnbroken(t *testing.T, h *History, last int64) {
	t.Helper()
	var got []sample
	err := h.read(t.Context(), func(tx *gorm.DB) (err error) {
		got, err = stitch(tx, 1, 2, epoch.Unix(), last)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for i, s := range got {
		n += s.N
		if i > 0 && s.At <= got[i-1].At {
			t.Errorf("row %d at %d is not after %d", i, s.At, got[i-1].At)
		}
	}
	if want := (last - epoch.Unix()) / 60; n != want {
		t.Errorf("%d samples, want %d: each acknowledged one once", n, want)
	}
}
