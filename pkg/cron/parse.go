package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	gocron "github.com/netresearch/go-cron"
)

const (
	// searchYears bounds how far an instant may be away: 29 February on a certain weekday comes within 40 years.
	searchYears = 100
	// maxEvery keeps @every within what a duration can count.
	maxEvery = 100 * 365 * 24 * time.Hour
	// starBit is go-cron's mark of a field that is no restriction.
	starBit = 1 << 63
	allHour = 1<<24 - 1
)

// Options say how an expression is to be read.
type Options struct {
	// Seconds makes the expression one of six fields, seconds first.
	Seconds bool
	// Location is the zone of the schedule; nil is the machine's.
	Location *time.Location
}

// field is one place of an expression.
type field struct {
	name    string
	option  gocron.ParseOption
	high    int // the greatest number
	allowed string
}

// fields are those of a six-field expression.
func allFields() []field {
	const numbers = ", *, ranges such as %s, lists such as %s or steps such as %s"
	return []field{
		{"second", gocron.Second, 59, "0-59" + fmt.Sprintf(numbers, "10-20", "0,30", "*/15")},
		{"minute", gocron.Minute, 59, "0-59" + fmt.Sprintf(numbers, "10-20", "0,30", "*/15")},
		{"hour", gocron.Hour, 23, "0-23" + fmt.Sprintf(numbers, "9-17", "6,18", "*/2")},
		{"day of month", gocron.Dom | gocron.DomL | gocron.DomW, 31, "1-31" + fmt.Sprintf(numbers, "1-7", "1,15", "*/2") +
			", L for the last day, L-3 for three days before it, 15W for the weekday nearest to the 15th, LW for the last weekday"},
		{"month", gocron.Month, 12, "1-12 or jan-dec" + fmt.Sprintf(numbers, "6-8", "1,7", "*/3")},
		{"day of week", gocron.Dow | gocron.DowNth | gocron.DowLast, 7, "0-7 (0 and 7 are Sunday) or sun-sat" + fmt.Sprintf(numbers, "mon-fri", "sat,sun", "*/2") +
			", fri#2 for the second Friday, fri#L for the last"},
	}
}

// shorthands are the names for common expressions of five fields.
func shorthands() map[string]string {
	return map[string]string{
		"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
		"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
	}
}

// Parse reads an expression of five fields (six with Options.Seconds), a name such as @daily, or "@every 5m".
// The error says which field is wrong and what is allowed there.
func Parse(expr string, o Options) (*Schedule, error) {
	s, err := parse(strings.TrimSpace(expr), o)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", expr, err)
	}
	return s, nil
}

func parse(expr string, o Options) (*Schedule, error) {
	s := &Schedule{expr: expr, location: o.Location}
	if s.location == nil {
		s.location = time.Local
	}
	switch {
	case expr == "":
		return nil, errors.New("is empty; write five fields such as \"0 2 * * *\", or @daily")
	case len(expr) > gocron.MaxSpecLength:
		return nil, fmt.Errorf("is longer than %d characters", gocron.MaxSpecLength)
	case strings.HasPrefix(expr, "TZ=") || strings.HasPrefix(expr, "CRON_TZ="):
		return nil, errors.New("names a time zone; write it as timeZone: Europe/London beside the schedule")
	case strings.HasPrefix(strings.ToLower(expr), "@every"):
		return s, s.parseEvery()
	}
	fields, err := split(expr, o.Seconds)
	if err != nil {
		return nil, err
	}
	s.fields = fields
	if err := s.parseFields(); err != nil {
		return nil, err
	}
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, s.location)).IsZero() {
		return nil, errors.New("never comes: there is no such date; check the day of month against the month")
	}
	return s, nil
}

func (s *Schedule) parseEvery() error {
	const remedy = "write whole seconds, minutes and hours, such as @every 90s, @every 5m or @every 1h30m"
	interval, ok := strings.CutPrefix(strings.ToLower(s.expr), "@every ")
	d, err := time.ParseDuration(strings.TrimSpace(interval))
	switch {
	case !ok || err != nil:
		return fmt.Errorf("is not an interval; %s", remedy)
	case d < time.Second || d > maxEvery || d%time.Second != 0:
		return fmt.Errorf("%s is not allowed; %s", d, remedy)
	}
	s.every = d
	return nil
}

