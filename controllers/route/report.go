package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/caddy"
)

// report tells each service how it is reached, and keeps what the API shows.
func (r *Reconciler) report(wishes []wish) {
	now := time.Now()
	var views []RouteView
	var checks []Check
	told := map[string]bool{}
	for _, w := range wishes {
		c := r.condition(&w, now)
		url := ""
		if len(w.routes) > 0 {
			url = w.routes[0].URL()
		}
		if w.name != dashboardName {
			told[w.name] = true
			r.tell(w.name, url, c)
		}
		served := c.Status == v1.ConditionTrue
		for i := range w.routes {
			route := w.routes[i]
			views = append(views, RouteView{Route: route, Service: w.name, Served: served, Condition: c, Answer: r.answer(&route)})
			if served && len(route.Upstreams) > 0 && w.checkPath != "" {
				checks = append(checks, Check{Route: route, Path: w.checkPath})
			}
		}
		if len(w.routes) == 0 {
			views = append(views, RouteView{Service: w.name, Condition: c})
		}
	}
	for _, svc := range r.c.Services() {
		if st := svc.Observed; st != nil && !told[svc.Metadata.Name] && (st.URL != "" || v1.FindCondition(st.Conditions, v1.ConditionExposed) != nil) {
			r.c.Exposed(svc.Metadata.Name, "", nil)
		}
	}
	if r.c.Checker != nil {
		r.c.Checker.Set(checks)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.view.Routes = views
}

// tell puts a condition, and records when it is another one.
func (r *Reconciler) tell(name, url string, c *v1.Condition) {
	if !r.c.Exposed(name, url, c) {
		return
	}
	e := v1.Event{Key: v1.Key{Kind: v1.KindService, Name: name}, Type: v1.EventNormal, Reason: "Exposed", Message: c.Message, Actor: "supervisor"}
	switch c.Reason {
	case reasonServed:
		return // it will be told whether it answers
	case reasonSilent:
		e.Type, e.Reason = v1.EventWarning, "RouteSilent"
	}
	if c.Status != v1.ConditionTrue {
		e.Type, e.Reason = v1.EventWarning, "NotExposed"
	}
	r.c.Record(e)
}

// condition says how a service is exposed.
func (r *Reconciler) condition(w *wish, now time.Time) *v1.Condition {
	status, reason, message := r.exposed(w)
	c := &v1.Condition{Type: v1.ConditionExposed, Status: v1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: now}
	if status {
		c.Status = v1.ConditionTrue
	}
	return c
}

func (r *Reconciler) exposed(w *wish) (is bool, reason, message string) {
	var setup *caddy.SetupError
	switch {
	case w.reason != "":
		return false, w.reason, w.message
	case r.c.Way == nil:
		return false, reasonOff, "CADDY_MODE is off, so no route is served; set another mode to have one"
	case errors.As(r.failure, &setup):
		return false, reasonSetup, r.failure.Error()
	case r.failure != nil:
		return false, reasonUnreachable, r.failure.Error()
	}
	if refusal, ok := r.refused[w.name]; ok {
		message := "Caddy refuses the route: " + refusal.detail
		if len(only(r.last, w.name)) > 0 {
			message += "; what it had before is served on"
		}
		return false, reasonRejected, message
	}
	if why, ok := r.leftOut[w.name]; ok {
		return false, reasonTaken, why
	}
	urls := make([]string, len(w.routes))
	for i := range w.routes {
		urls[i] = w.routes[i].URL()
	}
	at := strings.Join(urls, " and ")
	if len(w.routes[0].Upstreams) == 0 {
		return true, reasonStopped, at + " says that the service is stopped"
	}
	answered := 0
	for i := range w.routes {
		a := r.answer(&w.routes[i])
		switch {
		case a == nil:
		case !a.OK:
			return true, reasonSilent, fmt.Sprintf("Caddy has the route, and %s %s", urls[i], a.Text)
		default:
			answered++
		}
	}
	if answered < len(w.routes) {
		return true, reasonServed, at + " is served"
	}
	return true, reasonAnswers, at + " answers"
}

func (r *Reconciler) answer(route *caddy.Route) *Answer {
	if r.c.Checker == nil {
		return nil
	}
	return r.c.Checker.Answer(route)
}

// View is how things stand.
func (r *Reconciler) View() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.view
	v.Routes = slices.Clone(v.Routes)
	for i := range v.Routes {
		if len(v.Routes[i].Upstreams) > 0 {
			v.Routes[i].Answer = r.answer(&v.Routes[i].Route)
		}
	}
	return v
}

// Dashboard reports whether the route is the supervisor's own.
func (v *RouteView) Dashboard() bool { return v.Service == dashboardName }
