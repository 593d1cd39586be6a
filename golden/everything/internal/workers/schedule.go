package workers

import (
	"time"

	"github.com/riverqueue/river"
)

// Every returns a schedule whose times are the multiples of d since midnight
// UTC, in whichever process it is asked: so a restart or another instance does
// not move them. It fits a d that divides a day.
func Every(d time.Duration) river.PeriodicSchedule {
	return scheduleFunc(func(now time.Time) time.Time { return now.UTC().Truncate(d).Add(d) })
}

// Daily returns the schedule of each day at the hour and minute in the given
// location. On a day on which a change of the clocks skips or repeats that time
// it comes once, at the hour that [time.Date] makes of it.
func Daily(hour, minute int, location *time.Location) river.PeriodicSchedule {
	return scheduleFunc(func(now time.Time) time.Time {
		now = now.In(location)
		next := time.Date(now.Year(), now.Month(), now.Day(), hour, minute, 0, 0, location)
		if !next.After(now) {
			next = time.Date(now.Year(), now.Month(), now.Day()+1, hour, minute, 0, 0, location)
		}
		return next
	})
}

type scheduleFunc func(time.Time) time.Time

// Next implements [river.PeriodicSchedule].
func (f scheduleFunc) Next(now time.Time) time.Time { return f(now) }
