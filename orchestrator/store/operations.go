package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

const operationColumns = `o.id, o.environment_id, o.kind, o.status, o.actor, o.text, o.apps, o.changes, o.tries,
	o.created_at, o.started_at, o.ended_at, o.diagnosis,
	CASE WHEN o.status = 'queued' THEN (SELECT count(*) FROM operations q
		WHERE q.environment_id = o.environment_id AND q.status = 'queued' AND q.seq <= o.seq) ELSE 0 END,
	CASE WHEN o.diagnosis IS NULL THEN '' ELSE (SELECT n.name FROM environments n WHERE n.id = o.environment_id) END`

func scanOperation(scan func(...any) error) (orchestrator.Operation, error) {
	var op orchestrator.Operation
	var apps, changes, tries, name string
	var created, started, ended int64
	var diagnosis sql.NullString
	err := scan(&op.ID, &op.EnvironmentID, &op.Kind, &op.Status, &op.Actor, &op.Text, &apps, &changes, &tries,
		&created, &started, &ended, &diagnosis, &op.Position, &name)
	if err != nil {
		return op, err
	}
	op.CreatedAt, op.StartedAt, op.EndedAt = fromMicros(created), pointerFromMicros(started), pointerFromMicros(ended)
	err = errors.Join(json.Unmarshal([]byte(apps), &op.Apps), json.Unmarshal([]byte(changes), &op.Changes))
	if tries != "[]" { // most have none
		err = errors.Join(err, json.Unmarshal([]byte(tries), &op.Tries))
	}
	if diagnosis.Valid {
		err = errors.Join(err, json.Unmarshal([]byte(diagnosis.String), &op.Diagnosis))
		op.Diagnosis.Name(name)
	}
	if err != nil {
		return op, fmt.Errorf("reading the operation %s: %w", op.ID, err)
	}
	return op, nil
}

