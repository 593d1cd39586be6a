-- +goose Up

-- What happened, in the order in which it did. Nothing here is ever changed.
-- Times are Unix milliseconds.
CREATE TABLE eventsourcing_events (
    position       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    stream         TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    type           TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    data           TEXT    NOT NULL,
    recorded_at    INTEGER NOT NULL,
    UNIQUE (stream, version)
);

-- The state of a stream at a version, to begin with when it is loaded.
CREATE TABLE eventsourcing_snapshots (
    stream         TEXT    NOT NULL PRIMARY KEY,
    version        INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    data           TEXT    NOT NULL
) WITHOUT ROWID;

-- How far each projection has come. One that is being rebuilt has two rows.
CREATE TABLE eventsourcing_projections (
    name           TEXT    NOT NULL,
    generation     INTEGER NOT NULL,
    live           BOOLEAN NOT NULL,
    at_transaction INTEGER NOT NULL,
    at_position    INTEGER NOT NULL,
    PRIMARY KEY (name, generation)
) WITHOUT ROWID;

-- The example's view: what each account holds.
CREATE TABLE eventsourcing_balances (
    generation INTEGER NOT NULL,
    account    TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    cents      INTEGER NOT NULL,
    PRIMARY KEY (generation, account)
) WITHOUT ROWID;

-- +goose Down

DROP TABLE eventsourcing_balances;
DROP TABLE eventsourcing_projections;
DROP TABLE eventsourcing_snapshots;
DROP TABLE eventsourcing_events;
