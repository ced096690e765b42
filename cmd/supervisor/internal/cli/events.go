package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// defaultEvents is how many events are shown when nobody says.
const defaultEvents = 100

// eventsOptions are the flags of events.
type eventsOptions struct {
	form, of string
	types    []string
	watch    bool
	noHeader bool
	limit    int
}

func (c *cli) eventsCommand() *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show who did what to which service, when and why",
		Example: `  supervisor events -w
  supervisor events --for web
  supervisor events --for cronjob/backup --types Warning`,
		Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error { return c.events(ctx, api, o) }),
	}
	formFlag(cmd, &o.form, formWide, formYAML, formJSON)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on with new events, until Ctrl-C")
	cmd.Flags().StringVar(&o.of, "for", "", "only those of KIND/NAME, or of a NAME of any kind")
	cmd.Flags().StringSliceVar(&o.types, "types", nil, "only those of these types: Normal, Warning")
	cmd.Flags().IntVar(&o.limit, "limit", defaultEvents, "begin with so many of the newest")
	cmd.Flags().BoolVar(&o.noHeader, "no-headers", false, "leave out the header")
	_ = cmd.RegisterFlagCompletionFunc("for", c.completeRefs())
	_ = cmd.RegisterFlagCompletionFunc("types", cobra.FixedCompletions([]string{string(v1.EventNormal), string(v1.EventWarning)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// filter is what the flags select.
func (o eventsOptions) filter() (v1.EventFilter, error) {
	f := v1.EventFilter{Limit: o.limit}
	if o.of != "" {
		refs, err := parseNames([]string{o.of}, "")
		if err != nil {
			return f, err
		}
		f.Key = refs[0]
	}
	for _, t := range o.types {
		switch {
		case strings.EqualFold(t, string(v1.EventNormal)):
			f.Types = append(f.Types, v1.EventNormal)
		case strings.EqualFold(t, string(v1.EventWarning)):
			f.Types = append(f.Types, v1.EventWarning)
		default:
			return f, usagef("--types %s is not known; write Normal or Warning", t)
		}
	}
	if o.limit < 0 {
		return f, usagef("--limit must not be negative")
	}
	return f, nil
}

func (c *cli) events(ctx context.Context, api *client.Client, o eventsOptions) error {
	f, err := o.filter()
	if err != nil {
		return err
	}
	if o.form == formName {
		return usagef("-o name has no meaning for events; write wide, yaml or json")
	}
	var page []v1.Event
	if o.limit > 0 { // the API takes 0 for its default
		if page, err = api.Events(ctx, f); err != nil {
			return err
		}
	}
	if !o.watch {
		return c.printEvents(page, o)
	}
	// The stream begins where the page ends; an event's ID is its place in the stream.
	t, last := newEventTable(o.form), uint64(0)
	lines := o.form == formJSON || o.form == formYAML
	for i := range page {
		last = max(last, page[i].ID)
		if !lines {
			t.rows = append(t.rows, eventRow(&page[i], o.form, c.Now(), true))
		} else if err := c.printLine(o.form, &page[i]); err != nil {
			return err
		}
	}
	if !lines {
		c.printTable(c.Out, t, "", !o.noHeader)
	}
	return api.Watch(ctx, last, client.Watcher{Change: func(ch v1.Change) error {
		if ch.Event == nil || ch.Event.ID <= last || !f.Matches(ch.Event) {
			return nil
		}
		last = ch.Event.ID
		if lines {
			return c.printLine(o.form, ch.Event)
		}
		t.rows = append(t.rows, eventRow(ch.Event, o.form, c.Now(), true))
		c.printTable(c.Out, t, "", false)
		return nil
	}})
}

func (c *cli) printEvents(page []v1.Event, o eventsOptions) error {
	if o.form == formJSON || o.form == formYAML {
		if page == nil {
			page = []v1.Event{}
		}
		return c.printValue(o.form, wire.Events{Items: page})
	}
	if len(page) == 0 {
		c.notef("No events.\n")
		return nil
	}
	t := newEventTable(o.form)
	for i := range page {
		t.rows = append(t.rows, eventRow(&page[i], o.form, c.Now(), false))
	}
	c.printTable(c.Out, t, "", !o.noHeader)
	return nil
}

func newEventTable(form string) *table {
	if form == formWide {
		return &table{header: []string{"TIME", "TYPE", "REASON", "OBJECT", "ACTOR", "MESSAGE"}}
	}
	return &table{header: []string{"WHEN", "TYPE", "REASON", "OBJECT", "MESSAGE"}}
}

// eventRow is an event in a table. In a stream an age would soon be wrong, so that the time of the day is shown.
func eventRow(e *v1.Event, form string, now time.Time, stream bool) []string {
	object := ""
	if e.Key.Name != "" {
		object = display(e.Key)
	}
	if form == formWide {
		return []string{e.Time.In(now.Location()).Format(time.RFC3339), string(e.Type), e.Reason, object, e.Actor, e.Message}
	}
	when := ago(now, e.Time)
	if stream {
		when = e.Time.In(now.Location()).Format(time.TimeOnly)
	}
	return []string{when, string(e.Type), e.Reason, object, e.Message}
}
