package main

import (
	"example.com/orders/internal/database"
	"example.com/orders/internal/upload"
)

// name is the service's name in its traces and messages.
const name = "uploads"

// An App is the service put together: what every part is built on, and what
// the parts hand to each other.
type App struct {
	host

	database *database.Pool
	upload   *upload.Uploads
}

// parts lists the service's parts in the order in which they are set up; they
// stop in the reverse order.
func (a *App) parts() []part {
	return []part{
		{"database", a.setupDatabase},
		{"upload", a.setupUpload},
	}
}
