-- +goose Up
-- What is wrong with a server's machine (missing, gone, stopped; empty: nothing
-- is known to be), the cloud's ID of it, whom it was made to let in, and what
-- owners were told of once.

ALTER TABLE servers ADD COLUMN machine TEXT NOT NULL DEFAULT '';
ALTER TABLE servers ADD COLUMN provider_id TEXT NOT NULL DEFAULT '';
ALTER TABLE servers ADD COLUMN opening TEXT NOT NULL DEFAULT '';

CREATE TABLE notices (
    environment_id TEXT NOT NULL REFERENCES environments (id),
    key            TEXT NOT NULL,
    told_at        INTEGER NOT NULL,
    PRIMARY KEY (environment_id, key)
);

-- +goose Down
DROP TABLE notices;
ALTER TABLE servers DROP COLUMN opening;
ALTER TABLE servers DROP COLUMN provider_id;
ALTER TABLE servers DROP COLUMN machine;
