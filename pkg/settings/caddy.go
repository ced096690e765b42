package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The values of CADDY_MODE.
const (
	CaddyAuto    = "auto"    // file where the Caddyfile imports ours, else api
	CaddyFile    = "file"    // a Caddyfile that people import into theirs
	CaddyAPI     = "api"     // our routes in the running configuration
	CaddyManaged = "managed" // Caddy is one of our own services
	CaddyOff     = "off"
)

const (
	caddyFileName    = "CADDY_SUPERVISOR_FILE"
	caddyConfigName  = "CADDY_CONFIG_FILE"
	caddyProgramName = "CADDY_PROGRAM"
)

// noDashboard and allAddresses are said where nothing is.
const (
	noDashboard  = "off"
	allAddresses = "all"
)

// siteName is a host name as it can be written into a Caddyfile: a label, or labels joined by dots.
var siteName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

func closeDelayField(s *Settings) *time.Duration { return &s.CaddyStreamCloseDelay }

// caddyDefinitions are the rows about Caddy.
func caddyDefinitions() []definition {
	return []definition{
		{
			name: "CADDY_MODE", def: CaddyAuto, help: "how routes reach Caddy: auto, file, api, managed (Supervisor runs Caddy itself) or off",
			set: oneOf(func(s *Settings) *string { return &s.CaddyMode }, CaddyAuto, CaddyFile, CaddyAPI, CaddyManaged, CaddyOff),
		},
		{
			name: "CADDY_ADMIN_URL", def: "http://localhost:2019", help: "Caddy's admin API: http://HOST:PORT or unix//PATH",
			set: setCaddyAdmin, mask: maskURL,
		},
		{
			name: "CADDY_DOMAIN", def: "h.ph1l.uk:60443", help: "site below which services have a path",
			set: domain(func(s *Settings) *string { return &s.CaddyDomain }),
		},
		{
			name: "CADDY_BASE_DOMAIN", def: "ph1l.uk", help: "domain below which services have a subdomain",
			set: domain(func(s *Settings) *string { return &s.CaddyBaseDomain }),
		},
		{
			name: "CADDY_PORT", def: "60443", help: "port of the subdomains' sites",
			set: integer(func(s *Settings) *int { return &s.CaddyPort }, "a port", 1, 65535),
		},
		{
			name: "CADDY_HTTP_PORT", def: "80", help: "port of the sites without TLS",
			set: integer(func(s *Settings) *int { return &s.CaddyHTTPPort }, "a port", 1, 65535),
		},
		{
			name: "CADDY_BIND", def: allAddresses, help: "addresses at which Caddy listens for our sites, separated by commas, or all",
			set: setCaddyBind,
		},
		{
			name: "CADDY_DASHBOARD", def: noDashboard, help: "subdomain or host at which Caddy serves Supervisor itself, which then asks for its token",
			set: setCaddyDashboard,
		},
		{
			name: "CADDY_STREAM_CLOSE_DELAY", def: "24h", help: "how long WebSockets go on after a change of Caddy's configuration",
			set: duration(closeDelayField, 0),
		},
		{
			name: caddyFileName, def: "/etc/caddy/supervisor.conf", help: "Caddyfile that is generated",
			set: absolute(func(s *Settings) *string { return &s.CaddyFile }),
		},
		{
			name: caddyConfigName, def: "/etc/caddy/Caddyfile", help: "Caddy's own Caddyfile, which may import the generated one",
			set: absolute(func(s *Settings) *string { return &s.CaddyConfigFile }),
		},
		{
			name: caddyProgramName, def: "(caddy beside the program, else on PATH)", help: "the Caddy that is run in managed mode",
			set: absolute(func(s *Settings) *string { return &s.CaddyProgram }),
		},
	}
}

// caddyProgram is the Caddy that lies beside us, else the one on PATH, else where it should be.
func (l *lookup) caddyProgram() string {
	beside := filepath.Join(filepath.Dir(l.src.Executable), "caddy")
	if _, err := exec.LookPath(beside); err == nil {
		return beside
	}
	if found, err := exec.LookPath("caddy"); err == nil {
		if abs, err := filepath.Abs(found); err == nil {
			return abs
		}
	}
	return beside
}

func setCaddyBind(s *Settings, text string) error {
	s.CaddyBind = nil
	if text == allAddresses {
		return nil
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		addr, err := netip.ParseAddr(word)
		if err != nil || addr.Zone() != "" {
			return fmt.Errorf("holds %.40q, which is not an IP address; write addresses such as 127.0.0.1,::1, or %s", word, allAddresses)
		}
		s.CaddyBind = append(s.CaddyBind, addr.String())
	}
	return nil
}

func setCaddyDashboard(s *Settings, text string) error {
	if text == noDashboard {
		s.CaddyDashboard = ""
		return nil
	}
	if text = strings.ToLower(text); !siteName.MatchString(text) || len(text) > 253 {
		return fmt.Errorf("is neither a subdomain nor a host; write one such as supervisor or supervisor.example.com, or %s", noDashboard)
	}
	s.CaddyDashboard = text
	return nil
}

// domain allows a port, as CADDY_DOMAIN has one.
func domain(field func(*Settings) *string) setter {
	return func(s *Settings, text string) error {
		text = strings.ToLower(text)
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			host, port = text, "443"
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || !siteName.MatchString(host) || len(host) > 253 {
			return errors.New("is not a domain; write it like example.com or example.com:8443, without scheme and path")
		}
		*field(s) = text
		return nil
	}
}

// CaddyDomainSite is CADDY_DOMAIN's host and port; without a port it has the one of the subdomains.
func (s *Settings) CaddyDomainSite() (host string, port int) {
	return splitSite(s.CaddyDomain, s.CaddyPort)
}

// CaddyBaseHost is CADDY_BASE_DOMAIN without a port.
func (s *Settings) CaddyBaseHost() string {
	host, _ := splitSite(s.CaddyBaseDomain, s.CaddyPort)
	return host
}

func splitSite(text string, port int) (string, int) {
	host, p, err := net.SplitHostPort(text)
	if err != nil {
		return text, port
	}
	if n, err := strconv.Atoi(p); err == nil {
		port = n
	}
	return host, port
}

// CaddyDir is the folder of the Caddy that is one of our own services.
func (s *Settings) CaddyDir() string { return filepath.Join(s.Dir, "caddy") }
