-- +goose Up
-- What doors such as Slack have to remember: what they were told and have to
-- work through, what they show of each operation, and which warnings of an
-- environment's end were given.

ALTER TABLE operations ADD COLUMN origin_key TEXT;
-- The delivery that asked for its cancelation.
ALTER TABLE operations ADD COLUMN cancel_key TEXT;
CREATE UNIQUE INDEX operations_cancel ON operations (cancel_key) WHERE cancel_key IS NOT NULL;
CREATE UNIQUE INDEX operations_origin ON operations (origin_key) WHERE origin_key IS NOT NULL;

-- When expires_at was set; 0: when the environment was created.
ALTER TABLE environments ADD COLUMN expiry_set_at INTEGER NOT NULL DEFAULT 0;

CREATE TABLE deliveries (
    key         TEXT PRIMARY KEY NOT NULL,
    door        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    body        BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    worked_at   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_received ON deliveries (received_at);
CREATE INDEX deliveries_waiting ON deliveries (received_at) WHERE worked_at = 0;

CREATE TABLE cards (
    operation_id TEXT PRIMARY KEY NOT NULL REFERENCES operations (id),
    door         TEXT NOT NULL,
    place        BLOB NOT NULL,
    state        BLOB NOT NULL DEFAULT x'7b7d', -- {}
    done         INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX cards_open ON cards (door) WHERE done = 0;

-- One row for each warning of one end; extending moves the end.
CREATE TABLE warnings (
    environment_id TEXT NOT NULL REFERENCES environments (id),
    expires_at     INTEGER NOT NULL,
    ahead          INTEGER NOT NULL, -- microseconds before the end
    given_at       INTEGER NOT NULL,
    PRIMARY KEY (environment_id, expires_at, ahead)
);

-- +goose Down
DROP TABLE warnings;
DROP TABLE cards;
DROP TABLE deliveries;
ALTER TABLE environments DROP COLUMN expiry_set_at;
DROP INDEX operations_cancel;
DROP INDEX operations_origin;
ALTER TABLE operations DROP COLUMN cancel_key;
ALTER TABLE operations DROP COLUMN origin_key;
