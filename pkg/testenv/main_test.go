package testenv_test

import (
	"testing"

	"github.com/philiporange/supervisor/pkg/agent/agenttest"
	"github.com/philiporange/supervisor/pkg/testenv"
)

func TestMain(m *testing.M) {
	agenttest.Main() // this program is the scripted agent, too
	testenv.Main(m)
}
