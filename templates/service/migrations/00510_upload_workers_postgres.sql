-- +goose Up
CREATE TABLE upload_inspections (
    upload_id  text PRIMARY KEY REFERENCES uploads (id) ON DELETE CASCADE,
    job_id     bigint NOT NULL,
    status     text NOT NULL CHECK (status IN ('queued', 'done', 'failed')),
    detected   text NOT NULL,
    error      text NOT NULL,
    updated_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE upload_inspections;
