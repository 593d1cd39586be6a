-- +goose Up
CREATE TABLE upload_inspections (
    upload_id  TEXT PRIMARY KEY REFERENCES uploads (id) ON DELETE CASCADE,
    job_id     INTEGER NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('queued', 'done', 'failed')),
    detected   TEXT NOT NULL,
    error      TEXT NOT NULL,
    updated_at INTEGER NOT NULL -- milliseconds since 1970
) STRICT;

-- +goose Down
DROP TABLE upload_inspections;
