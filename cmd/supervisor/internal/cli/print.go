package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// The forms of output.
const (
	formTable = ""
	formWide  = "wide"
	formYAML  = "yaml"
	formJSON  = "json"
	formName  = "name"
)

// formFlag adds -o to a command, with the forms that it knows beside the one for people.
func formFlag(cmd *cobra.Command, form *string, allowed ...string) {
	cmd.Flags().StringVarP(form, "output", "o", "", "output as "+strings.Join(allowed, ", "))
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return allowed, cobra.ShellCompDirectiveNoFileComp
	}
	// The error would say that the flag does not exist or is registered twice.
	_ = cmd.RegisterFlagCompletionFunc("output", complete)
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if check != nil {
			if err := check(cmd, args); err != nil {
				return err
			}
		}
		for _, a := range append(allowed, formTable) {
			if *form == a {
				return nil
			}
		}
		return usagef("-o %s is not known; write %s", *form, strings.Join(allowed, ", "))
	}
}

// printValue writes v as JSON or YAML.
func (c *cli) printValue(form string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil && form == formYAML {
		if text, err = yaml.JSONToYAML(text); err == nil {
			_, err = c.Out.Write(text)
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", form, err)
	}
	c.printf("%s\n", text)
	return nil
}

// printLine writes v in one line of JSON, or as a YAML document, for streams.
func (c *cli) printLine(form string, v any) error {
	if form == formYAML {
		c.printf("---\n")
		return c.printValue(form, v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	c.printf("%s\n", text)
	return nil
}

// table is aligned columns. Columns named STATUS and TYPE have colours.
type table struct {
	header []string
	rows   [][]string
	// widths are kept between prints, so that rows of a watch stand below the first ones.
	widths []int
}

// gap is between two columns.
const gap = "   "

// printTable writes the rows, each below indent, and forgets them. The header is written when it is wanted.
func (c *cli) printTable(w io.Writer, t *table, indent string, header bool) {
	if t.widths == nil {
		t.widths = make([]int, len(t.header))
		for i, h := range t.header {
			t.widths[i] = len(h)
		}
	}
	for _, row := range t.rows {
		for i := range row {
			row[i] = plain(row[i])
			if row[i] == "" && i < len(row)-1 {
				row[i] = "-"
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	line := func(cells []string, painted bool) {
		var b strings.Builder
		b.WriteString(indent)
		for i, cell := range cells {
			text := cell
			if painted && (t.header[i] == "STATUS" || t.header[i] == "TYPE") {
				text = c.paint(colorOf(cell), cell)
			}
			b.WriteString(text)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)) + gap)
			}
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	if header {
		line(t.header, false)
	}
	for _, row := range t.rows {
		line(row, true)
	}
	t.rows = nil
}
