package testenv_test

import "time"

// patience is n slices of time that a random crash may fall into.
func patience(n int) time.Duration { return time.Duration(n) * 30 * time.Millisecond }
