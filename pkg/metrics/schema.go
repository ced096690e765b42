package metrics

import (
	"fmt"

	"github.com/go-gormigrate/gormigrate/v2"
	"gorm.io/gorm"
)

// tier is one table of samples of one resolution.
type tier struct {
	table string
	step  int64 // seconds that a row covers; 0 for raw samples
	keep  int64 // seconds after which rows are dropped
	chunk int64 // seconds that one transaction rolls up at most
}

const (
	minutes5 = 5 * 60
	hour     = 60 * 60
	day      = 24 * hour
)

// tiers go from the finest to the coarsest; each is rolled up from the one before it.
func tiers() [3]tier {
	return [3]tier{
		{table: "samples_raw", step: 0, keep: day},
		{table: "samples_5m", step: minutes5, keep: 7 * day, chunk: hour},
		{table: "samples_1h", step: hour, keep: 365 * day, chunk: day},
	}
}

// wholeOwner is the replica number of figures that are of all replicas of an owner together.
const wholeOwner = -1

// series names what a row of samples is about.
type series struct {
	ID      int64  `gorm:"primaryKey"`
	Owner   string `gorm:"not null;uniqueIndex:series_name,priority:1"`
	Replica int    `gorm:"not null;uniqueIndex:series_name,priority:2"`
}

func (series) TableName() string { return "series" }

// sample is a row of any tier. Its tables are clustered by series and time, so that a day of one service is read from a few
// neighbouring pages. Small integers keep a row at some 50 bytes.
type sample struct {
	SeriesID int64  `gorm:"primaryKey;autoIncrement:false"`
	At       int64  `gorm:"primaryKey;autoIncrement:false"` // Unix seconds; the start of the step
	N        int64  `gorm:"not null"`                       // raw samples in it
	CPU      int64  `gorm:"column:cpu;not null"`            // hundredths of a percent of a core, average
	CPUMax   int64  `gorm:"column:cpu_max;not null"`
	Memory   int64  `gorm:"not null"` // KiB, average
	MemMax   int64  `gorm:"not null"`
	Disk     *int64 // KiB, the last
	Files    *int64 // open files, average; NULL where we may not look
	Threads  int64  `gorm:"not null"` // average
	Procs    int64  `gorm:"not null"` // average
	// Bytes since the sample before, summed up; NULL where unknown.
	Read, Wrote, Received, Sent *int64

	// step is that of the tier that the row was read from, in seconds.
	step int64
}

// mark says how far a tier is rolled up: all that was before Until is in its table, nothing after.
type mark struct {
	Tier  string `gorm:"primaryKey"`
	Until int64  `gorm:"not null"`
}

func (mark) TableName() string { return "rollup_marks" }

func migrate(db *gorm.DB) error {
	m := gormigrate.New(db, &gormigrate.Options{TableName: "migrations", IDColumnName: "id", IDColumnSize: 64, UseTransaction: true},
		[]*gormigrate.Migration{{
			ID: "0001_samples",
			Migrate: func(tx *gorm.DB) error {
				if err := tx.AutoMigrate(&series{}, &mark{}); err != nil {
					return err
				}
				for _, t := range tiers() {
					if err := tx.Set("gorm:table_options", "WITHOUT ROWID").Table(t.table).AutoMigrate(&sample{}); err != nil {
						return err
					}
				}
				return nil
			},
		}})
	if err := m.Migrate(); err != nil {
		return fmt.Errorf("bring the tables of the metrics database up to date: %w", err)
	}
	return nil
}
