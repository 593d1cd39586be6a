package main

import (
	"example.com/orders/internal/database"
	"example.com/orders/internal/jobstatus"
	"example.com/orders/internal/workers"
)

// name is the service's name in its traces and messages.
const name = "jobs"

// An App is the service put together: what every part is built on, and what
// the parts hand to each other.
type App struct {
	host

	database  *database.Pool
	workers   *workers.Pool
	jobstatus *jobstatus.Board
}

// parts lists the service's parts in the order in which they are set up; they
// stop in the reverse order.
func (a *App) parts() []part {
	return []part{
		{"database", a.setupDatabase},
		{"workers", a.setupWorkers},
		{"jobstatus", a.setupJobstatus},
	}
}
