package status

import (
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Two write one status: the reconciler of services all of it, the one of routes its part. Neither takes back what the other said.
func TestExposedIsTheRoutersOwn(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	exposed := func(status v1.ConditionStatus) *v1.Condition {
		return &v1.Condition{Type: v1.ConditionExposed, Status: status, Reason: "Served", Message: "m"}
	}
	if s.SetExposed(web, "https://web", exposed(v1.ConditionTrue)) || s.Status(web) != nil {
		t.Error("a service without a status must be left alone")
	}
	st := &v1.ServiceStatus{Phase: v1.PhaseStarting, Conditions: []v1.Condition{{Type: v1.ConditionReady, Status: v1.ConditionFalse}}}
	s.SetStatus(web, st)
	if !s.SetExposed(web, "https://web", exposed(v1.ConditionTrue)) || s.SetExposed(web, "https://web", exposed(v1.ConditionTrue)) {
		t.Error("a change is told once")
	}
	read := *s.Status(web) // as a reconcile that began before the next line
	s.SetExposed(web, "https://web", exposed(v1.ConditionFalse))
	read.Phase = v1.PhaseRunning
	s.SetStatus(web, &read)
	got := s.Status(web)
	if c := v1.FindCondition(got.Conditions, v1.ConditionExposed); got.Phase != v1.PhaseRunning || got.URL != "https://web" || c == nil || c.Status != v1.ConditionFalse {
		t.Errorf("got %+v", got)
	}
	if !s.SetExposed(web, "", nil) {
		t.Error("taking the route away is a change")
	}
	s.SetStatus(web, &read)
	if got := s.Status(web); got.URL != "" || v1.FindCondition(got.Conditions, v1.ConditionExposed) != nil || len(got.Conditions) != 1 {
		t.Errorf("without a route: %+v", got)
	}
}
