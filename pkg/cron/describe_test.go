package cron

import (
	"testing"
	"time"
)

func TestDescribe(t *testing.T) {
	for _, tt := range []struct {
		expr    string
		seconds bool
		want    string
	}{
		{"* * * * *", false, "every minute"},
		{"*/5 * * * *", false, "every 5 minutes"},
		{"0 * * * *", false, "every hour on the hour"},
		{"@hourly", false, "every hour on the hour"},
		{"30 * * * *", false, "at minute 30 of every hour"},
		{"0,30 * * * *", false, "at minutes 0 and 30 of every hour"},
		{"0 2 * * *", false, "at 02:00 every day"},
		{"@daily", false, "at 00:00 every day"},
		{"30 6,18 * * *", false, "at 06:30 and 18:30 every day"},
		{"0 2 * * 1-5", false, "at 02:00 on Monday to Friday"},
		{"0 2 * * sat,sun", false, "at 02:00 on Saturday and Sunday"},
		{"@weekly", false, "at 00:00 on Sunday"},
		{"@monthly", false, "at 00:00 on day 1 of the month"},
		{"@yearly", false, "at 00:00 on day 1 of the month in January"},
		{"0 0 1,15 * *", false, "at 00:00 on days 1 and 15 of the month"},
		{"0 0 L * *", false, "at 00:00 on the last day of the month"},
		{"0 0 L-3 * *", false, "at 00:00 3 days before the last of the month"},
		{"0 0 LW * *", false, "at 00:00 on the last weekday of the month"},
		{"0 0 15W * *", false, "at 00:00 on the weekday nearest to day 15 of the month"},
		{"0 9 * * fri#2", false, "at 09:00 on the 2nd Friday of the month"},
		{"0 9 * * fri#L", false, "at 09:00 on the last Friday of the month"},
		{"0 0 13 * 5", false, "at 00:00 on day 13 of the month or on Friday"},
		{"0 0 */2 * 1", false, "at 00:00 on every 2nd day of the month that is also on Monday"},
		{"*/15 9-17 * * 1-5", false, "every 15 minutes from 09:00 to 17:59 on Monday to Friday"},
		{"* 9-17 * * *", false, "every minute from 09:00 to 17:59"},
		{"0 9-17 * * *", false, "at minute 0 past hours 9 to 17"},
		{"0 */2 * * *", false, "at minute 0 of every 2 hours"},
		{"*/10 2 * * *", false, "every 10 minutes past hour 2 every day"},
		{"0 0 1 */3 *", false, "at 00:00 on day 1 of the month in every 3rd month"},
		{"0 0 1 6-8 *", false, "at 00:00 on day 1 of the month in June to August"},
		{"*/10 * * * * *", true, "every 10 seconds"},
		{"30 0 2 * * *", true, "at 02:00:30 every day"},
		{"15 */5 * * * *", true, "at second 15 of every 5 minutes"},
		{"@every 5m", false, "every 5 minutes"},
		{"@every 1h", false, "every hour"},
		{"@every 90m", false, "every 1 hour 30 minutes"},
	} {
		if got := Describe(tt.expr, Options{Seconds: tt.seconds, Location: time.UTC}); got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.expr, got, tt.want)
		}
	}
	if got := Describe("nonsense", Options{}); got != "" {
		t.Errorf("nonsense is described as %q", got)
	}
}
