package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Describe tells in words what the schedule means: "at 02:00 on Monday to Friday".
func (s *Schedule) Describe() string {
	if s.every > 0 {
		return "every " + interval(s.every)
	}
	second, minute, hour := items(s.fields[0]), items(s.fields[1]), items(s.fields[2])
	words := []string{timeOfDay(second, minute, hour)}
	day := days(s.fields[3], s.fields[5])
	if day == "" && fixed(hour) {
		day = "every day"
	}
	for _, more := range []string{day, months(s.fields[4])} {
		if more != "" {
			words = append(words, more)
		}
	}
	return strings.Join(words, " ")
}

// Describe tells in words what an expression means; empty when it cannot be read.
func Describe(expr string, o Options) string {
	s, err := Parse(expr, o)
	if err != nil {
		return ""
	}
	return s.Describe()
}

// interval writes "5 minutes", "1 hour 30 minutes".
func interval(d time.Duration) string {
	var words []string
	for _, u := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := d / u.size; n > 0 {
			words = append(words, plural(int(n), u.name))
			d %= u.size
		}
	}
	if len(words) == 1 && strings.HasPrefix(words[0], "1 ") {
		return words[0][2:]
	}
	return strings.Join(words, " ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// item is one part of a comma-separated field: *, */n, a, a/n, a-b, a-b/n.
type item struct {
	star     bool
	from, to string // to is empty for a single value
	step     int    // 0 for none
}

func items(field string) []item {
	var out []item
	for part := range strings.SplitSeq(field, ",") {
		var it item
		span, step, stepped := strings.Cut(part, "/")
		if stepped {
			it.step, _ = strconv.Atoi(step) // the field was parsed before
			if it.step == 1 {
				it.step = 0
			}
		}
		if it.star = span == "*" || span == "?"; !it.star {
			it.from, it.to, _ = strings.Cut(span, "-")
		}
		out = append(out, it)
	}
	return out
}

// every reports a field that is * alone.
func every(f []item) bool { return len(f) == 1 && f[0].star && f[0].step == 0 }

// steps is the n of a field that is */n alone, else 0.
func steps(f []item) int {
	if len(f) == 1 && f[0].star {
		return f[0].step
	}
	return 0
}

// fixed reports a field of single values.
func fixed(f []item) bool {
	for _, it := range f {
		if it.star || it.to != "" || it.step != 0 {
			return false
		}
	}
	return true
}

// zero reports a field that is 0 alone.
func zero(f []item) bool { return len(f) == 1 && fixed(f) && strings.TrimLeft(f[0].from, "0") == "" }

// maxTimes is how many times of day are listed before the fields are told one by one.
const maxTimes = 6

func timeOfDay(second, minute, hour []item) string {
	if fixed(second) && fixed(minute) && fixed(hour) && len(second)*len(minute)*len(hour) <= maxTimes {
		return "at " + join(clockTimes(second, minute, hour))
	}
	var words []string
	if !zero(second) {
		words = append(words, unit(second, "second"))
	}
	switch {
	case zero(minute) && zero(second) && every(hour):
		return "every hour on the hour"
	case every(minute) && len(words) > 0 && !fixed(second):
		// "every 10 seconds" says it.
	default:
		words = append(words, unit(minute, "minute"))
	}
	switch {
	case every(hour) && fixed(minute):
		words = append(words, "every hour")
	case every(hour):
	case len(hour) == 1 && hour[0].to != "" && hour[0].step == 0 && !fixed(minute):
		words = append(words, fmt.Sprintf("from %s:00 to %s:59", two(hour[0].from), two(hour[0].to)))
	default:
		words = append(words, unit(hour, "hour"))
	}
	text := strings.Join(words, " past ")
	text = strings.ReplaceAll(text, " past from ", " from ")
	text = strings.ReplaceAll(text, " past every ", " of every ")
	return text
}

func clockTimes(second, minute, hour []item) []string {
	var out []string
	for _, h := range hour {
		for _, m := range minute {
			for _, s := range second {
				text := two(h.from) + ":" + two(m.from)
				if !zero(second) {
					text += ":" + two(s.from)
				}
				out = append(out, text)
			}
		}
	}
	return out
}

func two(n string) string {
	if len(n) == 1 {
		return "0" + n
	}
	return n
}

// unit tells a field of seconds, minutes or hours.
func unit(f []item, name string) string {
	if every(f) {
		return "every " + name
	}
	if n := steps(f); n != 0 {
		return fmt.Sprintf("every %s", plural(n, name))
	}
	at := "at "
	if name == "hour" {
		at = ""
	}
	return at + values(f, name, func(v string) string { return v })
}

// values tells a list of values, ranges and steps: "minutes 0, 10 and 20 to 30".
func values(f []item, name string, show func(string) string) string {
	parts := make([]string, len(f))
	for i, it := range f {
		switch {
		case it.star && it.step > 0:
			parts[i] = "every " + ordinal(it.step) + " " + name
		case it.star:
			parts[i] = "every " + name
		case it.to != "" && it.step > 0:
			parts[i] = fmt.Sprintf("every %s %s from %s to %s", ordinal(it.step), name, show(it.from), show(it.to))
		case it.step > 0:
			parts[i] = fmt.Sprintf("every %s %s from %s on", ordinal(it.step), name, show(it.from))
		case it.to != "":
			parts[i] = show(it.from) + " to " + show(it.to)
		default:
			parts[i] = show(it.from)
		}
	}
	text := join(parts)
	if strings.HasPrefix(text, "every ") || name == "" {
		return text
	}
	if len(f) > 1 || f[0].to != "" {
		name += "s"
	}
	return name + " " + text
}

func join(parts []string) string {
	n := len(parts)
	if n == 1 {
		return parts[0]
	}
	return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
}

func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}

