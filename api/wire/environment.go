package wire

// Environment is what a service's next process is given. A change of it restarts the service, so that it is what a process
// that is up to date has, but for variables of the machine.
type Environment struct {
	// Variables are sorted by name.
	Variables []Variable `json:"variables"`
	// Argv is what is executed, in Dir; Shell is true when /bin/sh reads it.
	Argv  []string `json:"argv"`
	Dir   string   `json:"dir"`
	Shell bool     `json:"shell"`
	User  string   `json:"user,omitempty"`
}

// Variable is one variable of an environment.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Origin is base, supervisor, manifest, command, or the path of a dotenv file.
	Origin string `json:"origin"`
	// Masked is true when the value is a secret and is not shown.
	Masked bool `json:"masked,omitempty"`
}
