package rest

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// access is who may use a route.
type access int

const (
	accessCaller access = iota // whoever the Authorizer lets in
	accessAnyone               // nothing is told and nothing is done
	accessSocket               // the unix socket only
)

// param is a parameter of the query.
type param struct {
	name     string
	about    string
	schema   any // zero value of the Go type
	min, max int
	def      int
	enum     []string
	many     bool
}

// route is one call: what gin serves, and what the OpenAPI document says of it.
type route struct {
	method  string
	path    string // in gin's form: /api/services/:name
	summary string
	tag     string
	access  access
	query   []param
	// request and response are zero values of the bodies' types; nil means none. text is true for a body of YAML or JSON.
	request  any
	text     bool
	response any
	stream   bool // the answer is a stream of events
	serve    func(*call) (any, error)
}

// call is one request on its way through a handler.
type call struct {
	*gin.Context
	api    *API
	route  *route
	caller caller
	status int // of the answer; 0 means 200
}

// answered is what a handler returns that has written its answer itself.
type answered struct{}

// handle makes the gin handler of a route.
func (a *API) handle(r *route) gin.HandlerFunc {
	return func(g *gin.Context) {
		c := &call{Context: g, api: a, route: r}
		if err := c.admit(); err != nil {
			c.fail(err)
			return
		}
		out, err := r.serve(c)
		if err != nil {
			c.fail(err)
			return
		}
		if _, done := out.(answered); !done {
			c.answer(out)
		}
	}
}

// admit finds out who calls, and whether that one may.
func (c *call) admit() error {
	if c.route.access == accessAnyone {
		return nil
	}
	var err error
	if c.caller, err = c.api.deps.Auth.authorize(c.Request); err != nil {
		return err
	}
	setActor(c.Context, c.caller.actor())
	if c.route.access == accessSocket && c.caller.via != viaSocket {
		return Errorf(wire.CodeForbidden, "this works over the unix socket only: use the supervisor command on the machine itself")
	}
	return nil
}

// answer writes a body as JSON.
func (c *call) answer(out any) {
	body, err := json.Marshal(out)
	if err != nil {
		c.fail(err)
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if c.status == 0 {
		c.status = http.StatusOK
	}
	c.Writer.WriteHeader(c.status)
	_, _ = c.Writer.Write(append(body, '\n')) //nolint:errcheck // the client is gone
}

// fail answers with an error. What may not be shown is logged under the request's ID.
func (c *call) fail(err error) {
	if c.Request.Context().Err() != nil && !c.Writer.Written() {
		c.Abort() // nobody listens any more
		return
	}
	c.api.problem(c.Context, err)
}

// object is the key of the object that the path names.
func (c *call) object(kind string) v1.Key { return v1.Key{Kind: kind, Name: c.Param("name")} }

// find returns the object that the path names.
func (c *call) find(kind string) (v1.Object, error) {
	key := c.object(kind)
	o, ok := c.api.deps.Desired.Get(key)
	if !ok {
		return nil, notFound(key)
	}
	return o, nil
}

// service returns the service that the path names.
func (c *call) service() (*v1.Service, error) {
	o, err := c.find(v1.KindService)
	if err != nil {
		return nil, err
	}
	s, ok := o.(*v1.Service)
	if !ok {
		return nil, notFound(c.object(v1.KindService))
	}
	return s, nil
}

// number is an integer of the query, within the bounds that the route declares.
func (c *call) number(name string) (int, error) {
	i := slices.IndexFunc(c.route.query, func(p param) bool { return p.name == name })
	p := c.route.query[i]
	text := c.Query(name)
	if text == "" {
		return p.def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < p.min || n > p.max {
		return 0, badParam(name, "%q is not a whole number from %d to %d", text, p.min, p.max)
	}
	return n, nil
}

// choice is a word of the query, one of those that the route declares or empty.
func (c *call) choice(name string) (string, error) {
	i := slices.IndexFunc(c.route.query, func(p param) bool { return p.name == name })
	for _, text := range c.QueryArray(name) {
		if text != "" && !slices.Contains(c.route.query[i].enum, text) {
			return "", badParam(name, "%q is not one of %s", text, strings.Join(c.route.query[i].enum, ", "))
		}
	}
	return c.Query(name), nil
}

// flag is true when the query says so.
func (c *call) flag(name string) (bool, error) {
	text, given := c.GetQuery(name)
	if !given {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil && text != "" {
		return false, badParam(name, "%q is neither true nor false", text)
	}
	return on || text == "", nil
}

func badParam(name, format string, args ...any) error {
	e := Errorf(wire.CodeUnprocessed, format, args...)
	e.Fields = v1.FieldErrors{{Field: name, Detail: e.Detail}}
	e.Detail = name + ": " + e.Detail
	return e
}

// body reads the request's body. Only JSON and YAML are taken: a form of another site's page cannot send those unasked.
func (c *call) body() ([]byte, error) {
	media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	known := media == "application/json" || strings.HasSuffix(media, "+json") || (c.route.text && strings.HasSuffix(media, "yaml"))
	if c.GetHeader("Content-Type") != "" && (err != nil || !known) {
		want := "application/json"
		if c.route.text {
			want += " or application/yaml"
		}
		return nil, Errorf(wire.CodeMedia, "a body of type %.100q is not taken; send Content-Type: %s", c.GetHeader("Content-Type"), want)
	}
	data, err := io.ReadAll(c.Request.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, err
	}
	if err != nil {
		return nil, &Error{Code: wire.CodeInvalid, Detail: "the body could not be read to its end", Cause: err}
	}
	return data, nil
}

// linger lets the answer take until d from now, beyond the server's own timeouts.
func (c *call) linger(d time.Duration) {
	rc := http.NewResponseController(c.Writer)
	// A recorder in a test has no deadlines to move.
	_ = rc.SetReadDeadline(time.Time{})                         //nolint:errcheck // see above
	_ = rc.SetWriteDeadline(time.Now().Add(d + 30*time.Second)) //nolint:errcheck // see above
}
