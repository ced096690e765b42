package cron

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/philiporange/supervisor/pkg/cron/crontest"
)

// changes are instants near which the clocks of a zone are changed, gaps and folds of all sizes.
func changes() map[string][]time.Time {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return map[string][]time.Time{
		"UTC":                 {day(2026, 2, 28), day(2028, 2, 29)},
		"Europe/Berlin":       {day(2026, 3, 29), day(2026, 10, 25)},
		"Europe/London":       {day(2026, 3, 29), day(2026, 10, 25)},
		"America/New_York":    {day(2026, 3, 8), day(2026, 11, 1)},
		"Australia/Lord_Howe": {day(2026, 4, 4), day(2026, 10, 3)}, // half an hour
		"America/Havana":      {day(2026, 3, 8), day(2026, 11, 1)}, // at midnight
		"America/Sao_Paulo":   {day(2018, 11, 4), day(2018, 2, 18)},
		"Pacific/Apia":        {day(2011, 12, 30)}, // a whole day
		"Asia/Kathmandu":      {day(2026, 1, 1)},
	}
}

func drawField(t *rapid.T, label string, low, high int) crontest.Field {
	switch rapid.IntRange(0, 4).Draw(t, label) {
	case 0:
		return crontest.Star(low, high, 1)
	case 1:
		return crontest.Star(low, high, rapid.IntRange(2, (high-low)/2).Draw(t, label+" step"))
	case 2:
		from := rapid.IntRange(low, high-2).Draw(t, label+" from")
		return crontest.Span(from, rapid.IntRange(from+1, high).Draw(t, label+" to"), 1)
	default:
		values := rapid.SliceOfNDistinct(rapid.IntRange(low, high), 1, 3, rapid.ID).Draw(t, label+" values")
		slices.Sort(values)
		return crontest.Single(values...)
	}
}

func drawExpression(t *rapid.T, zone string) crontest.Expression {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	e := crontest.Expression{
		Minute: drawField(t, "minute", 0, 59), Hour: drawField(t, "hour", 0, 23),
		Dom: crontest.Star(1, 31, 1), Month: crontest.Star(1, 12, 1), Dow: crontest.Star(0, 6, 1), Zone: loc,
	}
	if rapid.Bool().Draw(t, "early") {
		e.Hour = crontest.Single(rapid.IntRange(0, 3).Draw(t, "early hour"))
	}
	if rapid.Bool().Draw(t, "days") {
		e.Dom, e.Dow = drawField(t, "dom", 1, 31), drawField(t, "dow", 0, 6)
	}
	return e
}

func TestInstantsAreThoseOfTheOracle(t *testing.T) {
	zones := changes()
	names := make([]string, 0, len(zones))
	for name := range zones {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(names).Draw(t, "zone")
		change := rapid.SampledFrom(zones[zone]).Draw(t, "change")
		e := drawExpression(t, zone)
		from := change.Add(-time.Duration(rapid.IntRange(0, 40*3600).Draw(t, "before")) * time.Second)
		to := from.Add(72 * time.Hour)
		s, err := Parse(e.String(), Options{Location: e.Zone})
		if err != nil {
			t.Fatalf("parse %q: %v", e, err)
		}
		want := e.Instants(from, to)
		got, _ := s.Between(from, to, 5000)
		compare(t, "forward", e, got, want)
		back, _ := s.Latest(from, to, 5000)
		compare(t, "backward", e, back, want)
		for _, at := range want {
			if !s.Due(at) {
				t.Errorf("%q: %v is not due", e, at)
			}
		}
	})
}

func compare(t *rapid.T, what string, e crontest.Expression, got, want []time.Time) {
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("%s: %q in %s:\n got %v\nwant %v", what, e, e.Zone, show(got, e), show(want, e))
	}
}

func show(instants []time.Time, e crontest.Expression) []string {
	var out []string
	for _, at := range instants[:min(len(instants), 40)] {
		out = append(out, at.In(e.Zone).Format("02T15:04Z07"))
	}
	return out
}

func TestEveryIsAMultiple(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(1, 100_000).Draw(t, "seconds")
		at := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		s, err := Parse("@every "+(time.Duration(seconds)*time.Second).String(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		next, prev := s.Next(at), s.Prev(at)
		step := time.Duration(seconds) * time.Second
		if !next.After(at) || next.Sub(at) > step || next.Unix()%seconds != 0 || next.Nanosecond() != 0 {
			t.Errorf("next of %v is %v", at, next)
		}
		if !prev.Before(at) || at.Sub(prev) > step || prev.Unix()%seconds != 0 || prev.Nanosecond() != 0 {
			t.Errorf("previous of %v is %v", at, prev)
		}
	})
}
