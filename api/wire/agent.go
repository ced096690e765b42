package wire

// Agent is a coding agent that is known on this machine.
type Agent struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Licence   string `json:"licence,omitempty"`
	Installed bool   `json:"installed"`
	Version   string `json:"version"`
	Path      string `json:"path"`
	// Ready is true when it can be used; Reason says what is missing.
	Ready  bool   `json:"ready"`
	Reason string `json:"reason"`
	// Default is true for the one that is taken when nobody names one.
	Default bool `json:"default"`
	// Install is what people type to install it.
	Install string `json:"install,omitempty"`
	// Models are the names that can be given besides the models' own.
	Models []string `json:"models"`
}
