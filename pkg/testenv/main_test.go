package testenv_test

import (
	"testing"

	"github.com/philiporange/supervisor/pkg/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
