// Package templates holds the patterns as data: a working service that has
// every one of them, and what no file name can say of each.
package templates

import "embed"

// FS holds service/, the working service; patterns/, a manifest for each
// pattern; and catalog.yaml, their order.
//
//go:embed all:service patterns catalog.yaml
var FS embed.FS
