-- +goose Up

-- How far each job has come that reports it, in its last attempt. A percent of -1
-- is unknown. The rows are written often: with room left in their pages an update
-- stays in its page, and touches no index.
CREATE TABLE progress_jobs (
    job_id        bigint      NOT NULL PRIMARY KEY,
    attempt       bigint      NOT NULL,
    done          bigint      NOT NULL,
    total         bigint      NOT NULL,
    percent       smallint    NOT NULL,
    note          text        NOT NULL,
    attempt_ended boolean     NOT NULL,
    updated_at    timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The example's price lists.
CREATE TABLE progress_prices (
    list  text   NOT NULL,
    item  bigint NOT NULL,
    cents bigint NOT NULL,
    PRIMARY KEY (list, item)
);

-- +goose Down

DROP TABLE progress_prices;
DROP TABLE progress_jobs;
