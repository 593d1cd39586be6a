package main

import (
	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/sse"
)

// name is the service's name in its traces and messages.
const name = "live"

// An App is the service put together: what every part is built on, and what
// the parts hand to each other.
type App struct {
	host

	pubsub *pubsub.Bus
	sse    *sse.Hub
}

// parts lists the service's parts in the order in which they are set up; they
// stop in the reverse order.
func (a *App) parts() []part {
	return []part{
		{"pubsub", a.setupPubsub},
		{"sse", a.setupSSE},
		{"sse_pubsub", a.setupSSEPubsub},
	}
}
