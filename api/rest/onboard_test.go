package rest_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// helpers stand for what is done in the background: they note what they were asked.
type helpers struct{ asked []any }

func (h *helpers) Projects(context.Context) ([]wire.Project, error) {
	return []wire.Project{{Name: "shop", Path: "/home/me/Code/shop"}}, nil
}

func (h *helpers) Preview(_ context.Context, project string) (wire.OnboardPreview, error) {
	if project != "shop" {
		return wire.OnboardPreview{}, rest.Errorf(wire.CodeNotFound, "there is no folder %s", project)
	}
	return wire.OnboardPreview{ProjectName: "shop", ProjectPath: "/home/me/Code/shop", DataDir: "/home/me/.shop"}, nil
}

func (h *helpers) Onboard(_ context.Context, r wire.OnboardRequest, actor string) (wire.OnboardStarted, error) {
	h.asked = append(h.asked, r, actor)
	return wire.OnboardStarted{JobID: "onboard-1", Status: "started", Project: r.Project}, nil
}

func (h *helpers) Scan(_ context.Context, s *v1.Service, r wire.ScanRequest, _ string) (wire.JobStarted, error) {
	h.asked = append(h.asked, s.Metadata.Name, r)
	return wire.JobStarted{JobID: "scan-1", Status: "started", Service: s.Metadata.Name, URL: "https://web.example"}, nil
}

func (h *helpers) LatestScan(context.Context, string) (wire.Scan, error) {
	return wire.Scan{HasScan: true, Result: map[string]int{"red": 1}}, nil
}

// desk is a desk of approvals with one request on it.
type desk struct{ rest.Approvals }

func (desk) List() []wire.Approval { return nil }

func (desk) Ask(r wire.ApprovalRequest, actor string) wire.Approval {
	return wire.Approval{ID: "a1", Summary: r.Summary, Actor: actor, State: wire.ApprovalWaiting}
}

func (desk) Decide(id string, allow bool, actor string) (wire.Approval, error) {
	if id != "a1" {
		return wire.Approval{}, rest.Errorf(wire.CodeNotFound, "there is no approval %s", id)
	}
	state := wire.ApprovalRejected
	if allow {
		state = wire.ApprovalApproved
	}
	return wire.Approval{ID: id, State: state, DecidedBy: actor}, nil
}

func (desk) Use(id, digest string) (wire.Approval, error) {
	if digest != "d" {
		return wire.Approval{}, rest.Errorf(wire.CodeConflict, "it is for another change")
	}
	return wire.Approval{ID: id, State: wire.ApprovalUsed}, nil
}

