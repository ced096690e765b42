package route

import (
	"fmt"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// What every change of any status costs, with two hundred services.
func BenchmarkNothingToDo(b *testing.B) {
	services := make([]Service, 200)
	for i := range services {
		services[i] = service(fmt.Sprintf("service%d", i), v1.PhaseRunning, func(s *v1.ServiceSpec) {
			s.Expose.Headers = map[string]string{"X-Frame-Options": "DENY"}
		})
	}
	w := newWorld(services...)
	for b.Loop() {
		if _, err := w.Reconcile(b.Context(), Key); err != nil {
			b.Fatal(err)
		}
	}
	if w.way.changes != 1 {
		b.Errorf("%d changes", w.way.changes)
	}
}
