// Command demo runs a supervisor in a temporary folder with a small world in it: services that do something, one that crashes, one
// that is not ready, jobs, a broken manifest, and figures of the past. For trying the dashboard, and for pictures of it.
// With -deeds it is also updated, repaired, scanned and talked about, by agents that follow a script; Caddy serves it when
// there is one beside the supervisor.
//
// It prints one line of JSON with the address when everything has settled, and ends, with all that it started, when its
// standard input does.
package main

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/agent/agenttest"
	"github.com/philiporange/supervisor/pkg/metrics"
)

//go:embed world
var world embed.FS

// settle is how long the world may take until it looks as it should.
const settle = time.Minute

func main() {
	agenttest.Main() // the scripted agents are this program
	bin := flag.String("bin", "bin", "folder of supervisor and supervisor-keeper")
	caddy := flag.String("caddy", "", "the Caddy of -deeds; the one in the folder of -bin, if there is one, when it is not given")
	crowd := flag.Int("crowd", 0, "that many more services, which sleep")
	empty := flag.Bool("empty", false, "leave the world out")
	deeds := flag.Bool("deeds", false, "update, repair, scan and talk about the world, with Caddy before it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *crowd, *empty, *deeds, *caddy); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, crowd int, empty, deeds bool, caddy string) error {
	house, err := os.MkdirTemp("", "svdemo")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(house) }()
	dir, projects := filepath.Join(house, "data"), filepath.Join(house, "projects")
	if err := furnish(ctx, dir, crowd, empty); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	routes := []string{"CADDY_MODE=off"}
	if deeds {
		if err := prepare(dir, projects); err != nil {
			return err
		}
		if routes, err = withCaddy(dir, bin, caddy); err != nil {
			return err
		}
	}
	out, err := os.Create(filepath.Join(dir, "manager.out"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(filepath.Join(bin, "supervisor"), "run") //nolint:noctx // It is told to end over its socket.
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "SUPERVISOR_DIR=" + dir, "SUPERVISOR_HOST=127.0.0.1", "SUPERVISOR_PORT=" + strconv.Itoa(port),
		"SERVICE_HOST=127.0.0.1", "MONITOR_INTERVAL=10s",
		"PROJECTS_DIR=" + projects, "AGENT=guide", "AGENT_ALLOW_ROOT=true", "AUTOFIX_HEALTHY=500ms", "RESTART_DELAY=1s",
	}, routes...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	c, err := client.New(client.Options{Socket: filepath.Join(dir, "supervisor.sock"), UserAgent: "demo"})
	if err != nil {
		return err
	}
	defer c.Close()
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
		defer cancel()
		if _, err := c.Shutdown(end); err != nil {
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
	}()
	if err := await(ctx, func() bool { return c.Ready(ctx) == nil && settled(ctx, c, crowd, empty) }); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%w\n%s", err, text)
	}
	if deeds {
		if err := act(ctx, c, dir, projects); err != nil {
			text, _ := os.ReadFile(out.Name())
			return fmt.Errorf("%w\n%s", err, text)
		}
	}
	answer, err := json.Marshal(map[string]any{"url": "http://127.0.0.1:" + strconv.Itoa(port), "dir": dir, "pid": cmd.Process.Pid})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(os.Stdout, "%s\n", answer); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
	}
	return nil
}

// furnish fills the data folder.
func furnish(ctx context.Context, dir string, crowd int, empty bool) error {
	manifests := filepath.Join(dir, "manifests")
	if err := os.MkdirAll(manifests, 0o755); err != nil {
		return err
	}
	for i := range crowd {
		text := fmt.Sprintf("apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: crowd-%03d, labels: {team: t%d}}\nspec: {command: sleep 1000000}\n", i, i%7)
		if err := os.WriteFile(filepath.Join(manifests, fmt.Sprintf("crowd-%03d.yaml", i)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if empty {
		return nil
	}
	for _, name := range []string{"shop.yaml", "jobs.yaml", "broken.yaml", "app.py"} {
		data, err := fs.ReadFile(world, "world/"+name)
		if err != nil {
			return err
		}
		to := manifests
		if name == "app.py" {
			to = dir
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			return err
		}
	}
	return remember(ctx, filepath.Join(dir, "metrics.db"))
}

// remember invents the figures of the last day.
func remember(ctx context.Context, path string) error {
	h, err := metrics.OpenHistory(path, metrics.HistoryOptions{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // It draws pictures.
	uses := []struct {
		name        string
		cpu, memory float64
	}{
		{"storefront", 13, 230},
		{"checkout", 5, 88},
		{"catalog", 3, 172},
		{"search", 13, 230},
		{"thumbnails", 26, 62},
		{"mailer", 1, 34},
		{"metrics-relay", 1, 30},
		{"reviews", 1, 40},
		{"pricing", 2, 52},
	}
	now := time.Now()
	for at := now.Add(-26 * time.Hour); at.Before(now); at = at.Add(time.Minute) {
		snap := &metrics.Snapshot{At: at, Owners: map[string]metrics.Usage{}}
		for i, u := range uses {
			phase := float64(at.Unix())/1500 + float64(i)*1.7
			day := 1 + 0.4*math.Sin(float64(at.Unix())/13750+float64(i))
			usage := metrics.Usage{
				CPUPercent: max(0.1, u.cpu*day*(1+0.3*math.Sin(phase)+0.25*random.NormFloat64())), Window: time.Minute,
				MemoryBytes: int64(u.memory * (1 + 0.08*math.Sin(phase/3) + 0.01*random.NormFloat64()) * (1 << 20)), MemoryKind: metrics.MemoryPSS,
				OpenFiles: 12 + i, Threads: 3, Processes: 1,
			}
			owner := "Service/" + u.name
			snap.Owners[owner] = usage
			snap.Runs = append(snap.Runs, metrics.RunUsage{ID: owner, Owner: owner, Usage: usage})
		}
		if err := h.Record(ctx, snap); err != nil {
			return err
		}
	}
	return h.Close()
}

// settled reports whether what shall crash has been given up, and what shall run runs.
func settled(ctx context.Context, c *client.Client, crowd int, empty bool) bool {
	if !empty {
		for name, want := range map[string]v1.Phase{"storefront": v1.PhaseRunning, "checkout": v1.PhaseRunning, "recommendations": v1.PhaseFailed} {
			if phase(ctx, c, name) != want {
				return false
			}
		}
		for _, job := range []string{"backup", "reindex", "invoices"} {
			if _, err := c.RunCronJob(ctx, job); err != nil {
				return false
			}
		}
	}
	for i := range crowd {
		if phase(ctx, c, fmt.Sprintf("crowd-%03d", i)) != v1.PhaseRunning {
			return false
		}
	}
	return true
}

func phase(ctx context.Context, c *client.Client, name string) v1.Phase {
	o, err := c.Object(ctx, v1.KindService, name)
	if err != nil {
		return ""
	}
	if s, ok := o.(*v1.Service); ok && s.Status != nil {
		return s.Status.Phase
	}
	return ""
}

func await(ctx context.Context, ok func() bool) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(settle)
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return fmt.Errorf("the demo did not settle within %s", settle)
		}
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Closed at once.
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(port))
	return n, errors.Join(err, l.Close())
}
