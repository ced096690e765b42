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

// slotName is where a replica lives.
func slotName(key v1.Key, i int) string { return key.String() + "/" + strconv.Itoa(i) }

func slotIndex(slot string) int {
	i, err := strconv.Atoi(slot[strings.LastIndexByte(slot, '/')+1:])
	if err != nil {
		return 0
	}
	return i
}

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
