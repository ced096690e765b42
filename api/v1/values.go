package v1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Duration is a time span. In YAML it is a string such as "5s", "2m" or "7d", or a bare number of seconds.
type Duration time.Duration

// D returns a pointer to d, for optional fields.
func D(d time.Duration) *Duration { v := Duration(d); return &v }

// Or returns the duration, or def when d is nil.
func (d *Duration) Or(def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return time.Duration(*d)
}

// ParseDuration reads "5s", "1h30m", "7d" or a bare number of seconds.
func ParseDuration(s string) (time.Duration, error) {
	t := strings.TrimSpace(s)
	if n, err := strconv.ParseFloat(t, 64); err == nil {
		return seconds(n, s)
	}
	if days, ok := strings.CutSuffix(t, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil {
			return seconds(n*86400, s)
		}
	}
	d, err := time.ParseDuration(t)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration; write a number with a unit such as 500ms, 5s, 2m, 1h or 7d", s)
	}
	return d, nil
}

func seconds(n float64, s string) (time.Duration, error) {
	if n < 0 || math.IsNaN(n) || n > float64(math.MaxInt64)/float64(time.Second) {
		return 0, fmt.Errorf("%q is not a duration; it must not be negative nor over 290 years", s)
	}
	return time.Duration(n * float64(time.Second)), nil
}

// UnmarshalJSON accepts a string with a unit or a bare number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("read duration: %w", err)
		}
	}
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes the shortest string that reads back as the same duration.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// String renders "1h30m", "5s": like time.Duration without its empty parts.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Command is a line to be parsed, or an argv that is taken as it stands. In YAML it is a string or a list of strings.
type Command struct {
	Line string
	Argv []string
}

// IsZero reports whether there is no command.
func (c Command) IsZero() bool { return strings.TrimSpace(c.Line) == "" && len(c.Argv) == 0 }

// String renders the command for people: the line, or the argv joined with quotes where they are needed.
func (c Command) String() string {
	if len(c.Argv) == 0 {
		return c.Line
	}
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		if w == "" || strings.ContainsAny(w, " \t\n\"'\\$`|&;<>()*?[]{}~#!") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

// UnmarshalJSON accepts a string or a list of strings.
func (c *Command) UnmarshalJSON(b []byte) error {
	*c = Command{}
	if len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &c.Argv); err != nil {
			return fmt.Errorf("a command list holds strings only; quote numbers and true/false")
		}
		return nil
	}
	if err := json.Unmarshal(b, &c.Line); err != nil {
		return fmt.Errorf("a command is a string, or a list of strings")
	}
	return nil
}

// MarshalJSON writes the form that was read.
func (c Command) MarshalJSON() ([]byte, error) {
	if len(c.Argv) > 0 {
		return json.Marshal(c.Argv)
	}
	return json.Marshal(c.Line)
}

// Port is a TCP port, or auto: one that is chosen once and remembered.
type Port struct {
	Number int
	Auto   bool
}

// IsZero reports whether the service has no port.
func (p Port) IsZero() bool { return p.Number == 0 && !p.Auto }

// UnmarshalJSON accepts a number, a number in quotes, or auto.
func (p *Port) UnmarshalJSON(b []byte) error {
	*p = Port{}
	s := strings.Trim(string(b), `"`)
	switch s {
	case "auto":
		p.Auto = true
		return nil
	case "null":
		return nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%s is not a port; write a number from 1 to 65535, or auto", b)
	}
	p.Number = n
	return nil
}

// MarshalJSON writes a number or "auto".
func (p Port) MarshalJSON() ([]byte, error) {
	if p.Auto {
		return []byte(`"auto"`), nil
	}
	return []byte(strconv.Itoa(p.Number)), nil
}

// EnvFiles is a list of dotenv files. In YAML it is a path, or a list of paths and {path, optional}.
type EnvFiles []EnvFile

