-- +goose Up

-- Times are milliseconds since 1970.
CREATE TABLE workflow_fulfilments (
    id         TEXT   NOT NULL PRIMARY KEY,
    sku        TEXT   NOT NULL,
    quantity   INTEGER NOT NULL,
    cents      INTEGER NOT NULL,
    country    TEXT   NOT NULL,
    engine     TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- Which orders an engine still has, for whoever wants to leave it.
CREATE INDEX workflow_fulfilments_running ON workflow_fulfilments (engine) WHERE outcome = 'running';

-- What was done for an order, under the key that keeps it from being done twice.
CREATE TABLE workflow_done (
    order_id TEXT NOT NULL,
    step     TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('done', 'undone')),
    PRIMARY KEY (order_id, step)
);

CREATE TABLE workflow_history (
    order_id TEXT   NOT NULL,
    number   INTEGER NOT NULL,
    step     TEXT   NOT NULL,
    detail   TEXT   NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (order_id, number)
);

-- The example's warehouse, bank and carrier.
CREATE TABLE workflow_stock (
    sku       TEXT   NOT NULL PRIMARY KEY,
    available INTEGER NOT NULL CHECK (available >= 0)
);

INSERT INTO workflow_stock (sku, available) VALUES ('chair', 1000), ('desk', 100), ('lamp', 1);

CREATE TABLE workflow_payments (
    order_id TEXT   NOT NULL,
    cents    INTEGER NOT NULL,
    at       INTEGER NOT NULL
);

CREATE TABLE workflow_shipments (
    order_id TEXT   NOT NULL,
    country  TEXT   NOT NULL,
    at       INTEGER NOT NULL
);

-- +goose Down

DROP TABLE workflow_shipments;
DROP TABLE workflow_payments;
DROP TABLE workflow_stock;
DROP TABLE workflow_history;
DROP TABLE workflow_done;
DROP TABLE workflow_fulfilments;
