-- +goose Up
-- Messages that a consumer could not handle. A letter that was requeued or
-- discarded stays for a while, so that a message which is delivered again is
-- known.
CREATE TABLE dead_letters (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer   TEXT    NOT NULL,
    stream_seq INTEGER NOT NULL,
    stored_at  INTEGER NOT NULL, -- Unix nanoseconds: tells streams of one name apart
    topic      TEXT    NOT NULL,
    message_id TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    data       BLOB    NOT NULL,
    attempts   INTEGER NOT NULL,
    error      TEXT    NOT NULL,
    stack      TEXT    NOT NULL,
    died_at    INTEGER NOT NULL, -- Unix microseconds
    state      TEXT    NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'requeued', 'done', 'discarded')),
    UNIQUE (consumer, stream_seq, stored_at)
);
CREATE INDEX dead_letters_by_death ON dead_letters (state, died_at, id);

-- +goose Down
DROP TABLE dead_letters;
