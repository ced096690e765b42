package status

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-gormigrate/gormigrate/v2"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/sqlite"
)

// The rows. Times are microseconds since 1970, so that they sort and compare as numbers.

type objectRow struct {
	ID       uint64 `gorm:"primaryKey;autoIncrement:false"`
	Kind     string
	Name     string
	Revision string
	Created  int64
	Updated  int64
}

func (objectRow) TableName() string { return "objects" }

type statusRow struct {
	Kind string `gorm:"primaryKey"`
	Name string `gorm:"primaryKey"`
	Data []byte
}

func (statusRow) TableName() string { return "statuses" }

type intentRow struct {
	Kind string `gorm:"primaryKey"`
	Name string `gorm:"primaryKey"`
	Data []byte
}

func (intentRow) TableName() string { return "intents" }

type portRow struct {
	Slot string `gorm:"primaryKey"`
	Port int
}

func (portRow) TableName() string { return "ports" }

type lastGoodRow struct {
	Kind     string `gorm:"primaryKey"`
	Name     string `gorm:"primaryKey"`
	File     string
	Revision string
	Data     []byte
}

func (lastGoodRow) TableName() string { return "last_good" }

type rolloutRow struct {
	Kind   string `gorm:"primaryKey"`
	Name   string `gorm:"primaryKey"`
	Number int    `gorm:"primaryKey;autoIncrement:false"`
	Data   []byte
}

func (rolloutRow) TableName() string { return "rollouts" }

type eventRow struct {
	ID      uint64 `gorm:"primaryKey;autoIncrement:false"`
	Time    int64
	Kind    string
	Name    string
	Type    string
	Reason  string
	Message string
	Actor   string
}

func (eventRow) TableName() string { return "events" }

func (r *eventRow) event() v1.Event {
	return v1.Event{
		ID: r.ID, Time: time.UnixMicro(r.Time), Key: v1.Key{Kind: r.Kind, Name: r.Name}, Type: v1.EventType(r.Type),
		Reason: r.Reason, Message: r.Message, Actor: r.Actor,
	}
}

func newEventRow(e *v1.Event) eventRow {
	return eventRow{
		ID: e.ID, Time: e.Time.UnixMicro(), Kind: e.Key.Kind, Name: e.Key.Name, Type: string(e.Type),
		Reason: e.Reason, Message: e.Message, Actor: e.Actor,
	}
}

func encode(what string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	return data, nil
}

// migrations is every step from an empty database to the present schema. A step that was released is never edited;
// each is plain SQL, because the rows above describe the present schema only.
func migrations() []*gormigrate.Migration {
	return []*gormigrate.Migration{
		sqlite.Step("0001-initial",
			`CREATE TABLE objects (
				id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, revision TEXT NOT NULL,
				created INTEGER NOT NULL, updated INTEGER NOT NULL, UNIQUE (kind, name))`,
			`CREATE TABLE statuses (kind TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID`,
			`CREATE TABLE intents (kind TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID`,
			`CREATE TABLE ports (slot TEXT NOT NULL PRIMARY KEY, port INTEGER NOT NULL) WITHOUT ROWID`,
			`CREATE TABLE last_good (
				kind TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, revision TEXT NOT NULL, data BLOB NOT NULL,
				PRIMARY KEY (kind, name))`,
			`CREATE TABLE events (
				id INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
				reason TEXT NOT NULL, message TEXT NOT NULL, actor TEXT NOT NULL)`,
			`CREATE INDEX events_object ON events (kind, name, id)`),
		sqlite.Step("0002-rollouts",
			`CREATE TABLE rollouts (
				kind TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, name, number))`),
	}
}
