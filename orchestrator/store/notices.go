package store

import (
	"context"
	"time"
)

// Noticed says whether an environment's owner was told of something.
func (s *Store) Noticed(ctx context.Context, environmentID, key string) (bool, error) {
	var n int
	err := s.read.QueryRowContext(ctx, `SELECT count(*) FROM notices WHERE environment_id = ? AND key = ?`, environmentID, key).Scan(&n)
	return n > 0, s.fail(err)
}

// NoteNotice notes that an environment's owner was told of something.
func (s *Store) NoteNotice(ctx context.Context, environmentID, key string, at time.Time) error {
	return s.change(ctx, func(c *change) error {
		return c.exec(ctx, `INSERT INTO notices (environment_id, key, told_at) VALUES (?,?,?) ON CONFLICT DO NOTHING`, environmentID, key, micros(at))
	})
}