// split returns six fields, seconds first.
func split(expr string, seconds bool) ([]string, error) {
	if strings.HasPrefix(expr, "@") {
		five, ok := shorthands()[strings.ToLower(expr)]
		switch {
		case ok:
			return append([]string{"0"}, strings.Fields(five)...), nil
		case strings.EqualFold(expr, "@reboot"):
			return nil, errors.New("is no schedule; what runs once at start is a Service with restart: {policy: Never}")
		}
		return nil, errors.New("is not known; write @hourly, @daily, @weekly, @monthly, @yearly, @every 5m, or five fields")
	}
	fields := strings.Fields(expr)
	switch n := len(fields); {
	case seconds && n == 6:
		return fields, nil
	case seconds:
		return nil, fmt.Errorf("has %s; with seconds: true it is six: second, minute, hour, day of month, month, day of week", count(n))
	case n == 5:
		return append([]string{"0"}, fields...), nil
	case n == 6:
		return nil, errors.New("has 6 fields, and the first of six is seconds; " +
			"write seconds: true beside the schedule if that is meant, or five fields: minute, hour, day of month, month, day of week")
	default:
		return nil, fmt.Errorf("has %s; write five: minute, hour, day of month, month, day of week", count(n))
	}
}

func count(n int) string {
	if n == 1 {
		return "1 field"
	}
	return fmt.Sprintf("%d fields", n)
}

func (s *Schedule) parseFields() error {
	all := allFields()
	shown := 0 // the number of the first field that the user wrote
	if len(strings.Fields(s.expr)) != len(all) {
		shown = 1
	}
	options := gocron.DowOrDom
	for i, f := range all {
		// go-cron takes the H of THU for a hash; everything else it reads in either case.
		s.fields[i] = strings.ToLower(s.fields[i])
		options |= f.option
		if err := checkField(s.fields[i], f); err != nil {
			return fmt.Errorf("field %d (%s) %q is not allowed; write %s", i+1-shown, f.name, s.fields[i], f.allowed)
		}
	}
	parser, err := gocron.TryNewParser(options)
	if err != nil {
		return fmt.Errorf("make a parser: %w", err)
	}
	parsed, err := parser.WithMaxSearchYears(searchYears).Parse(strings.Join(s.fields, " "))
	if err != nil {
		return err
	}
	walls, ok := parsed.(*gocron.SpecSchedule)
	if !ok {
		return fmt.Errorf("is of an unknown kind (%T)", parsed)
	}
	walls.Location, walls.MaxSearchYears = time.UTC, searchYears
	walls.Dom = markStar(walls.Dom, s.fields[3])
	walls.Dow = markStar(walls.Dow, s.fields[5])
	s.walls = walls
	s.interval = star(s.fields[0]) || star(s.fields[1]) || star(s.fields[2])
	s.hourly = walls.Hour&allHour == allHour
	return nil
}

// checkField tells whether a field is one that go-cron takes in this place.
func checkField(text string, f field) error {
	parser, err := gocron.TryNewParser(f.option)
	if err != nil {
		return fmt.Errorf("make a parser: %w", err)
	}
	for item := range strings.SplitSeq(text, ",") {
		// go-cron overlooks both, and would make of them what nobody meant.
		if item == "" || strings.HasPrefix(item, "*-") || strings.HasPrefix(item, "?-") {
			return errors.New("is no range")
		}
		// 70/5 would be an empty range, through which it searches for ever.
		span, _, _ := strings.Cut(item, "/")
		for number := range strings.FieldsFuncSeq(span, func(r rune) bool { return r < '0' || r > '9' }) {
			if n, err := strconv.Atoi(number); err != nil || n > f.high {
				return errors.New("is out of range")
			}
		}
	}
	_, err = parser.Parse(text)
	return err
}

func star(field string) bool { return strings.HasPrefix(field, "*") || field == "?" }

// markStar marks a day field as no restriction by Vixie cron's rule: it begins with a star. go-cron's own mark is missing on */2.
func markStar(bits uint64, field string) uint64 {
	if star(field) {
		return bits | starBit
	}
	return bits &^ starBit
}

// Validation is what there is to say about an expression.
type Validation struct {
	Valid       bool
	Message     string // why not, or that it is valid
	Description string
	NextRuns    []time.Time
}

// Validate tells whether an expression can be used, what it means and when it is due next: the first n instants after now.
func Validate(expr string, o Options, now time.Time, n int) Validation {
	s, err := Parse(expr, o)
	if err != nil {
		return Validation{Message: err.Error()}
	}
	return Validation{Valid: true, Message: "the schedule is valid", Description: s.Describe(), NextRuns: s.NextN(now, n)}
}
