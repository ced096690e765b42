package app

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"strconv"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/jobs"
	"github.com/philiporange/supervisor/pkg/scan"
)

// scanKind is the kind of the job.
const scanKind = "scan"

// scanning looks at exposed services. It fits pkg/scan onto the API.
type scanning struct{ app *App }

// target is where a service is exposed, and a note when that is not what the world sees.
func (s scanning) target(svc *v1.Service) (t scan.Target, note string, err error) {
	t = scan.Target{Service: svc.Metadata.Name, ConnectPlain: "off", Internal: svc.Spec.Expose.TLS == v1.TLSInternal}
	at := "127.0.0.1"
	if bind := s.app.settings.CaddyBind; len(bind) > 0 {
		at = bind[0]
	}
	for _, r := range s.app.routes.Routes().Routes {
		if r.Service != svc.Metadata.Name || !r.Served {
			continue
		}
		t.URL, t.Connect = r.URL, net.JoinHostPort(at, strconv.Itoa(r.Port))
		if r.Port == httpsPort {
			t.ConnectPlain = net.JoinHostPort(at, "80")
		}
		return t, "", nil
	}
	st := s.app.store.Status(svc.Key())
	if st == nil || st.Port == 0 {
		return t, "", rest.Errorf(wire.CodeUnavailable, "Caddy does not serve service %s, and the service has no port that could be looked at; see supervisor routes", svc.Metadata.Name)
	}
	t.URL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(st.Port))
	return t, "Caddy does not serve the service now (see supervisor routes): this is the program itself, without what Caddy adds", nil
}

const httpsPort = 443

// Scan implements rest.Scanner.
func (s scanning) Scan(ctx context.Context, svc *v1.Service, r wire.ScanRequest, actor string) (wire.JobStarted, error) {
	target, note, err := s.target(svc)
	if err != nil {
		return wire.JobStarted{}, err
	}
	dir := s.app.workingDir(svc)
	if _, err := os.Stat(dir); err != nil {
		r.NoAgent = true // there is nothing that it could read
	}
	ask, why, err := s.app.opinion(ctx, r.NoAgent, agent.Request{
		Agent: r.Agent, Model: r.Model, Dir: dir, User: svc.Spec.User, Access: agent.AccessRead, Policy: agent.ReadOnly(dir),
	})
	if err != nil {
		return wire.JobStarted{}, err
	}
	id, err := s.app.background.jobs.Start(ctx, jobs.Spec{
		Kind: scanKind, Name: "security scan of " + svc.Metadata.Name, Subject: svc.Key().String(), Actor: actor,
		Run: func(ctx context.Context, h *jobs.Handle) (any, error) {
			report, err := scan.Run(ctx, target, scan.Options{Progress: h.Progress})
			if err != nil {
				return report, err
			}
			if note != "" {
				report.Notes = append(report.Notes, note)
			}
			if ask == nil {
				report.Notes = append(report.Notes, "no agent gave an opinion: "+why)
				return report, nil
			}
			h.Progress("the agent reads the source", 0.9)
			found, err := scan.Opinion(ctx, report, func(ctx context.Context, prompt string) (string, error) { return ask(ctx, h, prompt) })
			if ctx.Err() != nil {
				return report, context.Cause(ctx)
			}
			if err != nil {
				report.Notes = append(report.Notes, "the agent gave no opinion: "+err.Error())
			}
			report.Add(found...)
			return report, nil
		},
	})
	if err != nil {
		return wire.JobStarted{}, inJobs("", err)
	}
	return wire.JobStarted{JobID: id, Status: "started", Service: svc.Metadata.Name, URL: target.URL}, nil
}

// LatestScan implements rest.Scanner.
func (s scanning) LatestScan(ctx context.Context, service string) (wire.Scan, error) {
	key := v1.Key{Kind: v1.KindService, Name: service}
	found, err := s.app.background.jobs.List(ctx, jobs.Query{Kind: scanKind, Subject: key.String(), Limit: 1})
	if err != nil || len(found) == 0 {
		return wire.Scan{}, err
	}
	job := jobView(&found[0])
	out := wire.Scan{HasScan: true, JobID: &job.ID, Status: &job.Status, Error: job.Error, StartedAt: job.StartedAt, CompletedAt: job.CompletedAt}
	if raw, ok := job.Result.(json.RawMessage); ok {
		out.Result = raw
	}
	return out, nil
}

var _ rest.Scanner = scanning{}
