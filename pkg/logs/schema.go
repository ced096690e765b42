package logs

import (
	"fmt"

	"github.com/go-gormigrate/gormigrate/v2"
	"gorm.io/gorm"
)

// The tables beside the segments. Rows themselves are written and read with plain SQL: see segment.go.

// metaRow names the database.
type metaRow struct {
	ID    int    `gorm:"primaryKey;autoIncrement:false"` // always 1
	Epoch uint32 `gorm:"not null"`
	// LastID is the highest row ID that was ever given, and DroppedID the highest that retention has removed.
	LastID    int64 `gorm:"not null"`
	DroppedID int64 `gorm:"not null"`
}

func (metaRow) TableName() string { return "meta" }

// serviceRow gives a service the number by which rows name it.
type serviceRow struct {
	ID   int64  `gorm:"primaryKey"`
	Name string `gorm:"not null;uniqueIndex"`
}

func (serviceRow) TableName() string { return "services" }

// streamRow is one output of one replica, with what is counted and not yet marked.
type streamRow struct {
	ID        int64  `gorm:"primaryKey"`
	ServiceID int64  `gorm:"not null;uniqueIndex:stream,priority:1"`
	Replica   int    `gorm:"not null;uniqueIndex:stream,priority:2"`
	Name      string `gorm:"not null;uniqueIndex:stream,priority:3"`

	SkippedLines, SkippedBytes, SkippedFrom, SkippedTo int64 `gorm:"not null;default:0"`
	SkippedInode                                       int64 `gorm:"not null;default:0"`
	SkippedWhy                                         int   `gorm:"not null;default:0"`
}

func (streamRow) TableName() string { return "streams" }

// fileRow is how far a file has been read. Rows are in the order in which the files began.
type fileRow struct {
	ID       int64 `gorm:"primaryKey"`
	StreamID int64 `gorm:"not null;index"`
	Dev      int64 `gorm:"not null"`
	Inode    int64 `gorm:"not null"`
	Head     []byte
	Offset   int64 `gorm:"not null"`
}

func (fileRow) TableName() string { return "files" }

// segmentRow describes the tables rows_ID and fts_ID.
type segmentRow struct {
	ID      int64 `gorm:"primaryKey;autoIncrement:false"`
	FirstID int64 `gorm:"not null"`
	LastID  int64 `gorm:"not null"` // FirstID-1 while it is empty
	Bytes   int64 `gorm:"not null"` // about
	// Indexed is the last row in the full-text index; FTS is false where there is none.
	Indexed int64 `gorm:"not null"`
	FTS     bool  `gorm:"column:fts;not null"`
	Created int64 `gorm:"not null"` // Unix seconds
}

func (segmentRow) TableName() string { return "segments" }

// zoneRow bounds the times of some thousand rows, so that a time is found without an index of times.
type zoneRow struct {
	FirstID   int64 `gorm:"primaryKey;autoIncrement:false"`
	SegmentID int64 `gorm:"not null;index"`
	LastID    int64 `gorm:"not null"`
	MinAt     int64 `gorm:"not null"` // Unix nanoseconds
	MaxAt     int64 `gorm:"not null"`
}

func (zoneRow) TableName() string { return "zones" }

func migrate(db *gorm.DB) error {
	m := gormigrate.New(db, &gormigrate.Options{TableName: "migrations", IDColumnName: "id", IDColumnSize: 64, UseTransaction: true, ValidateUnknownMigrations: true},
		[]*gormigrate.Migration{{
			ID: "0001_segments",
			Migrate: func(tx *gorm.DB) error {
				return tx.AutoMigrate(&metaRow{}, &serviceRow{}, &streamRow{}, &fileRow{}, &segmentRow{}, &zoneRow{})
			},
		}})
	if err := m.Migrate(); err != nil {
		return fmt.Errorf("bring the tables of the log index up to date: %w", err)
	}
	return nil
}
