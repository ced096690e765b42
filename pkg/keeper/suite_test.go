package keeper_test

import (
	"testing"

	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

func TestSuite(t *testing.T) {
	processtest.Suite(t, func(t *testing.T) process.Keeper { return newHouse(t).Client })
}
