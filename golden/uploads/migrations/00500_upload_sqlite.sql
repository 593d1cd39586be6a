-- +goose Up
CREATE TABLE uploads (
    id           TEXT PRIMARY KEY,
    object_key   TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    type         TEXT NOT NULL,
    size         INTEGER NOT NULL CHECK (size > 0),
    sha256       TEXT NOT NULL,
    part_size    INTEGER NOT NULL,
    multipart_id TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('pending', 'ready', 'failed', 'aborted', 'deleted')),
    reason       TEXT NOT NULL,
    created_at   INTEGER NOT NULL, -- milliseconds since 1970, as all times here
    updated_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    sweep_at     INTEGER           -- when the sweeper looks at it; NULL: never
) STRICT;
CREATE INDEX uploads_sweep_at ON uploads (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE INDEX uploads_prune ON uploads (updated_at) WHERE sweep_at IS NULL AND status IN ('failed', 'aborted', 'deleted');

-- +goose Down
DROP TABLE uploads;