// UnmarshalJSON accepts one path, one {path, optional}, or a list of these.
func (f *EnvFiles) UnmarshalJSON(b []byte) error {
	*f = nil
	b = bytes.TrimSpace(b)
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	if len(b) > 0 && b[0] != '[' {
		b = append(append([]byte{'['}, b...), ']')
	}
	var items []json.RawMessage
	if err := json.Unmarshal(b, &items); err != nil {
		return fmt.Errorf("envFile is a path, or a list of paths")
	}
	for _, it := range items {
		var e EnvFile
		if len(it) > 0 && it[0] == '{' {
			d := json.NewDecoder(bytes.NewReader(it))
			d.DisallowUnknownFields()
			if err := d.Decode(&e); err != nil {
				return fmt.Errorf("an envFile entry is a path, or {path, optional}: %w", err)
			}
		} else if err := json.Unmarshal(it, &e.Path); err != nil {
			return fmt.Errorf("an envFile entry is a path, or {path, optional}")
		}
		*f = append(*f, e)
	}
	return nil
}

// MarshalJSON writes paths where nothing else is said.
func (f EnvFiles) MarshalJSON() ([]byte, error) {
	out := make([]any, len(f))
	for i, e := range f {
		out[i] = e.Path
		if e.Optional {
			out[i] = e
		}
	}
	return json.Marshal(out)
}

// ByteSize is a number of bytes. In YAML it is a number, or a string such as "512Mi" (2^20) or "10M" (10^6).
type ByteSize int64

var byteUnits = []struct {
	suffix string
	factor float64
}{
	{"Ki", 1 << 10},
	{"Mi", 1 << 20},
	{"Gi", 1 << 30},
	{"Ti", 1 << 40},
	{"k", 1e3},
	{"K", 1e3},
	{"M", 1e6},
	{"G", 1e9},
	{"T", 1e12},
	{"", 1},
}

// ParseByteSize reads "512Mi", "10M" or a bare number of bytes. A trailing B is allowed.
func ParseByteSize(s string) (ByteSize, error) {
	t := strings.TrimSuffix(strings.TrimSpace(s), "B")
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(t, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil || n < 0 || math.IsNaN(n) || n*u.factor > math.MaxInt64/2 {
			break
		}
		return ByteSize(n * u.factor), nil
	}
	return 0, fmt.Errorf("%q is not a size; write bytes, or a number with Ki, Mi, Gi (powers of 1024) or k, M, G (powers of 1000)", s)
}

// UnmarshalJSON accepts a number of bytes or a string with a unit.
func (z *ByteSize) UnmarshalJSON(b []byte) error {
	v, err := ParseByteSize(strings.Trim(string(b), `"`))
	if err != nil {
		return err
	}
	*z = v
	return nil
}

// MarshalJSON writes the largest binary unit that divides the size.
func (z ByteSize) MarshalJSON() ([]byte, error) { return json.Marshal(z.String()) }

// String renders "512Mi".
func (z ByteSize) String() string {
	for _, u := range []struct {
		suffix string
		factor ByteSize
	}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}} {
		if z != 0 && z%u.factor == 0 {
			return strconv.FormatInt(int64(z/u.factor), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(z), 10)
}

// CPU is a number of cores in thousandths. In YAML it is a number, or a string such as "1.5" or "500m".
type CPU int64

// ParseCPU reads "1.5" or "500m".
func ParseCPU(s string) (CPU, error) {
	t, factor := strings.TrimSpace(s), 1000.0
	if m, ok := strings.CutSuffix(t, "m"); ok {
		t, factor = m, 1
	}
	n, err := strconv.ParseFloat(t, 64)
	if err != nil || n < 0 || math.IsNaN(n) || n*factor > 1e9 {
		return 0, fmt.Errorf("%q is not a number of cores; write it like \"1.5\" or \"500m\"", s)
	}
	return CPU(math.Round(n * factor)), nil
}

// UnmarshalJSON accepts a number or a string.
func (c *CPU) UnmarshalJSON(b []byte) error {
	v, err := ParseCPU(strings.Trim(string(b), `"`))
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// MarshalJSON writes cores as a string.
func (c CPU) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// String renders "1.5".
func (c CPU) String() string { return strconv.FormatFloat(float64(c)/1000, 'f', -1, 64) }
