package rest_test

import (
	"context"
	"io"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// healer knows one repair, 7, and notes what it is asked.
type healer struct{ asked []any }

func (h *healer) fix(id uint64) (wire.FixDetail, error) {
	if id != 7 {
		return wire.FixDetail{}, rest.Errorf(wire.CodeNotFound, "there is no fix %d", id)
	}
	return wire.FixDetail{Fix: wire.Fix{ID: 7, FilesModified: []string{"app.py"}}, State: "Proposed", Diff: "+a"}, nil
}

func (h *healer) Fix(_ context.Context, key v1.Key, description, _ string) (string, error) {
	h.asked = append(h.asked, key, description)
	if description == "busy" {
		return "", rest.Errorf(wire.CodeConflict, "job fix-1 works in it")
	}
	return "fix-1", nil
}

func (h *healer) List(_ context.Context, q rest.FixQuery) ([]wire.FixDetail, error) {
	h.asked = append(h.asked, q)
	f, err := h.fix(7)
	return []wire.FixDetail{f}, err
}

func (h *healer) Get(_ context.Context, id uint64) (wire.FixDetail, error) { return h.fix(id) }

func (h *healer) Restore(_ context.Context, id uint64, _ string) (wire.Restored, error) {
	if id == 8 {
		return wire.Restored{}, rest.Errorf(wire.CodeInvalid, "fix 8 was restored already")
	}
	_, err := h.fix(id)
	return wire.Restored{Status: "restored", FixID: id, BackupPath: "/b", Service: "web", UndoID: 9, Changed: []string{"app.py"}}, err
}

func (h *healer) Approve(_ context.Context, id uint64, _ string) (wire.JobStarted, error) {
	_, err := h.fix(id)
	return wire.JobStarted{JobID: "fix-2", Status: "started", Service: "web"}, err
}

func (h *healer) Reject(_ context.Context, id uint64, reason, _ string) (wire.FixDetail, error) {
	h.asked = append(h.asked, reason)
	return h.fix(id)
}

func (h *healer) Transcript(_ context.Context, _ uint64, to io.Writer) error {
	_, err := io.WriteString(to, "{\"seq\":1}\n")
	return err
}

func TestFixes(t *testing.T) {
	healer := &healer{}
	h := newHouse(t, func(d *rest.Deps, _ *world) { d.Fixes = healer })
	h.add(t, manifest("web", `{command: sleep 1}`)+"---\napiVersion: supervisor.dev/v1\nkind: CronJob\nmetadata: {name: job}\nspec: {command: date, schedule: '@daily'}\n")
	web, job := v1.Key{Kind: v1.KindService, Name: "web"}, v1.Key{Kind: v1.KindCronJob, Name: "job"}
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
		asked              []any
	}{
		{"POST", "/api/services/web/fix", "", 200, `^{"job_id":"fix-1","status":"started","service":"web"}\n$`, []any{web, ""}},
		{"POST", "/api/services/web/fix?error_description=it+burns", "", 200, `fix-1`, []any{web, "it burns"}},
		{"POST", "/api/services/web/fix", `{"error_description":"it burns"}`, 200, `fix-1`, []any{web, "it burns"}},
		{"POST", "/api/services/web/fix", `{"error_description":"busy"}`, 409, `fix-1 works`, []any{web, "busy"}},
		{"POST", "/api/services/web/fix", `{"error_description":`, 400, ``, nil},
		{"POST", "/api/services/nobody/fix", "", 404, `no service`, nil},
		{"POST", "/api/v1/cronjobs/job/fix", "", 200, `fix-1`, []any{job, ""}},
		{"GET", "/api/services/web/fixes", "", 200, `^\[{"id":7,.*"files_modified":\["app.py"\],"backup_path":null.*}\]\n$`, []any{rest.FixQuery{Object: web, Limit: 20}}},
		{"GET", "/api/services/web/fixes?limit=101", "", 422, `limit`, nil},
		{"GET", "/api/services/nobody/fixes", "", 404, ``, nil},
		{"GET", "/api/v1/fixes?name=job&kind=CronJob&limit=3&open=true&restores=true&before=9", "", 200, `"items":\[{"id":7`, []any{rest.FixQuery{Object: job, Open: true, Restores: true, Before: 9, Limit: 3}}},
		{"GET", "/api/v1/fixes?kind=Odd", "", 422, `Service, CronJob`, nil},
		{"GET", "/api/v1/fixes/7", "", 200, `"state":"Proposed".*"diff":"\+a"`, nil},
		{"GET", "/api/v1/fixes/8", "", 404, `no fix`, nil},
		{"GET", "/api/v1/fixes/x", "", 404, `no fix`, nil},
		{"GET", "/api/v1/fixes/7/transcript", "", 200, `^{"seq":1}\n$`, nil},
		{"GET", "/api/v1/fixes/8/transcript", "", 404, ``, nil},
		{"POST", "/api/fixes/7/restore", "", 200, `"status":"restored","fix_id":7,"backup_path":"/b","service":"web","undo_id":9`, nil},
		{"POST", "/api/fixes/8/restore", "", 400, `already`, nil},
		{"POST", "/api/fixes/9/restore", "", 404, ``, nil},
		{"POST", "/api/v1/fixes/7/approve", "", 200, `fix-2`, nil},
		{"POST", "/api/v1/fixes/9/approve", "", 404, ``, nil},
		{"POST", "/api/v1/fixes/7/reject", `{"reason":"no"}`, 200, `"id":7`, []any{"no"}},
	} {
		healer.asked = nil
		r := h.call(t, request{method: c.method, path: c.path, body: c.body})
		if r.status != c.status || !regexp.MustCompile(c.want).MatchString(r.body) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, r.status, r.body)
		}
		if diff := cmp.Diff(c.asked, healer.asked); diff != "" {
			t.Errorf("%s %s asked (-want +got):\n%s", c.method, c.path, diff)
		}
	}
}
