package onboard

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// What is said of containers. We run none, but their files tell how the program is meant to be run.

type composeFile struct {
	Services map[string]composeService `json:"services"`
}

type composeService struct {
	Image       string          `json:"image"`
	Build       json.RawMessage `json:"build"`
	Command     json.RawMessage `json:"command"`
	Ports       []any           `json:"ports"`
	Expose      []any           `json:"expose"`
	Environment json.RawMessage `json:"environment"`
	EnvFile     json.RawMessage `json:"env_file"`
	Healthcheck struct {
		Test json.RawMessage `json:"test"`
	} `json:"healthcheck"`
}

// compose takes the services that a compose file builds from this folder, and says what else it wants.
func (l *looker) compose() []Candidate {
	name, ok := l.folder.first("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
	if !ok {
		return nil
	}
	text, ok := l.folder.text(name)
	var file composeFile
	if err := yaml.Unmarshal([]byte(text), &file); !ok || err != nil {
		l.warn("%s cannot be read", name)
		return nil
	}
	var own []Candidate
	for _, service := range sortedKeys(file.Services) {
		s := file.Services[service]
		if len(s.Build) == 0 {
			l.warn("%s also wants %s (%s): Supervisor runs no containers; install it, or give its address in the environment", name, service, s.Image)
			continue
		}
		c := Candidate{Kind: "compose", Title: "compose file", Name: service, Confidence: 74}
		if c.Command = words(s.Command); c.Command != "" {
			c.Command = l.inVenv(c.Command)
			c.because("command", 80, name, "the command of the service %s", service)
		}
		for key, value := range composeEnv(s.Environment) {
			c.setEnv(key, value)
			c.because("env", 75, name, "the service %s sets %s", service, key)
		}
		for _, f := range wordList(s.EnvFile) {
			c.EnvFiles = append(c.EnvFiles, f)
			c.because("env_file", 80, name, "the service %s reads this file", service)
		}
		l.commandPort(&c, name)
		for _, p := range append(s.Ports, s.Expose...) {
			if port := containerPort(fmt.Sprint(p)); port > 0 && c.Port == 0 {
				c.Serves, c.Port = true, port
				c.because("port", 80, name, "the service %s listens on port %d", service, port)
			}
		}
		if m := healthURL.FindStringSubmatch(string(s.Healthcheck.Test)); m != nil {
			c.Health = m[1]
			c.because("probe", 85, name, "its health check asks for %s", m[1])
		}
		own = append(own, c)
	}
	var out []Candidate
	for _, c := range own {
		if c.Command != "" {
			out = append(out, c)
		} else {
			l.hints = append(l.hints, c)
		}
	}
	if docker, ok := l.program("docker"); ok {
		c := Candidate{Kind: "docker", Title: "containers", Command: docker + " compose up --no-color --abort-on-container-exit", Confidence: 35, StopSignal: "SIGINT", SlowStart: true}
		c.because("command", 50, name, "Docker runs all services of the file in the foreground")
		if len(own) > 0 {
			c.Serves, c.Port = own[0].Serves, own[0].Port
		}
		out = append(out, c)
	}
	return out
}

var (
	healthURL = regexp.MustCompile(`https?://[^/"'\s\\]+(/[\w/.-]*)`)
	portSpec  = regexp.MustCompile(`(\d{2,5})(?:/tcp)?$`)
)

func containerPort(spec string) int {
	if m := portSpec.FindStringSubmatch(spec); m != nil {
		return portNumber(m[1])
	}
	return 0
}

// words is a command as YAML writes it: a line, or a list.
func words(raw json.RawMessage) string {
	var line string
	if json.Unmarshal(raw, &line) == nil {
		return strings.TrimSpace(line)
	}
	list := wordList(raw)
	for i, w := range list {
		list[i] = shellWord(w)
	}
	return strings.Join(list, " ")
}

func wordList(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

func composeEnv(raw json.RawMessage) map[string]string {
	out := map[string]string{}
	var byName map[string]any
	if json.Unmarshal(raw, &byName) == nil {
		for k, v := range byName {
			if v != nil {
				out[k] = fmt.Sprint(v)
			}
		}
		return out
	}
	for _, kv := range wordList(raw) {
		if k, v, ok := strings.Cut(kv, "="); ok {
			out[k] = v
		}
	}
	return out
}

// dockerfile takes what the image would run.
func (l *looker) dockerfile() []Candidate {
	name, ok := l.folder.first("Dockerfile", "Containerfile", "docker/Dockerfile")
	if !ok {
		return nil
	}
	text, ok := l.folder.text(name)
	if !ok {
		return nil
	}
	c := Candidate{Kind: "dockerfile", Title: "Dockerfile", Confidence: 60}
	workdir, entry, command := "/", "", ""
	entryLine, number := 0, 0
	for line := range strings.SplitSeq(continued.ReplaceAllString(text, " "), "\n") {
		number++
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch strings.ToUpper(word) {
		case "FROM":
			workdir, entry, command = "/", "", "" // only the last stage is what runs
		case "WORKDIR":
			workdir = path.Join(workdir, rest)
		case "ENTRYPOINT":
			entry, entryLine = execForm(rest), number
		case "CMD":
			command, entryLine = execForm(rest), number
		case "EXPOSE":
			if port := containerPort(strings.TrimSpace(rest)); port > 0 && c.Port == 0 {
				c.Serves, c.Port = true, port
				c.because("port", 75, at(name, number), "the image exposes port %d", port)
			}
		}
	}
	if c.Command = strings.TrimSpace(entry + " " + command); c.Command == "" {
		return nil
	}
	// Paths of the image are those of the project, below its working folder.
	if workdir != "/" {
		c.Command = strings.ReplaceAll(c.Command, workdir+"/", "./")
	}
	c.Command = l.inVenv(c.Command)
	c.because("command", 70, at(name, entryLine), "it is what the image runs")
	if usesPort(c.Command) || optionPort.MatchString(c.Command) {
		port := c.Port
		l.commandPort(&c, name)
		if c.Port == 0 {
			c.Port = port
		}
	}
	if strings.HasPrefix(c.Command, "/") || strings.Contains(c.Command, "nginx") {
		c.Confidence -= 30 // made for the inside of the image
	}
	return []Candidate{c}
}

func execForm(text string) string {
	if strings.HasPrefix(text, "[") {
		return words(json.RawMessage(text))
	}
	return text
}
