-- +goose Up

-- How far each job has come that reports it, in its last attempt. Times are Unix
-- milliseconds. A percent of -1 is unknown.
CREATE TABLE progress_jobs (
    job_id        INTEGER NOT NULL PRIMARY KEY,
    attempt       INTEGER NOT NULL,
    done          INTEGER NOT NULL,
    total         INTEGER NOT NULL,
    percent       INTEGER NOT NULL,
    note          TEXT    NOT NULL,
    attempt_ended INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
);

-- The example's price lists.
CREATE TABLE progress_prices (
    list  TEXT    NOT NULL,
    item  INTEGER NOT NULL,
    cents INTEGER NOT NULL,
    PRIMARY KEY (list, item)
) WITHOUT ROWID;

-- +goose Down

DROP TABLE progress_prices;
DROP TABLE progress_jobs;
