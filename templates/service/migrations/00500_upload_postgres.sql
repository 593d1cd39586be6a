-- +goose Up
CREATE TABLE uploads (
    id           text PRIMARY KEY,
    object_key   text NOT NULL UNIQUE,
    name         text NOT NULL,
    type         text NOT NULL,
    size         bigint NOT NULL CHECK (size > 0),
    sha256       text NOT NULL,
    part_size    bigint NOT NULL,
    multipart_id text NOT NULL,
    status       text NOT NULL CHECK (status IN ('pending', 'ready', 'failed', 'aborted', 'deleted')),
    reason       text NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    sweep_at     timestamptz -- when the sweeper looks at it; NULL: never
);
CREATE INDEX uploads_sweep_at ON uploads (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE INDEX uploads_prune ON uploads (updated_at) WHERE sweep_at IS NULL AND status IN ('failed', 'aborted', 'deleted');

-- +goose Down
DROP TABLE uploads;
