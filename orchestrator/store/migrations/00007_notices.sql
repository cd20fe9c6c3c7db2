-- +goose Up
-- The message that told an owner of something, by its key: it is withdrawn when
-- that is over. What was told before cannot be, and is told anew.

DELETE FROM notices;
ALTER TABLE notices ADD COLUMN notice TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE notices DROP COLUMN notice;
