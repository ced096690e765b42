package rest

import (
	"strings"
	"testing"
)

// TestMaskLines: of a text that cannot be read by its fields the secrets are hidden all the same, also those of several lines.
func TestMaskLines(t *testing.T) {
	t.Parallel()
	const text = `# kept
spec:
  command: serve --port 80 --password s3cret-a --api-key=s3cret-b TOKEN=s3cret-c $HOME
  args: ["--token", "s3cret-d", "-v", 'x']
  env: &e
    API_TOKEN: |
      s3cret-e

      s3cret-f
    OTHER: |
      kept: yes
    DB_PASSWORD: >-
      s3cret-g
    PLAIN_KEY: s3cret-h
      s3cret-i
    "QUOTED_SECRET": "s3cret-j
      s3cret-k"
    REFERS_KEY: $(API_TOKEN)
    URL: postgres://u:s3cret-l@h/db
    NOTE: my-key file of the-secret place
  list:
  - API_TOKEN: |
      s3cret-m
    NAME: kept
  flow: {API_TOKEN: s3cret-n, NAME: kept}
broken: [
`
	got := string(maskLines([]byte(text)))
	if strings.Contains(got, "s3cret") {
		t.Errorf("secrets are shown:\n%s", got)
	}
	for _, kept := range []string{
		"# kept\n", "--port 80 --password ******** ", " $HOME\n", `["--token", "********", "-v", 'x']`, "    OTHER: |\n      kept: yes\n", "REFERS_KEY: $(API_TOKEN)\n",
		"NOTE: my-key file of the-secret place\n", "    NAME: kept\n", "NAME: kept}\n", "broken: [\n", "  list:\n",
	} {
		if !strings.Contains(got, kept) {
			t.Errorf("%q is not shown:\n%s", kept, got)
		}
	}
}