func operation(ctx context.Context, q querier, id string) (orchestrator.Operation, error) {
	op, err := scanOperation(q.QueryRowContext(ctx, `SELECT `+operationColumns+` FROM operations o WHERE o.id = ?`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return op, noOperation(id)
	}
	return op, err
}

func noOperation(id string) error {
	return orchestrator.Errorf(orchestrator.CodeNotFound, "There is no operation %q.", id).WithHint("the operations of an environment are shown by: berth env history NAME")
}

// Submit writes an accepted command in one transaction: the environment when
// it is new, the servers to add with a port (and user) of their own, the
// operation, its first event and its job. The operation runs when no other of
// the environment has not ended; else it is queued with its place.
func (s *Store) Submit(ctx context.Context, sub orchestrator.Submission) (orchestrator.Operation, error) {
	var op orchestrator.Operation
	err := s.change(ctx, func(c *change) (err error) {
		var ok bool
		if op, ok, err = byOrigin(ctx, c, sub.Origin.Key); ok || err != nil {
			return err
		}
		environment := sub.Environment.ID
		if environment == "" {
			environment = sub.Operation.EnvironmentID
		}
		sub.Operation.EnvironmentID = environment
		c.touch(environment)
		if sub.New {
			err = insertEnvironment(ctx, c, sub.Environment)
		} else {
			err = liveEnvironment(ctx, c, environment, sub.Environment.Name)
		}
		if err != nil {
			return err
		}
		for _, v := range sub.Servers {
			v.EnvironmentID = environment
			if err := s.addServer(ctx, c, sub.Environment.Name, v, sub.NeedPort, sub.Operation.CreatedAt); err != nil {
				return err
			}
		}
		if err := insertOperation(ctx, c, sub.Operation, sub.Origin); err != nil {
			return err
		}
		if err := s.promote(ctx, c, environment); err != nil {
			return err
		}
		e := sub.Event
		e.OperationID = sub.Operation.ID
		if err := insertEvent(ctx, c, e); err != nil {
			return err
		}
		op, err = operation(ctx, c, sub.Operation.ID)
		return err
	})
	return op, err
}

func insertEnvironment(ctx context.Context, c *change, e orchestrator.Environment) error {
	if err := nameFree(ctx, c, e.Name); err != nil {
		return err
	}
	return c.exec(ctx, `INSERT INTO environments (id, name, owner, target, blueprint, size, status, created_at, expires_at) VALUES (?,?,?,?,?,?,?,?,?)`,
		e.ID, e.Name, e.Owner, e.Target, e.Blueprint, e.Size, e.Status, micros(e.CreatedAt), micros(e.ExpiresAt))
}

func liveEnvironment(ctx context.Context, q querier, id, name string) error {
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM environments WHERE id = ? AND destroyed_at IS NULL`, id).Scan(&n)
	if err == nil && n == 0 {
		if name == "" {
			name = id
		}
		return noEnvironment(name, nil)
	}
	return err
}

func (s *Store) addServer(ctx context.Context, c *change, environment string, v orchestrator.Server, needPort bool, at time.Time) error {
	var n int
	err := c.QueryRowContext(ctx, `SELECT count(*) FROM servers WHERE environment_id = ? AND app = ? AND destroyed_at IS NULL`, v.EnvironmentID, v.App).Scan(&n)
	if err != nil {
		return err
	}
	if n > 0 {
		return orchestrator.Errorf(orchestrator.CodeNameTaken, "%s already has a server for %s.", environment, v.App).
			WithHint("to put a branch on it: berth env deploy %s %s=BRANCH", environment, v.App)
	}
	if needPort {
		place, err := s.place(ctx, c, v.ID)
		if err != nil {
			return err
		}
		// An app that listens nowhere gets a user, but no port.
		if needPort = v.Port != 0; needPort {
			v.Port = place
		}
		if s.uidBase > 0 {
			v.UID = s.uidBase + place - s.ports[0]
		}
	}
	return insertServer(ctx, c, v, needPort, at)
}

// place finds a port that no live server has and that can be taken on this
// machine now, and to which no live server's user belongs. The search begins at
// a place that depends on the server, so that a port is not used again at once
// and that two installations on one machine seldom choose the same.
func (s *Store) place(ctx context.Context, q querier, serverID string) (int, error) {
	taken := map[int]bool{}
	err := each(ctx, q, func(scan func(...any) error) error {
		var port, uid int
		err := scan(&port, &uid)
		taken[port] = true
		if uid > 0 {
			taken[uid-s.uidBase+s.ports[0]] = true
		}
		return err
	}, `SELECT CASE own_port WHEN 1 THEN port ELSE 0 END, uid FROM servers WHERE destroyed_at IS NULL`)
	if err != nil {
		return 0, err
	}
	size := s.ports[1] - s.ports[0] + 1
	h := fnv.New32a()
	h.Write([]byte(serverID))
	for i := range size {
		if p := s.ports[0] + (int(h.Sum32()%uint32(size))+i)%size; !taken[p] && s.free(p) {
			return p, nil
		}
	}
	return 0, orchestrator.Errorf(orchestrator.CodeState, "Every port from %d to %d is taken, so there is none for another server.", s.ports[0], s.ports[1]).
		WithHint("destroy an environment that is not needed any more: berth env list")
}

// insertOperation writes an operation as queued, and its card where its origin
// wants to show it.
func insertOperation(ctx context.Context, c *change, op orchestrator.Operation, from orchestrator.Origin) error {
	apps, err := text(op.Apps)
	if err != nil {
		return err
	}
	changes, err := text(op.Changes)
	if err != nil {
		return err
	}
	err = c.exec(ctx, `INSERT INTO operations (id, environment_id, kind, status, actor, text, apps, changes, created_at, origin_key) VALUES (?,?,?,'queued',?,?,?,?,?,?)`,
		op.ID, op.EnvironmentID, op.Kind, op.Actor, op.Text, apps, changes, micros(op.CreatedAt), nullable(from.Key))
	if err != nil || len(from.Place) == 0 {
		return err
	}
	return c.exec(ctx, `INSERT INTO cards (operation_id, door, place) VALUES (?,?,?)`, op.ID, from.Door, from.Place)
}

// nullable is a key for a column, where many may have none.
func nullable(key string) any {
	if key == "" {
		return nil
	}
	return key
}

// byOrigin finds the operation that a delivery has started, or canceled, before.
func byOrigin(ctx context.Context, q querier, key string) (orchestrator.Operation, bool, error) {
	if key == "" {
		return orchestrator.Operation{}, false, nil
	}
	op, err := scanOperation(q.QueryRowContext(ctx, `SELECT `+operationColumns+` FROM operations o WHERE o.origin_key = ? OR o.cancel_key = ?`, key, key).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return orchestrator.Operation{}, false, nil
	}
	return op, err == nil, err
}

// OperationByOrigin gives the operation that a delivery has started or
// canceled, if any.
func (s *Store) OperationByOrigin(ctx context.Context, key string) (orchestrator.Operation, bool, error) {
	op, ok, err := byOrigin(ctx, s.read, key)
	return op, ok, s.fail(err)
}

// promote lets the next queued operation of an environment run, unless one
// does already.
func (s *Store) promote(ctx context.Context, c *change, environmentID string) error {
	var next string
	err := c.QueryRowContext(ctx, `UPDATE operations SET status = 'running' WHERE seq =
			(SELECT min(seq) FROM operations WHERE environment_id = ? AND status = 'queued')
		AND NOT EXISTS (SELECT 1 FROM operations WHERE environment_id = ? AND status = 'running') RETURNING id`,
		environmentID, environmentID).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.exec(ctx, `UPDATE environments SET operation_id = ? WHERE id = ?`, next, environmentID); err != nil {
		return err
	}
	if s.enqueue == nil {
		return nil
	}
	return s.enqueue(ctx, c.Tx, next)
}

// Operation gives one operation with what it is to change and its place in
// the queue.
func (s *Store) Operation(ctx context.Context, id string) (orchestrator.Operation, error) {
	op, err := operation(ctx, s.read, id)
	return op, s.fail(err)
}

// Operations gives an environment's operations, newest first.
func (s *Store) Operations(ctx context.Context, environmentID string) ([]orchestrator.Operation, error) {
	return s.operations(ctx, `o.environment_id = ? ORDER BY o.seq DESC`, environmentID)
}

// Unended gives every operation that has not ended, oldest first.
func (s *Store) Unended(ctx context.Context) ([]orchestrator.Operation, error) {
	return s.operations(ctx, `o.status IN ('queued', 'running') ORDER BY o.seq`)
}

func (s *Store) operations(ctx context.Context, where string, args ...any) ([]orchestrator.Operation, error) {
	all := []orchestrator.Operation{}
	err := each(ctx, s.read, func(scan func(...any) error) error {
		op, err := scanOperation(scan)
		all = append(all, op)
		return err
	}, `SELECT `+operationColumns+` FROM operations o WHERE `+where, args...)
	return all, s.fail(err)
}

// Start notes that an operation has begun, and what it makes of its
// environment and servers. Beginning again after an interruption changes
// nothing; an operation that does not run is refused.
func (s *Store) Start(ctx context.Context, operationID string, at time.Time, environment orchestrator.Status, servers map[string]orchestrator.Status) error {
	return s.change(ctx, func(c *change) error {
		op, err := operation(ctx, c, operationID)
		if err != nil {
			return err
		}
		if op.Status != orchestrator.OperationRunning {
			return orchestrator.Errorf(orchestrator.CodeState, "The operation %s cannot start: it is %s.", op.ID, op.Status).WithHint("berth env list")
		}
		if op.StartedAt != nil {
			return nil // what has been reported since stands
		}
		if err := c.exec(ctx, `UPDATE operations SET started_at = ? WHERE id = ?`, micros(at), op.ID); err != nil {
			return err
		}
		if err := s.setEnvironment(ctx, c, op.EnvironmentID, environment, at); err != nil {
			return err
		}
		for id, status := range servers {
			if err := c.exec(ctx, `UPDATE servers SET status = ? WHERE id = ? AND destroyed_at IS NULL`, status, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// TryAgain adds a failed attempt to an operation that runs, and the event that
// tells so.
func (s *Store) TryAgain(ctx context.Context, t orchestrator.Try, e orchestrator.Event) error {
	return s.change(ctx, func(c *change) error {
		op, err := operation(ctx, c, e.OperationID)
		if err != nil {
			return err
		}
		if op.Status != orchestrator.OperationRunning {
			return orchestrator.Errorf(orchestrator.CodeState, "The operation %s cannot be tried again: it is %s.", op.ID, op.Status).WithHint("berth env list")
		}
		tries, err := text(append(op.Tries, t))
		if err != nil {
			return err
		}
		if err := c.exec(ctx, `UPDATE operations SET tries = ? WHERE id = ?`, tries, op.ID); err != nil {
			return err
		}
		c.touch(op.EnvironmentID)
		return insertEvent(ctx, c, e)
	})
}

// End writes an operation's end and lets the next one of its environment run,
// in one transaction. A failed environment leaves no server in motion, a
// destroyed one takes its servers and whatever still waited with it. An operation that has ended already stays as it is.
func (s *Store) End(ctx context.Context, e orchestrator.Ending) error {
	if !e.Status.Ended() {
		return fmt.Errorf("the operation %s cannot end as %s", e.OperationID, e.Status)
	}
	return s.change(ctx, func(c *change) error {
		op, err := operation(ctx, c, e.OperationID)
		if err != nil || op.Status.Ended() {
			return err
		}
		environment := op.EnvironmentID
		c.touch(environment)
		if err := insertOccurrences(ctx, c, e.Occurrences); err != nil {
			return err
		}
		var diagnosis any
		if e.Diagnosis != nil {
			if err := share(ctx, c, e.Diagnosis, e.At); err != nil {
				return err
			}
			if diagnosis, err = text(e.Diagnosis); err != nil {
				return err
			}
		}
		if err := c.exec(ctx, `UPDATE operations SET status = ?, ended_at = ?, diagnosis = ? WHERE id = ?`, e.Status, micros(e.At), diagnosis, op.ID); err != nil {
			return err
		}
		if diagnosis != nil && e.Status != orchestrator.OperationSucceeded {
			if err := c.exec(ctx, `UPDATE environments SET failed_operation_id = ? WHERE id = ?`, op.ID, environment); err != nil {
				return err
			}
		}
		if e.Status == orchestrator.OperationSucceeded && mends(op.Kind) {
			// Should something fail by itself from now on, that is another failure.
			if e.Environment == orchestrator.StatusReady {
				if err := c.exec(ctx, `UPDATE environments SET failed_operation_id = NULL WHERE id = ?`, environment); err != nil {
					return err
				}
			}
			if err := mend(ctx, c, environment, op.Apps, orchestrator.Mending{By: op.Actor, How: op.Text, At: e.At}); err != nil {
				return err
			}
		}
		if e.Event.OperationID == "" {
			e.Event.OperationID = op.ID
		}
		if e.Event.At.IsZero() {
			e.Event.At = e.At
		}
		if e.Event.Step == "" {
			e.Event.Step = string(e.Status)
		}
		if err := insertEvent(ctx, c, e.Event); err != nil {
			return err
		}
		if e.Environment != "" {
			if err := s.setEnvironment(ctx, c, environment, e.Environment, e.At); err != nil {
				return err
			}
		}
		if len(e.Show.Place) > 0 {
			if err := c.exec(ctx, `INSERT INTO cards (operation_id, door, place) VALUES (?,?,?) ON CONFLICT DO NOTHING`, op.ID, e.Show.Door, e.Show.Place); err != nil {
				return err
			}
		}
		if e.Environment == orchestrator.StatusFailed {
			// Nothing moves them any more.
			if err := c.exec(ctx, `UPDATE servers SET status = ? WHERE environment_id = ? AND status IN (?, ?, ?)`, orchestrator.StatusFailed, environment,
				orchestrator.StatusCreating, orchestrator.StatusDeploying, orchestrator.StatusDestroying); err != nil {
				return err
			}
		}
		if e.Environment == orchestrator.StatusDestroyed {
			return dropQueued(ctx, c, environment, e.At)
		}
		return s.promote(ctx, c, environment)
	})
}

// dropQueued cancels what still waited for an environment that is gone.
func dropQueued(ctx context.Context, c *change, environmentID string, at time.Time) error {
	var ids []string
	err := each(ctx, c, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM operations WHERE environment_id = ? AND status = 'queued' ORDER BY seq`, environmentID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.exec(ctx, `UPDATE operations SET status = 'canceled', ended_at = ? WHERE id = ?`, micros(at), id); err != nil {
			return err
		}
		if err := insertEvent(ctx, c, orchestrator.Event{OperationID: id, At: at, Step: string(orchestrator.OperationCanceled),
			Text: "canceled: the environment was destroyed before this could start"}); err != nil {
			return err
		}
	}
	return nil
}

