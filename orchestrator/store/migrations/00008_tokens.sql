-- +goose Up
-- When a token for the API ends by itself; 0: never.

ALTER TABLE tokens ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE tokens DROP COLUMN expires_at;
