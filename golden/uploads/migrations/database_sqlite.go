// Package migrations holds the service's schema, as numbered goose migrations.
package migrations

import "embed"

// FS holds the migrations. The pattern matches this file too, so that a service
// with none of its own builds.
//
//go:embed *_sqlite*
var FS embed.FS
