-- +goose Up
-- Times are microseconds since 1970 in UTC, 0 or NULL for none. Nothing is
-- deleted when it ends: destroyed_at takes it out of the live set, and the
-- history stays.

CREATE TABLE environments (
    id                  TEXT PRIMARY KEY NOT NULL,
    name                TEXT NOT NULL,
    owner               TEXT NOT NULL,
    target              TEXT NOT NULL,
    blueprint           TEXT NOT NULL DEFAULT '',
    size                TEXT NOT NULL DEFAULT '',
    status              TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL DEFAULT 0,
    destroyed_at        INTEGER,
    operation_id        TEXT, -- the one that runs, else the last that ran
    failed_operation_id TEXT  -- the last that ended with a diagnosis
);
CREATE UNIQUE INDEX environments_live_name ON environments (name) WHERE destroyed_at IS NULL;
CREATE INDEX environments_live_owner ON environments (owner) WHERE destroyed_at IS NULL;
CREATE INDEX environments_live_expires ON environments (expires_at) WHERE destroyed_at IS NULL;

CREATE TABLE servers (
    id             TEXT PRIMARY KEY NOT NULL,
    environment_id TEXT NOT NULL REFERENCES environments (id),
    app            TEXT NOT NULL,
    repository     TEXT NOT NULL DEFAULT '',
    branch         TEXT NOT NULL DEFAULT '',
    commit_id      TEXT NOT NULL DEFAULT '',
    revision       TEXT NOT NULL DEFAULT '',
    running_branch TEXT NOT NULL DEFAULT '',
    generation     INTEGER NOT NULL DEFAULT 0,
    status         TEXT NOT NULL,
    address        TEXT NOT NULL DEFAULT '',
    port           INTEGER NOT NULL DEFAULT 0,
    own_port       INTEGER NOT NULL DEFAULT 0, -- 1: allotted here, so unique on this machine
    uid            INTEGER NOT NULL DEFAULT 0,
    url            TEXT NOT NULL DEFAULT '',
    needs          TEXT NOT NULL DEFAULT '{}',
    user_data      TEXT NOT NULL DEFAULT '',
    desired        BLOB,
    public_key     BLOB,
    token_hash     TEXT NOT NULL DEFAULT '',
    token_expires  INTEGER NOT NULL DEFAULT 0,
    last_seen      INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL,
    destroyed_at   INTEGER
);
CREATE INDEX servers_environment ON servers (environment_id);
CREATE UNIQUE INDEX servers_live_app ON servers (environment_id, app) WHERE destroyed_at IS NULL;
CREATE UNIQUE INDEX servers_live_port ON servers (port) WHERE destroyed_at IS NULL AND own_port = 1;
CREATE UNIQUE INDEX servers_live_uid ON servers (uid) WHERE destroyed_at IS NULL AND uid > 0;

CREATE TABLE operations (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    environment_id   TEXT NOT NULL REFERENCES environments (id),
    kind             TEXT NOT NULL,
    status           TEXT NOT NULL,
    actor            TEXT NOT NULL DEFAULT '',
    text             TEXT NOT NULL DEFAULT '',
    apps             TEXT NOT NULL DEFAULT '[]',
    changes          TEXT NOT NULL DEFAULT '[]',
    created_at       INTEGER NOT NULL,
    started_at       INTEGER NOT NULL DEFAULT 0,
    ended_at         INTEGER NOT NULL DEFAULT 0,
    diagnosis        TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX operations_environment ON operations (environment_id, seq);
CREATE INDEX operations_unended ON operations (environment_id, seq) WHERE status IN ('queued', 'running');
-- One operation at a time for an environment, whatever the code believes.
CREATE UNIQUE INDEX operations_running ON operations (environment_id) WHERE status = 'running';

CREATE TABLE events (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    operation_id TEXT NOT NULL REFERENCES operations (id),
    at           INTEGER NOT NULL,
    server       TEXT NOT NULL DEFAULT '',
    step         TEXT NOT NULL DEFAULT '',
    text         TEXT NOT NULL DEFAULT ''
);
CREATE INDEX events_operation ON events (operation_id, seq);

CREATE TABLE reports (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id   TEXT NOT NULL REFERENCES servers (id),
    generation  INTEGER NOT NULL,
    run         TEXT NOT NULL,
    document    BLOB NOT NULL, -- the whole report as JSON
    received_at INTEGER NOT NULL,
    UNIQUE (server_id, generation, run)
);

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    person     TEXT NOT NULL,
    ops        INTEGER NOT NULL DEFAULT 0,
    hash       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    last_used  INTEGER NOT NULL DEFAULT 0,
    revoked_at INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX tokens_live_name ON tokens (name) WHERE revoked_at = 0;

-- +goose Down
DROP TABLE tokens;
DROP TABLE reports;
DROP TABLE events;
DROP TABLE operations;
DROP TABLE servers;
DROP TABLE environments;
