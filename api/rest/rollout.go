package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// Rollouts is the history of updates. pkg/status fits it as it is.
type Rollouts interface {
	// Rollouts are the revisions of a service that were rolled out, oldest first. They are shared and never changed.
	Rollouts(key v1.Key) []v1.Rollout
}

func rolloutRoutes() []route {
	const one = "/api/v1/services/:name/rollout"
	get, post := http.MethodGet, http.MethodPost
	return tagged("rollouts", []route{
		{method: get, path: one, summary: "How the update of a service does", response: wire.Rollout{}, serve: getRollout},
		{method: get, path: one + "/history", summary: "The revisions of a service that were rolled out, newest first", response: wire.RolloutHistory{}, serve: rolloutHistory},
		{
			method: post, path: one + "/undo", summary: "Write an earlier revision back into the manifest",
			request: wire.RolloutUndo{}, response: wire.RolloutUndone{}, serve: undoRollout,
		},
		{method: post, path: one + "/retry", summary: "Try an update again that was given up", response: wire.RolloutRetried{}, serve: retryRollout},
	})
}

// rollouts is a service's history.
func (c *call) rollouts(s *v1.Service) ([]v1.Rollout, error) {
	if c.api.deps.Rollouts == nil {
		return nil, Errorf(wire.CodeUnavailable, "no history of updates is kept here")
	}
	return c.api.deps.Rollouts.Rollouts(s.Key()), nil
}

func getRollout(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	out := wire.Rollout{Name: s.Metadata.Name, Strategy: s.Spec.Update.Strategy, Revision: s.Revision()}
	st := c.api.deps.Observed.Status(s.Key())
	if st == nil || st.ObservedRevision != out.Revision {
		out.Message = "the newest manifest was not looked at yet"
		return out, nil
	}
	out.Current, out.StableRevision = st.Rollout, st.StableRevision
	progressing := v1.FindCondition(st.Conditions, v1.ConditionProgressing)
	out.Settled = progressing != nil && progressing.Status == v1.ConditionFalse
	switch {
	case out.Current != nil && out.Current.Phase == v1.RolloutProgressing:
		out.Settled, out.Message = false, out.Current.Message
	case progressing != nil && progressing.Reason != "Settled":
		out.Message = progressing.Message
	case out.StableRevision == out.Revision:
		out.Message = "every replica runs the newest version"
	default:
		out.Message = message(st)
	}
	return out, nil
}

func rolloutHistory(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	rows, err := c.rollouts(s)
	if err != nil {
		return nil, err
	}
	out := wire.RolloutHistory{Name: s.Metadata.Name, Revisions: []wire.RolloutRevision{}}
	current := s.Revision()
	for i, r := range rows {
		row := wire.RolloutRevision{
			Number: r.Number, Revision: r.Revision, Phase: r.Phase, StartedAt: r.StartedAt, Actor: r.Actor, Message: r.Message, Current: r.Revision == current,
		}
		if !r.EndedAt.IsZero() {
			row.EndedAt = &r.EndedAt
		}
		if r.Service != nil {
			tree, err := masked(r.Service)
			if err != nil {
				return nil, err
			}
			row.Spec = tree["spec"]
			if i > 0 && rows[i-1].Service != nil {
				row.Changes = changedFields(&rows[i-1].Service.Spec, &r.Service.Spec)
			}
		}
		out.Revisions = append(out.Revisions, row)
	}
	slices.Reverse(out.Revisions)
	return out, nil
}

// changedFields are the fields of the spec that differ.
func changedFields(was, is *v1.ServiceSpec) (fields []string) {
	a, b := reflect.ValueOf(*was), reflect.ValueOf(*is)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			fields = append(fields, name)
		}
	}
	return fields
}

func undoRollout(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	var ask wire.RolloutUndo
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &ask); err != nil {
			return nil, Errorf(wire.CodeInvalid, "the body is not what is expected: %v; send {\"to\": NUMBER}, or nothing", err)
		}
	}
	rows, err := c.rollouts(s)
	if err != nil {
		return nil, err
	}
	to, err := undoTarget(s, rows, ask.To)
	if err != nil {
		return nil, err
	}
	ifMatch, err := c.ifMatch(s)
	if err != nil {
		return nil, err
	}
	back := *s
	back.Status, back.Spec = nil, to.Service.Spec
	revision, err := c.api.deps.Editor.Replace(c.Request.Context(), Document{Object: &back}, ifMatch, c.caller.actor())
	if err != nil {
		return nil, fmt.Errorf("go back to revision %d of %s: %w", to.Number, s.Key(), err)
	}
	return wire.RolloutUndone{Status: "undone", Name: s.Metadata.Name, To: to.Number, Revision: revision}, nil
}

// undoTarget is the revision of this number, or the last that was complete and says something else than the manifest.
func undoTarget(s *v1.Service, rows []v1.Rollout, number int) (v1.Rollout, error) {
	for _, r := range slices.Backward(rows) {
		switch {
		case r.Service == nil || number != 0 && r.Number != number:
		case reflect.DeepEqual(r.Service.Spec, s.Spec):
			if number != 0 {
				return r, Errorf(wire.CodeConflict, "the manifest of %s says what revision %d said already", s.Metadata.Name, number)
			}
		case number != 0 || r.Phase == v1.RolloutComplete:
			return r, nil
		}
	}
	if number != 0 {
		return v1.Rollout{}, Errorf(wire.CodeNotFound, "there is no revision %d of %s any more; see its history", number, s.Metadata.Name)
	}
	return v1.Rollout{}, Errorf(wire.CodeConflict, "%s has no earlier revision that was complete", s.Metadata.Name)
}

func retryRollout(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	st := c.api.deps.Observed.Status(s.Key())
	if st == nil || st.Rollout == nil || st.Rollout.Phase != v1.RolloutFailed || st.Phase == v1.PhaseStopped {
		return nil, Errorf(wire.CodeConflict, "no update of %s was given up", s.Metadata.Name)
	}
	verb := v1.IntentStart // which gives all that was given up another chance
	if st.Rollout.From == st.Rollout.To {
		verb = v1.IntentRestart
	}
	if _, err := c.order(s, verb, c.api.deps.Patience, func(*v1.ServiceStatus) bool { return true }); err != nil {
		return nil, err
	}
	return wire.RolloutRetried{Status: "retrying", Name: s.Metadata.Name}, nil
}