// CancelQueued takes an operation out of the queue, with the servers that it
// was to make, and says whether it still waited.
func (s *Store) CancelQueued(ctx context.Context, k orchestrator.Cancellation) (bool, error) {
	canceled := false
	err := s.change(ctx, func(c *change) error {
		op, err := operation(ctx, c, k.OperationID)
		if err != nil || op.Status != orchestrator.OperationQueued {
			return err
		}
		canceled = true
		c.touch(op.EnvironmentID)
		if err := c.exec(ctx, `UPDATE operations SET status = 'canceled', ended_at = ?, cancel_key = ? WHERE id = ?`, micros(k.At), nullable(k.Key), op.ID); err != nil {
			return err
		}
		if op.Kind == orchestrator.KindServerCreate {
			for _, app := range op.Apps {
				if err := c.exec(ctx, `UPDATE servers SET status = ?, destroyed_at = ? WHERE environment_id = ? AND app = ? AND generation = 0 AND destroyed_at IS NULL`,
					orchestrator.StatusDestroyed, micros(k.At), op.EnvironmentID, app); err != nil {
					return err
				}
			}
		}
		return insertEvent(ctx, c, orchestrator.Event{OperationID: op.ID, At: k.At, Step: string(orchestrator.OperationCanceled), Text: "canceled while it still waited; nothing was changed"})
	})
	return canceled && err == nil, err
}

