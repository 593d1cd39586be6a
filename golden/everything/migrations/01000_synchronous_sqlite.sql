-- +goose Up

-- The example's prices: a parcel of up to so many grams to a zone.
CREATE TABLE synchronous_rates (
    zone        TEXT    NOT NULL,
    up_to_grams INTEGER NOT NULL,
    cents       INTEGER NOT NULL,
    PRIMARY KEY (zone, up_to_grams)
);

CREATE TABLE synchronous_transits (
    zone TEXT    NOT NULL PRIMARY KEY,
    days INTEGER NOT NULL
);

INSERT INTO synchronous_rates (zone, up_to_grams, cents) VALUES
    ('domestic', 2000, 499), ('domestic', 10000, 899), ('domestic', 31500, 1699),
    ('europe', 2000, 1399), ('europe', 10000, 2199),
    ('world', 2000, 2899);

INSERT INTO synchronous_transits (zone, days) VALUES ('domestic', 2), ('europe', 5), ('world', 12);

-- +goose Down

DROP TABLE synchronous_transits;
DROP TABLE synchronous_rates;
