-- +goose Up
-- What has failed before, how it was mended and what ops say of it. Occurrences
-- stay when their environment is gone, and are forgotten with time; notes stay.

CREATE TABLE occurrences (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint    TEXT NOT NULL,
    kin            TEXT NOT NULL,
    code           TEXT NOT NULL,
    who            TEXT NOT NULL,
    app            TEXT NOT NULL DEFAULT '',
    environment_id TEXT NOT NULL REFERENCES environments (id),
    environment    TEXT NOT NULL, -- its name at that time
    operation_id   TEXT NOT NULL REFERENCES operations (id),
    server         TEXT NOT NULL DEFAULT '',
    place          TEXT NOT NULL DEFAULT '',
    sentence       TEXT NOT NULL,
    evidence       TEXT NOT NULL DEFAULT '',
    at             INTEGER NOT NULL,
    mended_at      INTEGER NOT NULL DEFAULT 0,
    mended_by      TEXT NOT NULL DEFAULT '', -- empty: it passed by itself
    mended_how     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX occurrences_fingerprint ON occurrences (fingerprint, at);
CREATE INDEX occurrences_at ON occurrences (at);
CREATE INDEX occurrences_unmended ON occurrences (environment_id) WHERE mended_at = 0;

CREATE TABLE cause_notes (
    fingerprint TEXT PRIMARY KEY NOT NULL,
    text        TEXT NOT NULL,
    by          TEXT NOT NULL,
    at          INTEGER NOT NULL
);

-- +goose Down
DROP TABLE cause_notes;
DROP TABLE occurrences;
