package cli

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// followTail is how many lines come first with -f, and for many services, when nobody says.
const followTail = 10

// logsOptions are the flags of logs.
type logsOptions struct {
	selection
	form, stream         string
	follow, previous     bool
	timestamps, noPrefix bool
	tail                 int
	since, sinceTime     string
	grep, level          string
}

func (c *cli) logsCommand() *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs NAME... | -l SELECTOR | --all",
		Short: "Show what services have printed",
		Example: `  supervisor logs -f web
  supervisor logs web api --since 10m
  supervisor logs web --previous     # what the run before this one said
  supervisor logs --all -f --stream stderr`,
		ValidArgsFunction: c.completeNames(v1.KindService),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			keys, err := o.keys(ctx, api, v1.KindService, args)
			if err != nil || len(keys) == 0 {
				return err
			}
			return c.logs(ctx, api, keys, o)
		}),
	}
	f := cmd.Flags()
	selectorFlag(cmd, &o.selector)
	f.BoolVar(&o.all, "all", false, "all services")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with new lines, until Ctrl-C")
	f.BoolVarP(&o.previous, "previous", "p", false, "the lines of the run that ended last")
	f.IntVar(&o.tail, "tail", -1, fmt.Sprintf("begin with so many of the last lines; -1 is all (default: all, but %d with -f or -l)", followTail))
	f.StringVar(&o.since, "since", "", "leave out lines older than this, such as 30s, 10m, 2h, 1d")
	f.StringVar(&o.sinceTime, "since-time", "", "leave out lines before this moment (RFC 3339)")
	f.StringVar(&o.stream, "stream", "", "only stdout or stderr")
	f.StringVarP(&o.grep, "grep", "g", "", "only entries that match this regular expression (RE2); a stack trace is one entry")
	f.StringVar(&o.level, "level", "", "only debug, info, warning or error")
	f.BoolVar(&o.timestamps, "timestamps", false, "put the time before each line")
	f.BoolVar(&o.noPrefix, "no-prefix", false, "leave out the service's name where lines of several are mixed")
	formFlag(cmd, &o.form, formJSON)
	cmd.MarkFlagsMutuallyExclusive("since", "since-time", "previous")
	cmd.MarkFlagsMutuallyExclusive("follow", "previous")
	_ = cmd.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{"stdout", "stderr"}, cobra.ShellCompDirectiveNoFileComp))
	// Whether --tail was given decides its default.
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if !f.Changed("tail") && o.since == "" && o.sinceTime == "" && !o.previous && (o.follow || o.selector != "" || o.all) {
			o.tail = followTail
		}
		return check(cmd, args)
	}
	return cmd
}

// wireOptions are the options as the API takes them.
func (o logsOptions) wireOptions(now time.Time) (wire.LogOptions, error) {
	w := wire.LogOptions{Tail: o.tail, Follow: o.follow, Stream: o.stream, Regexp: o.grep, Level: o.level}
	if o.stream != "" && o.stream != "stdout" && o.stream != "stderr" {
		return w, usagef("--stream %s is not known; write stdout or stderr", o.stream)
	}
	if o.since != "" {
		d, err := v1.ParseDuration(o.since)
		if err != nil {
			return w, usagef("--since: %w", err)
		}
		w.Since = now.Add(-d)
	}
	if o.sinceTime != "" {
		t, err := time.Parse(time.RFC3339, o.sinceTime)
		if err != nil {
			return w, usagef("--since-time: %q is not a moment; write it like %s", o.sinceTime, now.UTC().Format(time.RFC3339))
		}
		w.Since = t
	}
	return w, nil
}

func (c *cli) logs(ctx context.Context, api *client.Client, keys []v1.Key, o logsOptions) error {
	w, err := o.wireOptions(c.Now())
	if err != nil {
		return err
	}
	names := make([]string, len(keys))
	width := 0
	for i, k := range keys {
		names[i] = k.Name
		width = max(width, utf8.RuneCountInString(k.Name))
	}
	prefix := len(names) > 1 && !o.noPrefix
	show := func(l wire.LogLine) error {
		if o.form == formJSON {
			return c.printLine(formJSON, l)
		}
		text := l.Text
		if o.timestamps {
			text = l.Time.Format(time.RFC3339Nano) + " " + text
		}
		if prefix {
			text = c.paint(nameColor(l.Service), fmt.Sprintf("%-*s |", width, l.Service)) + " " + text
		}
		c.printf("%s\n", text)
		return nil
	}
	if o.previous {
		return c.previousLogs(ctx, api, names, w, show)
	}
	err = api.Logs(ctx, names, w, show)
	if isNotFound(err) && len(names) == 1 {
		return notFound(ctx, api, keys[0], []string{v1.KindService})
	}
	return err
}

// errEnd stops a stream that has given what was wanted.
var errEnd = errors.New("end")

// previousLogs shows the lines of the last run of each service that has ended, told by their times.
func (c *cli) previousLogs(ctx context.Context, api *client.Client, names []string, w wire.LogOptions, show func(wire.LogLine) error) error {
	for _, name := range names {
		found, err := find(ctx, api, ref{Kind: v1.KindService, Name: name}, "")
		if err != nil {
			return err
		}
		s, ok := found[0].(*v1.Service)
		if !ok || statusOf(s).LastExit == nil {
			return fmt.Errorf("no run of %s has ended yet; leave out --previous to see the present one", name)
		}
		exit, tail := statusOf(s).LastExit, w.Tail
		w.Since, w.Tail = exit.StartedAt, -1
		var lines []wire.LogLine
		err = api.Logs(ctx, []string{name}, w, func(l wire.LogLine) error {
			if l.Time.After(exit.At) {
				return errEnd
			}
			if tail < 0 {
				return show(l)
			}
			if lines = append(lines, l); len(lines) > tail {
				lines = lines[1:]
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnd) {
			return err
		}
		for _, l := range lines {
			if err := show(l); err != nil {
				return err
			}
		}
		w.Tail = tail
	}
	return nil
}

// nameColor gives each name one of the colours that say neither good nor bad.
func nameColor(name string) string {
	colors := []string{"36", "35", "34", "96", "95", "94"}
	sum := 0
	for _, r := range name {
		sum = sum*31 + int(r)
	}
	return colors[uint(sum)%uint(len(colors))]
}