// RequestCancel asks whoever runs an operation to stop; see CancelRequested.
func (s *Store) RequestCancel(ctx context.Context, k orchestrator.Cancellation) error {
	return s.change(ctx, func(c *change) error {
		n, err := c.count(ctx, `UPDATE operations SET cancel_requested = 1, cancel_key = coalesce(cancel_key, ?) WHERE id = ?`, nullable(k.Key), k.OperationID)
		if err == nil && n == 0 {
			return noOperation(k.OperationID)
		}
		return err
	})
}

// CancelRequested reports whether somebody has asked for an operation to stop.
func (s *Store) CancelRequested(ctx context.Context, operationID string) (bool, error) {
	var asked bool
	err := s.read.QueryRowContext(ctx, `SELECT cancel_requested FROM operations WHERE id = ?`, operationID).Scan(&asked)
	if errors.Is(err, sql.ErrNoRows) {
		return false, noOperation(operationID)
	}
	return asked, s.fail(err)
}

func insertEvent(ctx context.Context, c *change, e orchestrator.Event) error {
	return c.exec(ctx, `INSERT INTO events (operation_id, at, server, step, text) VALUES (?,?,?,?,?)`, e.OperationID, micros(e.At), e.Server, e.Step, e.Text)
}

// AddEvents appends to the course of operations, all or none.
func (s *Store) AddEvents(ctx context.Context, events []orchestrator.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.change(ctx, func(c *change) error {
		for _, e := range events {
			if err := insertEvent(ctx, c, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// AddSteps appends to the course of operations what servers say of their own
// work, all or none but for what would be above most events of one operation and
// server.
func (s *Store) AddSteps(ctx context.Context, events []orchestrator.Event, most int) error {
	if len(events) == 0 {
		return nil
	}
	return s.change(ctx, func(c *change) error {
		type course struct{ operation, server string }
		room := map[course]int{}
		for _, e := range events {
			of := course{e.OperationID, e.Server}
			if _, known := room[of]; !known {
				var there int
				if err := c.QueryRowContext(ctx, `SELECT count(*) FROM events WHERE operation_id = ? AND server = ?`, e.OperationID, e.Server).Scan(&there); err != nil {
					return err
				}
				room[of] = most - there
			}
			if room[of] <= 0 {
				continue
			}
			room[of]--
			if err := insertEvent(ctx, c, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// Events gives an operation's events after a sequence number (0: all), in the
// order in which they were written.
func (s *Store) Events(ctx context.Context, operationID string, afterSeq int64) ([]orchestrator.Event, error) {
	all := []orchestrator.Event{}
	err := each(ctx, s.read, func(scan func(...any) error) error {
		var e orchestrator.Event
		var at int64
		err := scan(&e.Seq, &e.OperationID, &at, &e.Server, &e.Step, &e.Text)
		e.At = fromMicros(at)
		all = append(all, e)
		return err
	}, `SELECT seq, operation_id, at, server, step, text FROM events WHERE operation_id = ? AND seq > ? ORDER BY seq`, operationID, afterSeq)
	return all, s.fail(err)
}
