-- +goose Up
-- Messages that a consumer could not handle. A letter that was requeued or
-- discarded stays for a while, so that a message which is delivered again is
-- known.
CREATE TABLE dead_letters (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer   text    NOT NULL,
    stream_seq bigint  NOT NULL,
    stored_at  bigint  NOT NULL, -- Unix nanoseconds: tells streams of one name apart
    topic      text    NOT NULL,
    message_id text    NOT NULL,
    type       text    NOT NULL,
    data       bytea   NOT NULL,
    attempts   integer NOT NULL,
    error      text    NOT NULL,
    stack      text    NOT NULL,
    died_at    bigint  NOT NULL, -- Unix microseconds
    state      text    NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'requeued', 'done', 'discarded')),
    UNIQUE (consumer, stream_seq, stored_at)
);
CREATE INDEX dead_letters_by_death ON dead_letters (state, died_at, id);

-- +goose Down
DROP TABLE dead_letters;