func TestHelpers(t *testing.T) {
	work := &helpers{}
	h := newHouse(t, func(d *rest.Deps, _ *world) {
		d.Onboarder, d.Scanner, d.Approvals = work, work, desk{}
		d.MCP = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("spoken")) })
	})
	h.add(t, manifest("web", `{command: "a", port: 8000, expose: {subdomain: web}}`)+"\n---\n"+manifest("inner", `{command: "a", port: 8001}`)+
		"\n---\n"+manifest("hidden", `{command: "a", port: 8002, expose: {enabled: false, subdomain: hidden}}`))
	for _, c := range []struct {
		method, path, body string
		status             int
		want               []string
	}{
		{"GET", "/api/projects", "", 200, []string{`^\{"projects":\[\{"name":"shop","path":"/home/me/Code/shop"\}\]\}\n$`}},
		{"GET", "/api/onboard/preview?project=shop", "", 200, []string{`"project_name":"shop"`, `"project_path":`, `"data_dir":"/home/me/.shop"`, `"exists":false`}},
		{"GET", "/api/onboard/preview?project=nope", "", 404, []string{`no folder nope`}},
		{"GET", "/api/onboard/preview", "", 422, []string{`"field":"project"`}},
		{"POST", "/api/onboard", `{"project":"shop","model":"sonnet","port":9000}`, 200, []string{`^\{"job_id":"onboard-1","status":"started","project":"shop"\}\n$`}},
		{"POST", "/api/onboard", `{}`, 422, []string{`"field":"project"`}},
		{"POST", "/api/onboard", `{"project":"shop","port":70000}`, 422, []string{`not a port`}},
		{"POST", "/api/onboard", `{`, 400, nil},
		{"POST", "/api/services/web/security-scan?model=opus", "", 200, []string{`"job_id":"scan-1"`, `"status":"started"`, `"service":"web"`, `"url":"https://web.example"`}},
		{"POST", "/api/services/web/security-scan", `{"no_agent":true}`, 200, nil},
		{"POST", "/api/services/inner/security-scan", "", 400, []string{`not exposed`}},
		{"POST", "/api/services/hidden/security-scan", "", 400, []string{`not exposed`}},
		{"POST", "/api/services/nobody/security-scan", "", 404, nil},
		{"GET", "/api/services/web/security-scan/latest", "", 200, []string{`"has_scan":true`, `"red":1`}},
		{"GET", "/api/services/nobody/security-scan/latest", "", 404, nil},
		{"GET", "/api/v1/approvals", "", 200, []string{`^\{"items":\[\]\}\n$`}},
		{"POST", "/api/v1/approvals", `{"action":"stop","summary":"stop web","digest":"d"}`, 200, []string{`"waiting"`, `"actor":"local `}},
		{"POST", "/api/v1/approvals", `{"action":"stop"}`, 422, nil},
		{"POST", "/api/v1/approvals/a1/approve", "", 200, []string{`"approved"`, `"decided_by":"local `}},
		{"POST", "/api/v1/approvals/a1/reject", "", 200, []string{`"rejected"`}},
		{"POST", "/api/v1/approvals/zz/approve", "", 404, nil},
		{"POST", "/api/v1/approvals/a1/use", `{"digest":"x"}`, 409, nil},
		{"POST", "/api/v1/approvals/a1/use", `{"digest":"d"}`, 200, []string{`"used"`}},
		{"POST", "/mcp", "{}", 200, []string{`spoken`}},
	} {
		r := h.call(t, request{method: c.method, path: c.path, body: c.body})
		if r.status != c.status {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.path, c.body, r.status, r.body, c.status)
		}
		for _, want := range c.want {
			if !regexp.MustCompile(want).MatchString(r.body) {
				t.Errorf("%s %s %s: %s\nlacks %s", c.method, c.path, c.body, r.body, want)
			}
		}
	}
	if len(work.asked) != 6 || work.asked[0] != (wire.OnboardRequest{Project: "shop", Model: "sonnet", Port: 9000}) || !strings.HasPrefix(work.asked[1].(string), "local") ||
		work.asked[3] != (wire.ScanRequest{Model: "opus"}) || work.asked[5] != (wire.ScanRequest{NoAgent: true}) {
		t.Errorf("%+v", work.asked)
	}
	// None of these is open to a page of another site, nor through a proxy without the token.
	for _, header := range []map[string]string{{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"X-Forwarded-For": "192.0.2.1"}} {
		for _, path := range []string{"/mcp", "/api/onboard", "/api/v1/approvals/a1/approve"} {
			if r := h.call(t, request{method: http.MethodPost, path: path, header: header, body: "{}"}); r.status != http.StatusUnauthorized {
				t.Errorf("%s with %v: %d", path, header, r.status)
			}
		}
	}
}

// Without the parts that do it, each says so.
func TestWithoutHelpers(t *testing.T) {
	h := newHouse(t)
	for _, r := range []request{
		{path: "/api/projects"},
		{path: "/api/onboard/preview?project=x"},
		{method: http.MethodPost, path: "/api/onboard", body: `{"project":"x"}`},
		{path: "/api/v1/approvals"},
		{method: http.MethodPost, path: "/mcp", body: "{}"},
	} {
		if got := h.call(t, r); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %d %s", r.method, r.path, got.status, got.body)
		}
	}
}
