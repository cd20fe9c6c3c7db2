package store

import (
	"context"

	"github.com/berth-dev/berth/orchestrator"
)

// Notices gives what owners were told of and what is not over, those of one
// environment in the order of their keys.
func (s *Store) Notices(ctx context.Context) ([]orchestrator.Noticed, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT environment_id, key, notice, told_at FROM notices ORDER BY environment_id, key`)
	if err != nil {
		return nil, s.fail(err)
	}
	defer rows.Close()
	var all []orchestrator.Noticed
	for rows.Next() {
		var n orchestrator.Noticed
		var at int64
		if err := rows.Scan(&n.EnvironmentID, &n.Key, &n.Notice, &at); err != nil {
			return nil, s.fail(err)
		}
		n.At = fromMicros(at)
		all = append(all, n)
	}
	return all, s.fail(rows.Err())
}

// NoteNotice notes that an environment's owner was told of something.
func (s *Store) NoteNotice(ctx context.Context, n orchestrator.Noticed) error {
	return s.change(ctx, func(c *change) error {
		return c.exec(ctx, `INSERT INTO notices (environment_id, key, notice, told_at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING`, n.EnvironmentID, n.Key, n.Notice, micros(n.At))
	})
}

// ForgetNotice notes that something which was told is over.
func (s *Store) ForgetNotice(ctx context.Context, n orchestrator.Noticed) error {
	return s.change(ctx, func(c *change) error {
		return c.exec(ctx, `DELETE FROM notices WHERE environment_id = ? AND key = ?`, n.EnvironmentID, n.Key)
	})
}
