package service

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

// Labels on runs, by which a manager without a database knows what is running.
const (
	labelHash     = "hash"
	labelIntent   = "intent"
	labelPort     = "port"
	labelRevision = "revision"
)

// place is where a run lives. A replica has two of them, called lanes: during an update without downtime one process is in
// each, otherwise one lane is empty. The keeper takes each place for a slot of its own, so that its promise of one live run a
// slot holds for both processes.
type place struct{ replica, lane int }

// beside is the other place of the same replica.
func (p place) beside() place { return place{p.replica, 1 - p.lane} }

// besideMark ends the names of the second lane's slots.
const besideMark = "+"

// in is the keeper's name of a place: Service/web/0 and Service/web/0+.
func (p place) in(key v1.Key) string {
	name := key.String() + "/" + strconv.Itoa(p.replica)
	if p.lane == 1 {
		name += besideMark
	}
	return name
}

func placeOf(slot string) place {
	name, beside := strings.CutSuffix(slot[strings.LastIndexByte(slot, '/')+1:], besideMark)
	i, err := strconv.Atoi(name)
	if err != nil {
		return place{}
	}
	if beside {
		return place{i, 1}
	}
	return place{i, 0}
}

// replicaOf is the number of the replica that a slot belongs to.
func replicaOf(slot string) int { return placeOf(slot).replica }

// newRunID is the slot with a time that sorts. A later run of a slot has a greater ID, also when the clock was set back: it
// is greater than every one of after, which are IDs of that slot.
func newRunID(slot string, now time.Time, after ...process.RunID) process.RunID {
	id := runID(slot, uint64(now.UnixNano()))
	for _, other := range after {
		if other < id || !strings.HasPrefix(string(other), slot+"/") {
			continue
		}
		if n, err := strconv.ParseUint(string(other[len(slot)+1:]), 16, 64); err == nil {
			id = runID(slot, n+1)
		}
	}
	return id
}

func runID(slot string, n uint64) process.RunID {
	return process.RunID(fmt.Sprintf("%s/%016x", slot, n))
}

// serviceOf is the name of the service that a run belongs to.
func serviceOf(id process.RunID) (string, bool) {
	parts := strings.Split(string(id), "/")
	if len(parts) != 4 || parts[0] != v1.KindService {
		return "", false
	}
	return parts[1], true
}

func portOf(run process.Run) int {
	port, err := strconv.Atoi(run.Labels[labelPort])
	if err != nil {
		return 0
	}
	return port
}

// startDetail is what a person is told of a start that failed.
func startDetail(err error) string {
	var s *process.StartError
	if errors.As(err, &s) {
		return s.Detail
	}
	return err.Error()
}

// startReason is the same in one word.
func startReason(err error) string {
	var s *process.StartError
	if errors.As(err, &s) {
		return string(s.Reason)
	}
	return string(process.ReasonBadSpec)
}
