// Package crontest computes the instants of schedules by brute force, to be held against package cron: it looks at every
// minute there is and shares no code with it. For tests.
package crontest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Field is one field of an expression: its text, and the values that it stands for.
type Field struct {
	Text   string
	Values []int
	Star   bool // begins with *
}

// Single is a field of one or more single values.
func Single(values ...int) Field {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return Field{Text: strings.Join(texts, ","), Values: values}
}

// Span is a field a-b/step.
func Span(from, to, step int) Field {
	f := Field{Text: fmt.Sprintf("%d-%d", from, to)}
	if step > 1 {
		f.Text += fmt.Sprintf("/%d", step)
	}
	for v := from; v <= to; v += step {
		f.Values = append(f.Values, v)
	}
	return f
}

// Star is a field */step whose values go from low to high.
func Star(low, high, step int) Field {
	f := Span(low, high, step)
	f.Text, f.Star = "*", true
	if step > 1 {
		f.Text += fmt.Sprintf("/%d", step)
	}
	return f
}

func (f Field) has(v int) bool { return slices.Contains(f.Values, v) }

// Expression is one of five fields in a zone. Sunday is 0.
type Expression struct {
	Minute, Hour, Dom, Month, Dow Field
	Zone                          *time.Location
}

// String is the expression as people write it.
func (e Expression) String() string {
	return strings.Join([]string{e.Minute.Text, e.Hour.Text, e.Dom.Text, e.Month.Text, e.Dow.Text}, " ")
}

// matches compares a wall time, written in any zone, with the fields.
func (e Expression) matches(wall time.Time) bool {
	if !e.Minute.has(wall.Minute()) || !e.Hour.has(wall.Hour()) || !e.Month.has(int(wall.Month())) {
		return false
	}
	dom, dow := e.Dom.has(wall.Day()), e.Dow.has(int(wall.Weekday()))
	if e.Dom.Star || e.Dow.Star {
		return dom && dow
	}
	return dom || dow
}

// repeatWindow is how long ago a wall time that is shown now may have been shown before.
const repeatWindow = 26 * time.Hour

// Instants are all instants after from, up to and including to.
func (e Expression) Instants(from, to time.Time) []time.Time {
	wallOf := func(t time.Time) time.Time {
		l := t.In(e.Zone)
		return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
	}
	begin := from.UTC().Truncate(time.Minute).Add(-repeatWindow)
	shown := map[time.Time]bool{}
	last := wallOf(begin.Add(-time.Minute))
	var out []time.Time
	for t := begin; !t.After(to); t = t.Add(time.Minute) {
		wall := wallOf(t)
		due := e.matches(wall) && (!shown[wall] || e.Minute.Star || e.Hour.Star)
		for gap := last.Add(time.Minute); gap.Before(wall) && len(e.Hour.Values) < 24; gap = gap.Add(time.Minute) {
			due = due || e.matches(gap)
		}
		shown[wall], last = true, wall
		if due && t.After(from) {
			out = append(out, t)
		}
	}
	return out
}
