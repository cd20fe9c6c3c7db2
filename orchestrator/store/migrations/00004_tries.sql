-- +goose Up
-- The attempts of an operation that failed and that Berth repeated by itself,
-- as JSON.
ALTER TABLE operations ADD COLUMN tries TEXT NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE operations DROP COLUMN tries;
