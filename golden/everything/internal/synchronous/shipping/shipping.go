// Package shipping is the example of synchronous work: what it costs to send a
// parcel, and how many days it takes. It stands to be replaced by what your
// service does.
//
// It knows nothing of HTTP.
package shipping

import (
	"context"
	"errors"

	"example.com/orders/internal/database"
	"example.com/orders/internal/synchronous"
)

// A Quote is what is said of a parcel.
type Quote struct {
	Zone  string `json:"zone"`
	Grams int64  `json:"grams"`
	Cents int64  `json:"cents"`
	// Days are 0 where they could not be found out in time: the price is worth
	// more without them than not at all.
	Days int `json:"days,omitempty"`
}

// ErrNoRate means that no parcel of that weight is taken to that zone.
var ErrNoRate = errors.New("there is no rate")

// Find returns a quote, or [ErrNoRate]. It keeps to the time that ctx has: the
// days may take half of what the price has left.
func Find(ctx context.Context, db *database.Pool, zone string, grams int64) (Quote, error) {
	q := Quote{Zone: zone, Grams: grams}
	var err error
	if q.Cents, err = rate(ctx, db, zone, grams); err != nil {
		return q, err
	}
	part, cancel := synchronous.Share(ctx, 0.5)
	defer cancel()
	if q.Days, err = days(part, db, zone); err != nil && (ctx.Err() != nil || part.Err() == nil) {
		return q, err
	}
	return q, nil
}

const (
	rateSQL = `
		SELECT cents FROM synchronous_rates
		WHERE zone = $1 AND up_to_grams >= $2
		ORDER BY up_to_grams LIMIT 1`
	daysSQL = `SELECT days FROM synchronous_transits WHERE zone = $1`
)
