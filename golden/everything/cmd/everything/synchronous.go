package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/server"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/synchronous"
	"example.com/orders/internal/synchronous/shipping"
)

// setupSynchronous builds the gate for work that callers wait for, and an example
// behind it: what it costs to send a parcel.
func (a *App) setupSynchronous(s *settings) start {
	config := loadConfig[synchronous.Config](s)
	serverConfig := loadConfig[server.Config](s)
	s.refuseTogether(setting.Within("SYNCHRONOUS_TIMEOUT", config.Timeout, "HTTP_WRITE_TIMEOUT", serverConfig.WriteTimeout,
		"or the connection is closed before the answer"))
	s.refuseTogether(setting.Within("SYNCHRONOUS_TIMEOUT", config.Timeout, "HTTP_CLOSE_TIMEOUT", serverConfig.CloseTimeout,
		"or work is cut off when the service stops"))
	return func(context.Context) error {
		a.synchronous = synchronous.New(config, a.metrics, a.tracing)
		a.synchronous.Expect(shippingQuote)
		a.mux.Handle("GET /shipping/quote", httpapi.Handler(a.getShippingQuote))
		return nil
	}
}

// shippingQuote is what metrics call the example's work.
const shippingQuote = "quote"

var shippingZone = regexp.MustCompile(`^[a-z]{1,32}$`)

func (a *App) getShippingQuote(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	zone := query.Get("zone")
	if !shippingZone.MatchString(zone) {
		return httpapi.NewProblem(http.StatusBadRequest, "zone: must be 1 to 32 letters a-z.")
	}
	grams, err := strconv.ParseInt(query.Get("grams"), 10, 64)
	if err != nil || grams < 1 {
		return httpapi.NewProblem(http.StatusBadRequest, "grams: must be a whole number of 1 or more.")
	}
	var quote shipping.Quote
	err = a.synchronous.Do(r.Context(), shippingQuote, func(ctx context.Context) (err error) {
		quote, err = shipping.Find(ctx, a.database, zone, grams)
		return err
	})
	if errors.Is(err, shipping.ErrNoRate) {
		return httpapi.NewProblem(http.StatusNotFound, fmt.Sprintf("No parcel of %d g is taken to %q.", grams, zone))
	}
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, r, http.StatusOK, quote)
	return nil
}
