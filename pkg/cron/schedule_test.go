package cron

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, expr, zone string, seconds bool) *Schedule {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(expr, Options{Seconds: seconds, Location: loc})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The rules for days on which the clocks are changed, as doc.go states them.
func TestChangeOfClocks(t *testing.T) {
	for _, tt := range []struct {
		name, expr, zone, day string
		seconds               bool
		want                  []string
	}{
		{"a fixed time in the gap is made up once", "30 2 * * *", "America/New_York", "2026-03-08", false, []string{"03:00-04"}},
		{"in Europe too", "30 2 * * *", "Europe/Berlin", "2026-03-29", false, []string{"03:00+02"}},
		{"many times in the gap are made up once", "*/15 2 * * *", "Europe/Berlin", "2026-03-29", false, []string{"03:00+02"}},
		{"what is made up and what is due anyway are one", "0 2,3 * * *", "America/New_York", "2026-03-08", false, []string{"03:00-04"}},
		{"the following time is due as always", "30 2,3 * * *", "America/New_York", "2026-03-08", false, []string{"03:00-04", "03:30-04"}},
		{"every second hour", "5 */2 * * *", "Europe/Berlin", "2026-03-29", false, []string{
			"00:05+01", "03:00+02", "04:05+02", "06:05+02", "08:05+02", "10:05+02", "12:05+02", "14:05+02", "16:05+02", "18:05+02", "20:05+02", "22:05+02",
		}},
		{"a gap at midnight", "0 0 * * *", "America/Havana", "2026-03-08", false, []string{"01:00-04"}},
		{"half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-04", false, []string{"02:30+11"}},
		{"seconds in the gap", "20 30 2 * * *", "Europe/Berlin", "2026-03-29", true, []string{"03:00+02"}},
		{"a fixed time in the fold is due once, the first time", "30 1 * * *", "America/New_York", "2026-11-01", false, []string{"01:30-04"}},
		{"in Europe as well", "30 2 * * *", "Europe/Berlin", "2026-10-25", false, []string{"02:30+02"}},
		{"fixed times around the fold", "0,30 1-2 * * *", "America/New_York", "2026-11-01", false, []string{"01:00-04", "01:30-04", "02:00-05", "02:30-05"}},
		{"an interval is due both times", "*/30 1 * * *", "America/New_York", "2026-11-01", false, []string{"01:00-04", "01:30-04", "01:00-05", "01:30-05"}},
		{"a fold at midnight", "30 0 * * *", "America/Havana", "2026-11-01", false, []string{"00:30-04"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mustParse(t, tt.expr, tt.zone, tt.seconds)
			day, err := time.Parse(time.DateOnly, tt.day)
			if err != nil {
				t.Fatal(err)
			}
			instants, _ := s.Between(day.Add(-24*time.Hour), day.Add(48*time.Hour), 100)
			var got []string
			for _, at := range instants {
				if at.Format(time.DateOnly) == tt.day {
					got = append(got, at.Format("15:04Z07"))
				}
			}
			for i := range got {
				got[i] = strings.Replace(got[i], "Z", "+00", 1)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHourlyKeepsItsPaceWhenTheClocksChange(t *testing.T) {
	for _, day := range []string{"2026-03-29", "2026-10-25"} {
		s := mustParse(t, "30 * * * *", "Europe/Berlin", false)
		from, err := time.ParseInLocation(time.DateOnly, day, s.Location())
		if err != nil {
			t.Fatal(err)
		}
		instants := s.NextN(from, 12)
		for i := 1; i < len(instants); i++ {
			if d := instants[i].Sub(instants[i-1]); d != time.Hour {
				t.Errorf("%s: %v after %v", day, d, instants[i-1])
			}
		}
	}
}

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		name, expr string
		seconds    bool
		want       []string // from 2026-01-01T00:00:00Z, a Thursday
	}{
		{"shorthand", "@Weekly", false, []string{"2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"}},
		{"names in capitals", "0 12 * FEB THU", false, []string{"2026-02-05T12:00:00Z", "2026-02-12T12:00:00Z"}},
		{"either day when both are restricted", "0 0 13 * 5", false, []string{"2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"}},
		{"both when one begins with a star", "0 0 */2 * MON", false, []string{"2026-01-05T00:00:00Z", "2026-01-19T00:00:00Z"}},
		{"Sunday is 7 too", "0 0 * * 7", false, []string{"2026-01-04T00:00:00Z"}},
		{"last day", "0 0 L * *", false, []string{"2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"}},
		{"last weekday", "0 0 LW * *", false, []string{"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z"}},
		{"second Friday", "0 0 * * FRI#2", false, []string{"2026-01-09T00:00:00Z", "2026-02-13T00:00:00Z"}},
		{"last Friday", "0 0 * * 5#l", false, []string{"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z"}},
		{"leap day on a Monday", "0 0 29 2 */1", false, []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"seconds", "*/20 0 0 * * *", true, []string{"2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z", "2026-01-02T00:00:00Z"}},
		{"interval", "@every 1h30m", false, []string{"2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"}},
		{"range over the end", "0 22-1 * * *", false, []string{"2026-01-01T01:00:00Z", "2026-01-01T22:00:00Z", "2026-01-01T23:00:00Z", "2026-01-02T00:00:00Z"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mustParse(t, tt.expr, "UTC", tt.seconds)
			var got []string
			for _, at := range s.NextN(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), len(tt.want)) {
				got = append(got, at.Format(time.RFC3339))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		expr    string
		seconds bool
		want    []string
	}{
		{"", false, []string{"is empty"}},
		{"61 * * * *", false, []string{"field 1 (minute)", `"61"`, "0-59"}},
		{"0 24 * * *", false, []string{"field 2 (hour)", "0-23"}},
		{"0 0 32 * *", false, []string{"field 3 (day of month)", "1-31", "L for the last day"}},
		{"0 0 * 13 *", false, []string{"field 4 (month)", "jan-dec"}},
		{"0 0 * * fry", false, []string{"field 5 (day of week)", "sun-sat"}},
		{"0 0 * * 8", false, []string{"field 5"}},
		{"*/0 * * * *", false, []string{"field 1"}},
		{"1,,2 * * * *", false, []string{"field 1"}},
		{"*-5 * * * *", false, []string{"field 1"}},
		{"70/5 * * * *", false, []string{"field 1"}},
		{"99999999999999999999 * * * *", false, []string{"field 1"}},
		{"H * * * *", false, []string{"field 1"}},
		{"0 60 * * * *", true, []string{"field 2 (minute)"}},
		{"0 0 2 * * *", false, []string{"6 fields", "seconds: true"}},
		{"0 2 * * *", true, []string{"5 fields", "it is six"}},
		{"* * *", false, []string{"3 fields", "write five"}},
		{"*", false, []string{"1 field;"}},
		{"0 0 30 2 *", false, []string{"never comes"}},
		{"0 0 31 4,6,9,11 *", false, []string{"never comes"}},
		{"@reboot", false, []string{"Service", "Never"}},
		{"@fortnightly", false, []string{"is not known"}},
		{"@every", false, []string{"@every 5m"}},
		{"@every 500ms", false, []string{"whole seconds"}},
		{"@every -5m", false, []string{"not allowed"}},
		{"@every 1.5s", false, []string{"whole seconds"}},
		{"CRON_TZ=UTC 0 0 * * *", false, []string{"timeZone"}},
		{strings.Repeat("1,", 2000) + "1 * * * *", false, []string{"is longer"}},
	} {
		_, err := Parse(tt.expr, Options{Seconds: tt.seconds, Location: time.UTC})
		if err == nil {
			t.Errorf("%q: not refused", tt.expr)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %q does not say %q", tt.expr, err, want)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	s := mustParse(t, "* * * * *", "UTC", false)
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	got, more := s.Between(from, from.Add(time.Hour), 3)
	if len(got) != 3 || !more || !got[0].Equal(from.Add(time.Minute)) {
		t.Errorf("oldest three: %v %v", got, more)
	}
	got, more = s.Latest(from, from.Add(time.Hour), 3)
	if len(got) != 3 || !more || !got[2].Equal(from.Add(time.Hour)) {
		t.Errorf("newest three: %v %v", got, more)
	}
	got, more = s.Latest(from.Add(57*time.Minute), from.Add(time.Hour), 3)
	if len(got) != 3 || more {
		t.Errorf("exactly three: %v %v", got, more)
	}
}

func TestValidate(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := Validate("0 2 * * *", Options{Location: time.UTC}, now, 5)
	if !v.Valid || len(v.NextRuns) != 5 || v.Description != "at 02:00 every day" {
		t.Errorf("%+v", v)
	}
	if v := Validate("0 2 * *", Options{}, now, 5); v.Valid || v.Message == "" || v.NextRuns != nil {
		t.Errorf("%+v", v)
	}
}

func FuzzParse(f *testing.F) {
	for _, expr := range []string{"*/5 1-3 L,15W jan-mar fri#2,sun", "@every 1h", "@daily", "0 0 29 2 *", "1,2,3 * ? * 7", "0 0 2 * * *", "50-10/3 * * * *"} {
		f.Add(expr, false)
		f.Add(expr, true)
	}
	now := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, expr string, seconds bool) {
		s, err := Parse(expr, Options{Seconds: seconds, Location: berlin})
		if err != nil {
			return
		}
		next := s.Next(now)
		if next.IsZero() || !next.After(now) {
			t.Fatalf("%q: next is %v", expr, next)
		}
		if prev := s.Prev(next.Add(1)); !prev.Equal(next) {
			t.Fatalf("%q: %v is next, but the one before just after it is %v", expr, next, prev)
		}
		if s.Describe() == "" {
			t.Fatalf("%q has no description", expr)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, expr := range []string{"* * * * *", "0 2 * * *", "0 0 29 2 *", "@every 5m"} {
		b.Run(expr, func(b *testing.B) {
			s := mustParse(b, expr, "Europe/Berlin", false)
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for b.Loop() {
				s.Next(at)
			}
		})
	}
}
