-- +goose Up

-- What was answered to a request with an Idempotency-Key, to answer its
-- repetitions with.
CREATE TABLE workers_keys (
    key          text        NOT NULL PRIMARY KEY,
    request_hash bytea       NOT NULL,
    job_id       bigint      NOT NULL,
    expires_at   timestamptz NOT NULL
);

CREATE INDEX workers_keys_expires_at ON workers_keys (expires_at);

-- The example's orders and their invoices.
CREATE TABLE workers_orders (
    id          text        NOT NULL PRIMARY KEY,
    customer    text        NOT NULL,
    total_cents bigint      NOT NULL,
    placed_at   timestamptz NOT NULL
);

CREATE TABLE workers_invoices (
    number    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id  text        NOT NULL UNIQUE REFERENCES workers_orders (id),
    issued_at timestamptz NOT NULL
);

-- +goose Down

DROP TABLE workers_invoices;
DROP TABLE workers_orders;
DROP TABLE workers_keys;
