package approval

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

func TestLife(t *testing.T) {
	t.Parallel()
	var events []string
	d := New(func(e v1.Event) { events = append(events, e.Reason+" "+e.Key.String()+" "+e.Actor) })
	stop := wire.ApprovalRequest{Action: "stop", Keys: []v1.Key{{Kind: v1.KindService, Name: "web"}}, Summary: "stop service web", Digest: "d1"}
	a := d.Ask(stop, "agent")
	if again := d.Ask(stop, "agent"); again.ID != a.ID {
		t.Error("the same change was asked for twice")
	}
	if _, err := d.Use(a.ID, "d1"); !errors.Is(err, ErrState) {
		t.Errorf("used before it was allowed: %v", err)
	}
	if got, err := d.Decide(a.ID, true, "user"); err != nil || got.State != wire.ApprovalApproved || got.DecidedBy != "user" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := d.Use(a.ID, "d2"); !errors.Is(err, ErrState) {
		t.Errorf("used for another change: %v", err)
	}
	if _, err := d.Use(a.ID, "d1"); err != nil {
		t.Error(err)
	}
	if _, err := d.Use(a.ID, "d1"); !errors.Is(err, ErrState) {
		t.Errorf("used twice: %v", err)
	}
	if _, err := d.Decide("nope", true, "user"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if got := strings.Join(events, ", "); got != "ApprovalRequested Service/web agent, Approved Service/web user" {
		t.Error(got)
	}
}

// TestNeverWithoutAYes: whatever the order of steps, a change is made only after a person has allowed that very one, in
// time, and once for each yes.
func TestNeverWithoutAYes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		d := New(nil)
		d.now = func() time.Time { return now }
		var ids []string
		allowed := map[string]time.Time{} // ID and digest → when
		digest := rapid.SampledFrom([]string{"a", "b", "c"})
		pick := func(t *rapid.T) string {
			if len(ids) == 0 {
				return "none"
			}
			return rapid.SampledFrom(ids).Draw(t, "id")
		}
		owner := map[string]string{}
		t.Repeat(map[string]func(*rapid.T){
			"ask": func(t *rapid.T) {
				dg := digest.Draw(t, "digest")
				a := d.Ask(wire.ApprovalRequest{Digest: dg}, "agent")
				ids, owner[a.ID] = append(ids, a.ID), dg
			},
			"decide": func(t *rapid.T) {
				id, yes := pick(t), rapid.Bool().Draw(t, "yes")
				if _, err := d.Decide(id, yes, "user"); err == nil && yes {
					allowed[id+owner[id]] = now
				}
			},
			"use": func(t *rapid.T) {
				id, dg := pick(t), digest.Draw(t, "digest")
				if _, err := d.Use(id, dg); err == nil {
					at, ok := allowed[id+dg]
					if !ok || now.Sub(at) > lifetime {
						t.Fatalf("used without a yes (%v, %v)", ok, at)
					}
					delete(allowed, id+dg)
				}
			},
			"wait": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "s")) * time.Second) },
			"": func(t *rapid.T) {
				if len(d.List()) > maxItems {
					t.Fatal("more is kept than may be")
				}
			},
		})
	})
}

func TestBounded(t *testing.T) {
	t.Parallel()
	d := New(nil)
	for i := range 3 * maxItems {
		d.Ask(wire.ApprovalRequest{Digest: fmt.Sprint(i), Summary: strings.Repeat("é", maxText), Detail: strings.Repeat("x", 2*maxDetail)}, "agent")
	}
	list := d.List()
	if len(list) != maxItems || len(list[0].Summary) > maxText+4 || len(list[0].Detail) > maxDetail+4 {
		t.Errorf("%d items, %d and %d bytes", len(list), len(list[0].Summary), len(list[0].Detail))
	}
}
