package cronjob

import (
	"context"
)

// contextOf is the test's context; rapid's tests have one too.
func contextOf(t test) context.Context {
	if c, ok := t.(interface{ Context() context.Context }); ok {
		return c.Context()
	}
	return nil
}
