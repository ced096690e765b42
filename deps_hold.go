//go:build depshold

package hold

import (
	_ "github.com/agext/levenshtein"
	_ "github.com/caarlos0/env/v11"
	_ "github.com/coreos/go-systemd/v22/daemon"
	_ "github.com/fsnotify/fsnotify"
	_ "github.com/getkin/kin-openapi/openapi3"
	_ "github.com/gin-gonic/gin"
	_ "github.com/go-gormigrate/gormigrate/v2"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/invopop/jsonschema"
	_ "github.com/joho/godotenv"
	_ "github.com/mattn/go-sqlite3"
	_ "github.com/netresearch/go-cron"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/prometheus/procfs"
	_ "github.com/santhosh-tekuri/jsonschema/v6"
	_ "github.com/spf13/cobra"
	_ "go.uber.org/goleak"
	_ "go.yaml.in/yaml/v3"
	_ "golang.org/x/sys/unix"
	_ "gopkg.in/natefinch/lumberjack.v2"
	_ "gorm.io/driver/sqlite"
	_ "gorm.io/gorm"
	_ "k8s.io/client-go/util/workqueue"
	_ "mvdan.cc/sh/v3/syntax"
	_ "pgregory.net/rapid"
	_ "sigs.k8s.io/yaml"
)
