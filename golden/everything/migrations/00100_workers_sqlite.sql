-- +goose Up

-- What was answered to a request with an Idempotency-Key, to answer its
-- repetitions with. Times are Unix milliseconds.
CREATE TABLE workers_keys (
    key          TEXT    NOT NULL PRIMARY KEY,
    request_hash BLOB    NOT NULL,
    job_id       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX workers_keys_expires_at ON workers_keys (expires_at);

-- The example's orders and their invoices.
CREATE TABLE workers_orders (
    id          TEXT    NOT NULL PRIMARY KEY,
    customer    TEXT    NOT NULL,
    total_cents INTEGER NOT NULL,
    placed_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE workers_invoices (
    number    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    order_id  TEXT    NOT NULL UNIQUE REFERENCES workers_orders (id),
    issued_at INTEGER NOT NULL
);

-- +goose Down

DROP TABLE workers_invoices;
DROP TABLE workers_orders;
DROP TABLE workers_keys;
