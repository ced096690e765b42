package rest

import (
	"net/http"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// table is every call there is.
func (a *API) table() []route {
	var out []route
	for _, part := range [][]route{
		serviceRoutes(), objectRoutes("services", v1.KindService, v1.Service{}), objectRoutes("cronjobs", v1.KindCronJob, v1.CronJob{}),
		manifestRoutes(), eventRoutes(), logRoutes(), metricsRoutes(), cronRoutes(), caddyRoutes(), jobRoutes(), agentRoutes(), chatRoutes(), supervisorRoutes(), settingsRoutes(), fileRoutes(),
		environmentRoutes(), templateRoutes(), doorRoutes(),
		approvalRoutes(), mcpRoutes(), fixRoutes(),
		onboardRoutes(), scanRoutes(),
		rolloutRoutes(),
	} {
		out = append(out, part...)
	}
	return out
}

func limitParam(most, def int) param {
	return param{name: "limit", about: "How many at most.", schema: 0, min: 1, max: most, def: def}
}

func serviceRoutes() []route {
	const one = "/api/services/:name"
	get, post := http.MethodGet, http.MethodPost
	routes := []route{
		{method: get, path: "/api/services", summary: "All services", response: []wire.Service{}, serve: listServices},
		{method: post, path: "/api/services", summary: "Make a service", request: wire.ServiceFields{}, response: wire.Service{}, serve: createService},
		{method: get, path: one, summary: "One service", response: wire.Service{}, serve: getService},
		{
			method: http.MethodPut, path: one, summary: "Change fields of a service; null clears one",
			request: wire.ServiceFields{}, response: wire.Service{}, serve: updateService,
		},
		{method: http.MethodDelete, path: one, summary: "Stop and delete a service", response: wire.Deleted{}, serve: deleteService},
		{method: post, path: one + "/start", summary: "Start a service", response: wire.Started{}, serve: startService},
		{method: post, path: one + "/stop", summary: "Stop a service", response: wire.Stopped{}, serve: stopService},
		{method: post, path: one + "/restart", summary: "Restart a service", response: wire.Started{}, serve: restartService},
		{
			method: get, path: one + "/logs", summary: "Log of a service, newest first", response: []wire.LogRow{}, serve: serviceLogs,
			query: []param{
				{name: "level", about: "Only this level.", schema: "", enum: []string{"info", "warning", "error"}},
				limitParam(1000, 100),
				{name: "offset", about: "How many to leave out.", schema: 0, max: 1 << 30},
				{name: "since", about: "Only from this time on.", schema: ""},
				{name: "until", about: "Only before this time.", schema: ""},
				{name: "q", about: "Words, \"phrases\" and prefix* that must all be there.", schema: ""},
				{name: "regexp", about: "A regular expression (RE2) that must match.", schema: ""},
				{name: "stream", about: "Only this one.", schema: "", enum: []string{"stdout", "stderr"}},
				{name: "cursor", about: "The header X-Next-Cursor of the page before.", schema: ""},
			},
		},
		{
			method: get, path: one + "/metrics", summary: "History of a service's use of the machine, oldest first", response: []wire.MetricsRow{}, serve: serviceMetrics,
			query: []param{{name: "hours", about: "How far back.", schema: 0, min: 1, max: 168, def: 24}},
		},
		{method: get, path: one + "/metrics/current", summary: "A service's use of the machine now", response: wire.Metrics{}, serve: serviceMetricsNow},
		{method: get, path: "/api/status", summary: "All services at a glance", response: wire.Status{}, serve: status},
	}
	return tagged("services", routes)
}

func objectRoutes(folder, kind string, object any) []route {
	all, one := "/api/v1/"+folder, "/api/v1/"+folder+"/:name"
	reveal := param{name: "reveal", about: "Show secrets; over the unix socket or with the token only.", schema: false}
	var list any = wire.List[v1.Service]{}
	if kind == v1.KindCronJob {
		list = wire.List[v1.CronJob]{}
	}
	return tagged("objects", []route{
		{
			method: http.MethodGet, path: all, summary: "All " + folder + ", in full", response: list, serve: listObjects(kind),
			query: []param{{name: "labelSelector", about: "Such as team=web,tier!=test.", schema: ""}, reveal},
		},
		{method: http.MethodGet, path: one, summary: "One of the " + folder + ", in full", response: object, query: []param{reveal}, serve: getObject(kind)},
		{
			method: http.MethodPut, path: one, summary: "Make or replace one of the " + folder + "; If-Match guards against lost edits",
			request: object, text: true, response: object, serve: putObject(kind),
		},
		{method: http.MethodDelete, path: one, summary: "Stop and delete one of the " + folder, response: wire.Deleted{}, serve: deleteObject(kind)},
	})
}

func manifestRoutes() []route {
	return tagged("manifests", []route{
		{
			method: http.MethodPost, path: "/api/v1/apply", summary: "Make or replace each object of a YAML text",
			request: "", text: true, response: wire.ApplyResult{}, serve: apply,
		},
		{
			method: http.MethodPost, path: "/api/v1/validate", summary: "Say what is wrong with a YAML text",
			request: "", text: true, response: wire.Validation{}, serve: validate,
		},
		{method: http.MethodGet, path: "/api/v1/problems", summary: "What is wrong with the manifest directory", response: wire.Problems{}, serve: problems},
		{method: http.MethodGet, path: "/api/v1/prune", summary: "What vanished and waits for confirmation", response: wire.Prune{}, serve: pending},
		{method: http.MethodPost, path: "/api/v1/prune", summary: "Confirm that what vanished shall go", response: wire.Prune{}, serve: prune},
		{method: http.MethodGet, path: "/schemas/*file", summary: "A JSON Schema of manifests", access: accessAnyone, serve: schema},
	})
}

func eventRoutes() []route {
	last := param{name: "last_event_id", about: "Resume after this ID, as the header Last-Event-ID does.", schema: ""}
	lines := []param{
		{name: "tail", about: "How many of the last lines to begin with; -1 means all.", schema: 0, min: -1, max: 1_000_000, def: 100},
		{name: "follow", about: "Go on with new lines.", schema: false},
		{name: "since", about: "Leave out lines before this time.", schema: ""},
		{name: "stream", about: "Only this one.", schema: "", enum: []string{"stdout", "stderr"}},
		last,
	}
	lines = append(lines, logFilters()...)
	return tagged("events", []route{
		{
			method: http.MethodGet, path: "/api/v1/events", summary: "The newest events, oldest first", response: wire.Events{}, serve: events,
			query: []param{
				{name: "kind", about: "Only of this kind of object.", schema: "", enum: []string{v1.KindService, v1.KindCronJob}},
				{name: "name", about: "Only of objects of this name.", schema: ""},
				{name: "since", about: "Only events after this ID.", schema: ""},
				{name: "type", about: "Only events of these types.", schema: "", many: true, enum: []string{string(v1.EventNormal), string(v1.EventWarning)}},
				limitParam(10_000, 100),
			},
		},
		{
			method: http.MethodGet, path: "/api/v1/events/stream", summary: "A snapshot of all objects (event: snapshot), then every change (event: status, event or object)",
			response: v1.Change{}, stream: true, query: []param{last}, serve: streamEvents,
		},
		{
			method: http.MethodGet, path: "/api/v1/logs/stream", summary: "Output of services (event: line, and end when nothing follows)",
			response: wire.LogLine{}, stream: true, serve: streamLogs,
			query: append([]param{{name: "service", about: "Only these services.", schema: "", many: true}}, lines...),
		},
		{
			method: http.MethodGet, path: "/api/v1/services/:name/logs/stream", summary: "Output of one service (event: line, and end when nothing follows)",
			response: wire.LogLine{}, stream: true, query: lines, serve: streamLogs,
		},
	})
}

func supervisorRoutes() []route {
	return tagged("supervisor", []route{
		{
			method: http.MethodGet, path: "/api/supervisor/logs", summary: "The end of the supervisor's own log", response: wire.SupervisorLogs{}, serve: supervisorLogs,
			query: []param{{name: "lines", about: "How many lines.", schema: 0, min: 1, max: 1000, def: 100}},
		},
		{method: http.MethodGet, path: "/api/v1/version", summary: "What is running", response: wire.Version{}, serve: version},
		{
			method: http.MethodPost, path: "/api/v1/shutdown", summary: "Stop everything, and the supervisor",
			access: accessSocket, response: wire.Shutdown{}, serve: shutdown,
		},
	})
}

func doorRoutes() []route {
	return tagged("door", []route{
		{method: http.MethodGet, path: "/healthz", summary: "The supervisor answers", access: accessAnyone, response: wire.Health{}, serve: healthz},
		{method: http.MethodGet, path: "/readyz", summary: "The supervisor is ready", access: accessAnyone, response: wire.Health{}, serve: readyz},
		{method: http.MethodGet, path: "/openapi.json", summary: "This document", access: accessAnyone, serve: openAPIDocument},
		{method: http.MethodPost, path: "/api/v1/login", summary: "Make a one-time login link", response: wire.LoginLink{}, serve: loginLink},
		{
			method: http.MethodGet, path: "/login", summary: "Log a browser in", access: accessAnyone, serve: login,
			query: []param{{name: "code", about: "Of the login link.", schema: ""}},
		},
	})
}

func tagged(tag string, routes []route) []route {
	for i := range routes {
		routes[i].tag = tag
	}
	return routes
}
