package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// The shortest allowed times. Below them the work itself would take most of the time.
const (
	minRescan  = 100 * time.Millisecond
	minMonitor = 100 * time.Millisecond
	minAutofix = time.Second
)

func rescanField(s *Settings) *time.Duration  { return &s.RescanInterval }
func monitorField(s *Settings) *time.Duration { return &s.MonitorInterval }
func autofixField(s *Settings) *time.Duration { return &s.AutofixTimeout }
func restartField(s *Settings) *time.Duration { return &s.RestartDelay }

// setter parses a text into a field of s.
type setter func(s *Settings, text string) error

func integer(field func(*Settings) *int, what string, least, most int) setter {
	return func(s *Settings, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return fmt.Errorf("is not %s; write a whole number from %d to %d", what, least, most)
		}
		*field(s) = n
		return nil
	}
}

func duration(field func(*Settings) *time.Duration, least time.Duration) setter {
	return func(s *Settings, text string) error {
		d, err := v1.ParseDuration(text)
		if err != nil {
			return errors.New("is not a duration; write a number of seconds, or a number with a unit such as 500ms, 5s, 2m, 1h")
		}
		if d < least {
			return fmt.Errorf("is too short; write %s or more", v1.Duration(least))
		}
		*field(s) = d
		return nil
	}
}

func size(field func(*Settings) *int64) setter {
	return func(s *Settings, text string) error {
		n, err := v1.ParseByteSize(text)
		if err != nil || n < 1 {
			return errors.New("is not a size; write bytes, or a number with Ki, Mi, Gi (powers of 1024) or k, M, G (powers of 1000)")
		}
		*field(s) = int64(n)
		return nil
	}
}

func boolean(field func(*Settings) *bool) setter {
	return func(s *Settings, text string) error {
		switch strings.ToLower(text) {
		case "true", "yes", "on", "1":
			*field(s) = true
		case "false", "no", "off", "0":
			*field(s) = false
		default:
			return errors.New("is neither true nor false; write true, yes, on, 1 or false, no, off, 0")
		}
		return nil
	}
}

func oneOf(field func(*Settings) *string, allowed ...string) setter {
	return func(s *Settings, text string) error {
		for _, a := range allowed {
			if strings.EqualFold(text, a) {
				*field(s) = a
				return nil
			}
		}
		return fmt.Errorf("is not known; write %s", strings.Join(allowed, " or "))
	}
}

// absolute takes a path that Load has already expanded.
func absolute(field func(*Settings) *string) setter {
	return func(s *Settings, text string) error {
		if !filepath.IsAbs(text) {
			return errors.New("is not an absolute path; write one that begins with / or ~/")
		}
		*field(s) = filepath.Clean(text)
		return nil
	}
}

func setKeeper(s *Settings, text string) error {
	if text == KeeperExternal {
		s.Keeper = text
		return nil
	}
	if !filepath.IsAbs(text) {
		return errors.New("is not an absolute path; write that of the program supervisor-keeper, or " + KeeperExternal)
	}
	s.Keeper = filepath.Clean(text)
	return nil
}

func host(field func(*Settings) *string) setter {
	return func(s *Settings, text string) error {
		bare := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
		notIP := net.ParseIP(bare) == nil
		if bare == "" || (notIP && strings.ContainsAny(bare, " \t/@?#[]:")) {
			return errors.New("is not a host; write a name or an address, without scheme and port")
		}
		*field(s) = bare
		return nil
	}
}

func setLogLevel(s *Settings, text string) error {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(text, l.String()) || (l == slog.LevelWarn && strings.EqualFold(text, "warning")) {
			s.LogLevel = l
			return nil
		}
	}
	return errors.New("is not a level; write debug, info, warn or error")
}

func setCaddyAdmin(s *Settings, text string) error {
	if path, ok := strings.CutPrefix(text, "unix/"); ok && filepath.IsAbs(path) {
		s.CaddyAdminURL = text
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("is not the address of an admin API; write it like http://localhost:2019 or unix//run/caddy/admin.sock")
	}
	s.CaddyAdminURL = strings.TrimSuffix(text, "/")
	return nil
}

// maskURL hides the password of a URL, whether or not the rest of it can be understood.
func maskURL(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return "(not shown)"
}

// setRetention reads days, or a duration with a unit.
func setRetention(s *Settings, text string) error {
	if days, err := strconv.ParseFloat(text, 64); err == nil {
		text = strconv.FormatFloat(days, 'f', -1, 64) + "d"
	}
	d, err := v1.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("is not a time to keep lines; write a number of days, or a number with a unit such as 12h or 7d")
	}
	s.LogRetention = d
	return nil
}
