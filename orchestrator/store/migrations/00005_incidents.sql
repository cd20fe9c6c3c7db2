-- +goose Up
-- What several environments have for one reason: told to ops once, and changed
-- where it was told.

ALTER TABLE occurrences ADD COLUMN outside TEXT NOT NULL DEFAULT '';
CREATE INDEX occurrences_kin ON occurrences (kin, at);

CREATE TABLE incidents (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kin      TEXT NOT NULL,
    code     TEXT NOT NULL,
    who      TEXT NOT NULL,
    outside  TEXT NOT NULL,
    sentence TEXT NOT NULL,
    since    INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    ended_at INTEGER NOT NULL DEFAULT 0,
    logged   INTEGER NOT NULL DEFAULT 0, -- 1: its beginning, 2: its end
    told     INTEGER NOT NULL DEFAULT 0, -- the same, by a door
    state    BLOB NOT NULL DEFAULT x'7b7d' -- {}
);
CREATE UNIQUE INDEX incidents_open ON incidents (kin) WHERE ended_at = 0;

-- +goose Down
DROP TABLE incidents;
DROP INDEX occurrences_kin;
ALTER TABLE occurrences DROP COLUMN outside;
