package rest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/philiporange/supervisor/api/wire"
)

const (
	// maxBody bounds the body of a request, in bytes.
	maxBody = 1 << 20
	// requestHeader carries the request's ID.
	requestHeader = "X-Request-Id"

	keyRequest = "request"
	keyActor   = "actor"
)

// API answers HTTP requests. Make it with New.
type API struct {
	deps     Deps
	engine   *gin.Engine
	routes   []route
	document func() ([]byte, error)

	// streams ends when the streams shall end.
	streams    context.Context
	endStreams context.CancelFunc
	open       chan struct{} // one token for each open stream
}

// New returns the API as a handler. Serve is what runs it.
func New(d Deps) *API {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Patience <= 0 {
		d.Patience = 10 * time.Second
	}
	if d.Heartbeat <= 0 {
		d.Heartbeat = 15 * time.Second
	}
	if d.MaxStreams <= 0 {
		d.MaxStreams = 64
	}
	a := &API{deps: d, open: make(chan struct{}, d.MaxStreams)}
	a.streams, a.endStreams = context.WithCancel(context.Background()) //nolint:forbidigo // CloseStreams ends it.
	a.routes = a.table()
	a.document = sync.OnceValues(func() ([]byte, error) { return openAPI(d.Version().Version) })

	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.UseRawPath, e.UnescapePathValues = true, true
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	e.ForwardedByClientIP = false
	e.Use(a.begin)
	for i := range a.routes {
		e.Handle(a.routes[i].method, a.routes[i].path, a.handle(&a.routes[i]))
	}
	e.NoMethod(func(g *gin.Context) {
		a.problem(g, Errorf(wire.CodeMethod, "%s is not possible here", g.Request.Method))
	})
	e.NoRoute(a.elsewhere)
	a.engine = e
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.engine.ServeHTTP(w, r) }

// CloseStreams ends every stream, and refuses new ones. A server calls it when it shuts down.
func (a *API) CloseStreams() { a.endStreams() }

// elsewhere answers what is not the API's: the dashboard, when there is one.
func (a *API) elsewhere(g *gin.Context) {
	path := g.Request.URL.Path
	if a.deps.Dashboard == nil || strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/schemas/") {
		a.problem(g, Errorf(wire.CodeNotFound, "there is nothing at %s; /openapi.json lists what there is", path))
		return
	}
	// gin presets 404 for its NoRoute handlers.
	g.Status(http.StatusOK)
	a.deps.Dashboard.ServeHTTP(g.Writer, g.Request)
}

// begin is around every request: its ID, the bound of its body, the log, and what to do when a handler panics.
func (a *API) begin(g *gin.Context) {
	start := time.Now()
	var id [8]byte
	_, _ = rand.Read(id[:]) //nolint:errcheck // it never fails
	g.Set(keyRequest, hex.EncodeToString(id[:]))
	h := g.Writer.Header()
	h.Set(requestHeader, g.GetString(keyRequest))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	g.Request.Body = http.MaxBytesReader(g.Writer, g.Request.Body, maxBody)
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) //nolint:forbidigo // This is how net/http is told to drop the connection.
			}
			a.deps.Log.Error("a request made a handler panic", "request_id", g.GetString(keyRequest), "path", g.Request.URL.Path,
				"panic", p, "stack", string(debug.Stack()))
			if !g.Writer.Written() {
				a.problem(g, Errorf(wire.CodeInternal, "something went wrong inside the supervisor; its log has the details under this request_id"))
			}
		}
		took := time.Since(start)
		if a.deps.Metrics != nil {
			a.deps.Metrics.Request(g.FullPath(), g.Request.Method, g.Writer.Status(), took)
		}
		a.logRequest(g, took)
	}()
	g.Next()
}

// logRequest writes the access log. The query is left out: it may hold a login code.
func (a *API) logRequest(g *gin.Context, took time.Duration) {
	level := slog.LevelDebug
	if changes(g.Request.Method) {
		level = slog.LevelInfo
	}
	if g.Writer.Status() >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	a.deps.Log.Log(g.Request.Context(), level, "request", "method", g.Request.Method, "path", g.Request.URL.Path, "status", g.Writer.Status(),
		"took", took, "bytes", max(0, g.Writer.Size()), "caller", g.GetString(keyActor), "remote", g.Request.RemoteAddr,
		"request_id", g.GetString(keyRequest))
}

func setActor(g *gin.Context, actor string) { g.Set(keyActor, actor) }

// problem answers with an error, and logs what the caller is not shown.
func (a *API) problem(g *gin.Context, err error) {
	p := problemOf(err)
	p.RequestID = g.GetString(keyRequest)
	if p.Status >= http.StatusInternalServerError {
		a.deps.Log.Error("request failed", "request_id", p.RequestID, "path", g.Request.URL.Path, "err", err)
	}
	if g.Writer.Written() {
		return // a stream that broke off
	}
	writeProblem(g.Writer, p)
	g.Abort()
}