// days tells the two day fields. Both restricted, either will do; a field that begins with * has to match as well.
func days(dom, dow string) string {
	month, week := daysOfMonth(dom), daysOfWeek(dow)
	switch {
	case month == "":
		return week
	case week == "":
		return month
	case star(dom) || star(dow):
		return month + " that is also " + week
	}
	return month + " or " + week
}

func daysOfMonth(field string) string {
	if field == "*" || field == "?" || field == "*/1" {
		return ""
	}
	var plainItems []string
	var words []string
	for part := range strings.SplitSeq(field, ",") {
		rest, last := strings.CutPrefix(part, "l")
		day, nearest := strings.CutSuffix(part, "w")
		switch {
		case part == "l":
			words = append(words, "on the last day of the month")
		case part == "lw":
			words = append(words, "on the last weekday of the month")
		case last:
			words = append(words, fmt.Sprintf("%s days before the last of the month", strings.TrimPrefix(rest, "-")))
		case nearest:
			words = append(words, "on the weekday nearest to day "+day+" of the month")
		default:
			plainItems = append(plainItems, part)
		}
	}
	if len(plainItems) > 0 {
		text := values(items(strings.Join(plainItems, ",")), "day", func(v string) string { return v })
		words = append([]string{"on " + text + " of the month"}, words...)
	}
	return join(words)
}

func daysOfWeek(field string) string {
	if field == "*" || field == "?" || field == "*/1" {
		return ""
	}
	show := func(v string) string { return nameOf(v, weekdays()) }
	var plainItems, words []string
	for part := range strings.SplitSeq(field, ",") {
		day, nth, special := strings.Cut(part, "#")
		if !special {
			plainItems = append(plainItems, part)
			continue
		}
		which := "last"
		if n, err := strconv.Atoi(nth); err == nil {
			which = ordinal(n)
		}
		words = append(words, fmt.Sprintf("on the %s %s of the month", which, show(day)))
	}
	if len(plainItems) > 0 {
		list := items(strings.Join(plainItems, ","))
		name := ""
		if steps(list) > 0 || list[0].step > 0 {
			name = "day of the week"
		}
		words = append([]string{"on " + values(list, name, show)}, words...)
	}
	return join(words)
}

func months(field string) string {
	if field == "*" || field == "?" || field == "*/1" {
		return ""
	}
	list := items(field)
	name := ""
	if steps(list) > 0 || list[0].step > 0 {
		name = "month"
	}
	return "in " + values(list, name, func(v string) string {
		return nameOf(v, func() []string {
			out := []string{""}
			for m := time.January; m <= time.December; m++ {
				out = append(out, m.String())
			}
			return out
		}())
	})
}

func weekdays() []string {
	var out []string
	for d := range 8 {
		out = append(out, time.Weekday(d%7).String())
	}
	return out
}

// nameOf is the whole name for a number or the first letters of a name.
func nameOf(v string, all []string) string {
	if n, err := strconv.Atoi(v); err == nil && n < len(all) {
		return all[n]
	}
	for _, name := range all {
		if name != "" && strings.HasPrefix(strings.ToLower(name), v) {
			return name
		}
	}
	return v
}
