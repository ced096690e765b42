package wire

// Templates are manifests to begin with.
type Templates struct {
	Items []Template `json:"items"`
}

// Template is one of them.
type Template struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"` // Service or CronJob
	Title string `json:"title"`
	// About is a sentence or two.
	About string `json:"about"`
	// Text is the YAML. The object is named like the template.
	Text string `json:"text"`
}
