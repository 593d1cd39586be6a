package upload

import "time"

// A change moves one upload from a state to another.
type change struct {
	id       string
	from, to Status
	reason   string
	at       time.Time
	sweepAt  time.Time // zero: it need not be swept
}

// columns are those of an [Upload], in the order in which scan reads them.
const columns = `id, object_key, name, type, size, sha256, part_size, multipart_id, status, reason, created_at, updated_at, expires_at`
