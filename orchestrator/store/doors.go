package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// AcceptDelivery keeps a delivery and inserts the job that works it through,
// in one transaction. One whose key is known already is not fresh and changes
// nothing.
func (s *Store) AcceptDelivery(ctx context.Context, d orchestrator.Delivery) (fresh bool, err error) {
	err = s.change(ctx, func(c *change) error {
		c.quiet = true
		n, err := c.count(ctx, `INSERT INTO deliveries (key, door, kind, body, received_at) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING`,
			d.Key, d.Door, d.Kind, d.Body, micros(d.ReceivedAt))
		if err != nil || n == 0 {
			return err
		}
		fresh = true
		if s.enqueueDelivery == nil {
			return nil
		}
		return s.enqueueDelivery(ctx, c.Tx, d.Key)
	})
	return fresh && err == nil, err
}

// Delivery gives a delivery that has not been worked through yet.
func (s *Store) Delivery(ctx context.Context, key string) (d orchestrator.Delivery, waiting bool, err error) {
	var received int64
	err = s.read.QueryRowContext(ctx, `SELECT key, door, kind, body, received_at FROM deliveries WHERE key = ? AND worked_at = 0`, key).
		Scan(&d.Key, &d.Door, &d.Kind, &d.Body, &received)
	if errors.Is(err, sql.ErrNoRows) {
		return d, false, nil
	}
	d.ReceivedAt = fromMicros(received)
	return d, err == nil, s.fail(err)
}

// WaitingDeliveries gives the keys of what has not been worked through, oldest
// first.
func (s *Store) WaitingDeliveries(ctx context.Context) ([]string, error) {
	var keys []string
	err := each(ctx, s.read, func(scan func(...any) error) error {
		var k string
		err := scan(&k)
		keys = append(keys, k)
		return err
	}, `SELECT key FROM deliveries WHERE worked_at = 0 ORDER BY received_at`)
	return keys, s.fail(err)
}

// EndDelivery notes that a delivery has been worked through. Its body, which
// may hold what a person typed, is not kept.
func (s *Store) EndDelivery(ctx context.Context, key string, at time.Time) error {
	return s.change(ctx, func(c *change) error {
		c.quiet = true
		return c.exec(ctx, `UPDATE deliveries SET worked_at = ?, body = '' WHERE key = ?`, micros(at), key)
	})
}

// ForgetDeliveries drops the keys of deliveries that were worked through and
// received before a time; until then a repetition is recognised.
func (s *Store) ForgetDeliveries(ctx context.Context, before time.Time) error {
	return s.change(ctx, func(c *change) error {
		c.quiet = true
		return c.exec(ctx, `DELETE FROM deliveries WHERE worked_at > 0 AND received_at < ?`, micros(before))
	})
}

// OpenCards gives the cards of a door whose operation's end has not been told
// there: those of what has ended in the order of the ends, then the others in
// the order of their operations.
func (s *Store) OpenCards(ctx context.Context, door string) ([]orchestrator.Card, error) {
	var all []orchestrator.Card
	err := each(ctx, s.read, func(scan func(...any) error) error {
		c, err := scanCard(scan)
		all = append(all, c)
		return err
	}, `SELECT `+cardColumns+` WHERE c.door = ? AND c.done = 0 ORDER BY o.ended_at = 0, o.ended_at, o.seq`, door)
	return all, s.fail(err)
}

// Card gives what a door shows of an operation, if anything.
func (s *Store) Card(ctx context.Context, operationID string) (orchestrator.Card, bool, error) {
	c, err := scanCard(s.read.QueryRowContext(ctx, `SELECT `+cardColumns+` WHERE c.operation_id = ?`, operationID).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	return c, err == nil, s.fail(err)
}

const cardColumns = `c.operation_id, c.door, c.place, c.state, c.done, o.status,
	(SELECT coalesce(max(v.seq), 0) FROM events v WHERE v.operation_id = c.operation_id)
	FROM cards c JOIN operations o ON o.id = c.operation_id`

func scanCard(scan func(...any) error) (c orchestrator.Card, err error) {
	err = scan(&c.OperationID, &c.Door, &c.Place, &c.State, &c.Done, &c.Status, &c.LastEvent)
	return c, err
}

// SaveCard keeps a door's note about an operation. It tells no watcher: what
// is shown is no change of what is.
func (s *Store) SaveCard(ctx context.Context, operationID string, state []byte, done bool) error {
	_, err := s.write.ExecContext(ctx, `UPDATE cards SET state = ?, done = ? WHERE operation_id = ?`, state, done, operationID)
	return s.fail(err)
}

// Warnings gives the warnings of one end of an environment that were given.
func (s *Store) Warnings(ctx context.Context, environmentID string, end time.Time) ([]orchestrator.Warning, error) {
	var all []orchestrator.Warning
	err := each(ctx, s.read, func(scan func(...any) error) error {
		var ahead, given int64
		err := scan(&ahead, &given)
		all = append(all, orchestrator.Warning{Ahead: time.Duration(ahead) * time.Microsecond, GivenAt: fromMicros(given)})
		return err
	}, `SELECT ahead, given_at FROM warnings WHERE environment_id = ? AND expires_at = ? ORDER BY ahead DESC`, environmentID, micros(end))
	return all, s.fail(err)
}

// NoteWarning notes that a warning was given; the first time is kept.
func (s *Store) NoteWarning(ctx context.Context, environmentID string, end time.Time, w orchestrator.Warning) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO warnings (environment_id, expires_at, ahead, given_at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING`,
		environmentID, micros(end), w.Ahead.Microseconds(), micros(w.GivenAt))
	return s.fail(err)
}
