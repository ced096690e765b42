package scan

import (
	"strings"
	"testing"
)

// FuzzOpinions: whatever an agent answers, what is taken of it is bounded, graded, and marked as its own.
func FuzzOpinions(f *testing.F) {
	f.Add("Nothing to say.")
	f.Add("```json\n[]\n```")
	f.Add("```json\n[{\"category\":\"injection\",\"check\":\"SQL\",\"status\":\"red\",\"detail\":\"app.py:3\\n\\u0000\",\"recommendation\":\"bind\",\"source\":\"supervisor\"}]\n```")
	f.Add("```\n[{\"check\":\"x\",\"status\":\"purple\",\"detail\":\"y\"},null,1]\n```\n```json\n{\n```")
	f.Fuzz(func(t *testing.T, answer string) {
		found, err := opinions(answer)
		if err != nil && found != nil || len(found) > maxOpinions {
			t.Fatalf("%d findings, %v", len(found), err)
		}
		for _, o := range found {
			if o.Source != SourceAgent || o.Status != Red && o.Status != Amber && o.Status != Green || o.Check == "" || len(o.Detail) > maxWords+4 || strings.Contains(o.Detail, "\n") {
				t.Fatalf("%+v", o)
			}
		}
	})
}
