package rest

import (
	"net/http"
	"strconv"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// LogPage is a page of entries, newest first.
type LogPage = wire.LogPage

// rawPatience is how long the download of a log may take.
const rawPatience = time.Hour

// logFilters are the parameters that select entries.
func logFilters() []param {
	return []param{
		{name: "level", about: "Only this level.", schema: "", enum: []string{"debug", "info", "warning", "error"}},
		{name: "q", about: "Words, \"phrases\" and prefix* that must all be there.", schema: ""},
		{name: "regexp", about: "A regular expression (RE2) that must match.", schema: ""},
	}
}

func logRoutes() []route {
	const one = "/api/v1/services/:name/logs"
	stream := param{name: "stream", about: "Only this one.", schema: "", enum: []string{"stdout", "stderr"}}
	return tagged("logs", []route{
		{
			method: http.MethodGet, path: "/api/v1/logs", summary: "Entries of services, newest first", response: wire.LogPage{}, serve: searchLogs,
			query: append(logFilters(), stream, limitParam(1000, 100),
				param{name: "service", about: "Only these services.", schema: "", many: true},
				param{name: "since", about: "Only from this time on.", schema: ""}, param{name: "until", about: "Only before this time.", schema: ""},
				param{name: "cursor", about: "The next of the page before, or the entry of a line: only what is before it.", schema: ""},
				param{name: "through", about: "The entry of a line: only that entry and what is before it.", schema: ""}),
		},
		{
			method: http.MethodGet, path: one + "/raw", summary: "The log files of a service, oldest first, as text", serve: rawLogs,
			query: []param{stream, {name: "replica", about: "Of this replica.", schema: 0, max: 63}},
		},
		{method: http.MethodGet, path: one + "/stats", summary: "How the log of a service does", response: wire.LogStats{}, serve: logStats},
	})
}

func (c *call) logs() (LogReader, error) {
	if c.api.deps.Logs == nil {
		return nil, Errorf(wire.CodeUnavailable, "output cannot be read here; the files are in the logs folder of the data directory")
	}
	return c.api.deps.Logs, nil
}

// moment reads a time of the query.
func (c *call) moment(name string) (t time.Time, err error) {
	if text := c.Query(name); text != "" {
		if t, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return t, badParam(name, "%.40q is not a time; write it like 2026-01-31T15:04:05Z", text)
		}
	}
	return t, nil
}

// logQuery reads what all questions for entries have in common.
func (c *call) logQuery() (q LogQuery, err error) {
	if q.Level, err = c.choice("level"); err != nil {
		return q, err
	}
	if q.Stream, err = c.choice("stream"); err != nil {
		return q, err
	}
	if q.Limit, err = c.number("limit"); err != nil {
		return q, err
	}
	if q.Since, err = c.moment("since"); err != nil {
		return q, err
	}
	q.Text, q.Regexp, q.Cursor = c.Query("q"), c.Query("regexp"), c.Query("cursor")
	q.Until, err = c.moment("until")
	return q, err
}

func searchLogs(c *call) (any, error) {
	reader, err := c.logs()
	if err != nil {
		return nil, err
	}
	q, err := c.logQuery()
	if err != nil {
		return nil, err
	}
	for _, name := range c.QueryArray("service") {
		key := v1.Key{Kind: v1.KindService, Name: name}
		if _, ok := c.api.deps.Desired.Get(key); !ok {
			return nil, notFound(key)
		}
		q.Services = append(q.Services, name)
	}
	q.Through = c.Query("through")
	page, err := reader.Rows(c.Request.Context(), q)
	if err != nil {
		return nil, err
	}
	page.Rows = append([]wire.LogEntry{}, page.Rows...)
	return page, nil
}

func serviceLogs(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	q, err := c.logQuery()
	if err != nil {
		return nil, err
	}
	if q.Offset, err = c.number("offset"); err != nil {
		return nil, err
	}
	if c.api.deps.Logs == nil {
		return []wire.LogRow{}, nil
	}
	q.Services = []string{s.Metadata.Name}
	// The contract knows three levels. What is debug is told as info, and found as such, unless it is asked for by its name.
	asked := q.Level
	if asked == "info" {
		q.Level, q.MaxLevel = "", "info"
	}
	page, err := c.api.deps.Logs.Rows(c.Request.Context(), q)
	if err != nil {
		return nil, err
	}
	id, _, _, _ := c.api.deps.Observed.ObjectInfo(s.Key())
	rows := make([]wire.LogRow, len(page.Rows))
	for i, e := range page.Rows {
		rows[i] = wire.LogRow{ID: uint64(e.ID), ServiceID: id, Level: e.Level, Message: e.Text, Timestamp: e.Time}
		if e.Level == "debug" && asked != "debug" {
			rows[i].Level = "info"
		}
	}
	if page.Next != "" {
		c.Header("X-Next-Cursor", page.Next)
	}
	return rows, nil
}

func rawLogs(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	reader, err := c.logs()
	if err != nil {
		return nil, err
	}
	stream, err := c.choice("stream")
	if err != nil {
		return nil, err
	}
	replica, err := c.number("replica")
	if err != nil {
		return nil, err
	}
	name := s.Metadata.Name
	if stream != "" {
		name += "-" + stream
	}
	if replica > 0 {
		name += "-" + strconv.Itoa(replica)
	}
	c.linger(rawPatience)
	c.Header("Content-Type", "text/plain; charset=utf-8")
	c.Header("Content-Disposition", `attachment; filename="`+name+`.log"`)
	if err := reader.Raw(s.Metadata.Name, replica, stream, c.Writer); err != nil {
		if c.Writer.Written() {
			c.api.deps.Log.Debug("a download broke off", "service", s.Metadata.Name, "err", err)
			return answered{}, nil
		}
		return nil, err
	}
	return answered{}, nil
}

func logStats(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	reader, err := c.logs()
	if err != nil {
		return nil, err
	}
	return reader.Stats(s.Metadata.Name), nil
}
