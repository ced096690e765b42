package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/desired"
	"github.com/philiporange/supervisor/pkg/manifest"
	"github.com/philiporange/supervisor/pkg/settings"
)

// validate reads a folder of manifests, or one file, as the daemon would on its first start: with what is wrong between
// files too, such as two of one name.
func validate(path string) ([]v1.Key, []v1.Problem, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("validate: %w", err)
	}
	var listing manifest.Listing
	place := func(file string) string { return filepath.Join(path, file) }
	if info.IsDir() {
		listing = manifest.List(path)
	} else {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, fmt.Errorf("validate: %w", err)
		}
		docs, problems := manifest.Decode(path, text)
		listing = manifest.Listing{Complete: true, Files: []*manifest.File{{Path: path, Docs: docs, Problems: problems}}}
		place = func(string) string { return path }
	}
	ctx := context.Background()
	set := desired.New(ctx, forgetful{}, domains(), slog.New(slog.DiscardHandler))
	set.Replace(ctx, listing)
	var keys []v1.Key
	for _, o := range set.List("") {
		keys = append(keys, o.Key())
	}
	problems := set.Problems()
	for i := range problems {
		problems[i].File = place(problems[i].File)
	}
	return keys, problems, nil
}

// domains are those of the settings here; where these cannot be read, that is not what was asked about.
func domains() desired.Domains {
	if sources, err := settings.System(nil); err == nil {
		if s, err := settings.Load(sources); err == nil {
			domain, _ := s.CaddyDomainSite()
			return desired.Domains{Domain: domain, Base: s.CaddyBaseHost()}
		}
	}
	return desired.Domains{Domain: "CADDY_DOMAIN", Base: "CADDY_BASE_DOMAIN"}
}

// forgetful is a store of last good manifests that has and keeps none.
type forgetful struct{}

func (forgetful) LoadLastGood(context.Context) ([]desired.LastGood, error) { return nil, nil }
func (forgetful) SaveLastGood(context.Context, desired.LastGood) error     { return nil }
func (forgetful) DeleteLastGood(context.Context, v1.Key) error             { return nil }
