package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

const environmentColumns = `e.id, e.name, e.owner, e.target, e.blueprint, e.size, e.status, e.created_at, e.expires_at, e.expiry_set_at`

func scanEnvironment(scan func(...any) error) (orchestrator.Environment, error) {
	var e orchestrator.Environment
	var created, expires, set int64
	err := scan(&e.ID, &e.Name, &e.Owner, &e.Target, &e.Blueprint, &e.Size, &e.Status, &created, &expires, &set)
	e.CreatedAt, e.ExpiresAt, e.ExpirySetAt = fromMicros(created), fromMicros(expires), fromMicros(max(created, set))
	return e, err
}

// load reads the environments that where (over "environments e") selects, by
// name, with their servers, operations and diagnoses: always four queries.
// Unless whole, the servers come without their user-data and desired document.
func load(ctx context.Context, q querier, whole bool, where string, args ...any) ([]*orchestrator.Environment, error) {
	var all []*orchestrator.Environment
	byID := map[string]*orchestrator.Environment{}
	err := each(ctx, q, func(scan func(...any) error) error {
		e, err := scanEnvironment(scan)
		e.Servers = []orchestrator.Server{}
		all, byID[e.ID] = append(all, &e), &e
		return err
	}, `SELECT `+environmentColumns+` FROM environments e WHERE `+where+` ORDER BY e.name`, args...)
	if err != nil || len(all) == 0 {
		return all, err
	}
	columns := serverColumns
	if whole {
		columns = wholeServerColumns
	}
	err = each(ctx, q, func(scan func(...any) error) error {
		v, err := scanServer(scan, whole)
		if e := byID[v.EnvironmentID]; e != nil {
			v.Name = e.Name + "/" + v.App
			e.Servers = append(e.Servers, v)
		}
		return err
	}, `SELECT `+columns+` FROM servers s JOIN environments e ON e.id = s.environment_id
		WHERE s.destroyed_at IS NULL AND `+where+` ORDER BY s.environment_id, s.app`, args...)
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, func(scan func(...any) error) error {
		op, err := scanOperation(scan)
		if e := byID[op.EnvironmentID]; e != nil {
			e.Operation = &op
		}
		return err
	}, `SELECT `+operationColumns+` FROM environments e JOIN operations o ON o.id = e.operation_id WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, func(scan func(...any) error) error {
		var id, doc string
		var kind orchestrator.Kind
		if err := scan(&id, &kind, &doc); err != nil {
			return err
		}
		if e := byID[id]; e != nil && troubled(e) {
			err := json.Unmarshal([]byte(doc), &e.Diagnosis)
			e.Diagnosis.Name(e.Name)
			if mends(kind) {
				over(e)
			}
			return err
		}
		return nil
	}, `SELECT e.id, o.kind, o.diagnosis FROM environments e JOIN operations o ON o.id = e.failed_operation_id
		WHERE o.diagnosis IS NOT NULL AND `+where, args...)
	return all, err
}

// over takes out of e's diagnosis what is only about servers that are ready
// since, or gone: what still is wrong may have failed at another time.
func over(e *orchestrator.Environment) {
	d := e.Diagnosis
	if d == nil {
		return
	}
	holds := func(name string) bool {
		return slices.ContainsFunc(e.Servers, func(v orchestrator.Server) bool {
			return v.Name == name && v.Status != orchestrator.StatusReady
		})
	}
	had := len(d.Causes)
	d.Causes = slices.DeleteFunc(d.Causes, func(c orchestrator.Cause) bool {
		return c.Server != "" && !holds(c.Server) && !slices.ContainsFunc(c.Servers, holds)
	})
	if had > 0 && len(d.Causes) == 0 {
		e.Diagnosis = nil
	}
}

// troubled reports whether something of e has failed, so that the last
// diagnosis still holds.
func troubled(e *orchestrator.Environment) bool {
	if e.Status == orchestrator.StatusFailed {
		return true
	}
	for _, v := range e.Servers {
		if v.Status == orchestrator.StatusFailed {
			return true
		}
	}
	return false
}

// each runs a query and gives every row to f.
func each(ctx context.Context, q querier, f func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one loads the environment that where selects, or nil.
func (s *Store) one(ctx context.Context, q querier, where string, args ...any) (*orchestrator.Environment, error) {
	all, err := load(ctx, q, true, where, args...)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	for i := range all[0].Servers {
		s.Hear(&all[0].Servers[i])
	}
	return all[0], nil
}

// Environment gives the live environment called name, with its servers in the
// order of their apps, the operation that runs (else the last that ran) and,
// while something of it has failed, the last diagnosis.
func (s *Store) Environment(ctx context.Context, name string) (orchestrator.Environment, error) {
	var found *orchestrator.Environment
	err := s.snapshot(ctx, func(q querier) (err error) {
		if found, err = s.one(ctx, q, `e.name = ? AND e.destroyed_at IS NULL`, name); err != nil || found != nil {
			return err
		}
		var names []string
		err = each(ctx, q, func(scan func(...any) error) error {
			var n string
			err := scan(&n)
			names = append(names, n)
			return err
		}, `SELECT name FROM environments WHERE destroyed_at IS NULL`)
		if err != nil {
			return err
		}
		return noEnvironment(name, names)
	})
	if err != nil {
		return orchestrator.Environment{}, err
	}
	return *found, nil
}

func noEnvironment(name string, names []string) error {
	return &orchestrator.Error{Code: orchestrator.CodeNotFound, Message: fmt.Sprintf("There is no environment %q.", name),
		Hint: "berth env list", Suggestions: orchestrator.Near(name, names)}
}

// EnvironmentByID gives the environment with an ID, destroyed or not.
func (s *Store) EnvironmentByID(ctx context.Context, id string) (orchestrator.Environment, error) {
	var found *orchestrator.Environment
	err := s.snapshot(ctx, func(q querier) (err error) {
		if found, err = s.one(ctx, q, `e.id = ?`, id); err == nil && found == nil {
			err = noEnvironment(id, nil)
		}
		return err
	})
	if err != nil {
		return orchestrator.Environment{}, err
	}
	return *found, nil
}

// CountOwned is the number of live environments that owner has.
func (s *Store) CountOwned(ctx context.Context, owner string) (int, error) {
	var n int
	err := s.read.QueryRowContext(ctx, `SELECT count(*) FROM environments WHERE owner = ? AND destroyed_at IS NULL`, owner).Scan(&n)
	return n, s.fail(err)
}

// Expired gives the live environments whose time is over at now and whose
// destroy is not under way. One whose destroy has failed comes again.
func (s *Store) Expired(ctx context.Context, now time.Time) ([]orchestrator.Environment, error) {
	var out []orchestrator.Environment
	err := s.snapshot(ctx, func(q querier) error {
		all, err := load(ctx, q, false, `e.destroyed_at IS NULL AND e.expires_at > 0 AND e.expires_at <= ? AND NOT EXISTS
			(SELECT 1 FROM operations d WHERE d.environment_id = e.id AND d.kind = 'destroy' AND d.status IN ('queued', 'running'))`, micros(now))
		for _, e := range all {
			for i := range e.Servers {
				s.Hear(&e.Servers[i])
			}
			out = append(out, *e)
		}
		return err
	})
	return out, err
}

// Relabel changes an environment's name, owner, size or expiry, and nothing
// else, and notes that as an operation that has succeeded already. The same
// origin changes it once. A name that is taken is refused.
func (s *Store) Relabel(ctx context.Context, sub orchestrator.Submission, f func(*orchestrator.Environment) error) (orchestrator.Operation, error) {
	var op orchestrator.Operation
	err := s.change(ctx, func(c *change) (err error) {
		var ok bool
		if op, ok, err = byOrigin(ctx, c, sub.Origin.Key); ok || err != nil {
			return err
		}
		id := sub.Operation.EnvironmentID
		e, err := s.one(ctx, c, `e.id = ? AND e.destroyed_at IS NULL`, id)
		if err != nil {
			return err
		}
		if e == nil {
			return noEnvironment(sub.Environment.Name, nil)
		}
		was, end := e.Name, e.ExpiresAt
		if err := f(e); err != nil {
			return err
		}
		if e.Name != was {
			if err := nameFree(ctx, c, e.Name); err != nil {
				return err
			}
		}
		c.touch(id)
		if err := c.exec(ctx, `UPDATE environments SET name = ?, owner = ?, size = ?, expires_at = ? WHERE id = ?`,
			e.Name, e.Owner, e.Size, micros(e.ExpiresAt), id); err != nil {
			return err
		}
		at := sub.Operation.CreatedAt
		if !e.ExpiresAt.Equal(end) {
			if err := c.exec(ctx, `UPDATE environments SET expiry_set_at = ? WHERE id = ?`, micros(at), id); err != nil {
				return err
			}
		}
		// It has ended already: there is no course to show.
		if err := insertOperation(ctx, c, sub.Operation, orchestrator.Origin{Key: sub.Origin.Key}); err != nil {
			return err
		}
		if err := c.exec(ctx, `UPDATE operations SET status = 'succeeded', started_at = ?, ended_at = ? WHERE id = ?`, micros(at), micros(at), sub.Operation.ID); err != nil {
			return err
		}
		if err := insertEvent(ctx, c, sub.Event); err != nil {
			return err
		}
		op, err = operation(ctx, c, sub.Operation.ID)
		return err
	})
	return op, err
}

// nameFree refuses a name that a live environment has, naming its owner.
func nameFree(ctx context.Context, q querier, name string) error {
	var owner string
	err := q.QueryRowContext(ctx, `SELECT owner FROM environments WHERE name = ? AND destroyed_at IS NULL`, name).Scan(&owner)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return orchestrator.NameTaken(name, owner)
}

// setEnvironment sets the status; destroyed takes its servers with it and
// frees the name and the ports.
func (s *Store) setEnvironment(ctx context.Context, c *change, id string, status orchestrator.Status, at time.Time) error {
	c.touch(id)
	if status != orchestrator.StatusDestroyed {
		return c.exec(ctx, `UPDATE environments SET status = ? WHERE id = ?`, status, id)
	}
	if err := c.exec(ctx, `UPDATE environments SET status = ?, destroyed_at = ? WHERE id = ? AND destroyed_at IS NULL`, status, micros(at), id); err != nil {
		return err
	}
	return c.exec(ctx, `UPDATE servers SET status = ?, destroyed_at = ? WHERE environment_id = ? AND destroyed_at IS NULL`, status, micros(at), id)
}

// Environments gives the live environments by name, those of owner only
// unless it is empty. The servers come without user-data and desired document;
// their Needs and the diagnoses are shared between callers and must not be
// changed.
func (s *Store) Environments(ctx context.Context, owner string) ([]orchestrator.Environment, error) {
	all, err := s.list.current(ctx, s)
	if err != nil {
		return nil, s.fail(err)
	}
	var picked []*orchestrator.Environment
	servers := 0
	for _, e := range all {
		if owner == "" || e.Owner == owner {
			picked = append(picked, e)
			servers += len(e.Servers)
		}
	}
	// One allocation for everything: what is handed out is the caller's.
	out := make([]orchestrator.Environment, len(picked))
	operations := make([]orchestrator.Operation, len(picked))
	copies := make([]orchestrator.Server, 0, servers)
	heard := s.seen.all()
	now := s.now()
	for i, e := range picked {
		out[i] = *e
		n := len(copies)
		copies = append(copies, e.Servers...)
		out[i].Servers = copies[n:len(copies):len(copies)]
		for j := range out[i].Servers {
			v := &out[i].Servers[j]
			hear(v, heard[v.ID], now)
		}
		if e.Operation != nil {
			operations[i] = *e.Operation
			out[i].Operation = &operations[i]
		}
	}
	return out, nil
}

// EachEnvironment calls do with each of Environments, until it gives an error.
// Nothing is copied: do must neither change nor keep what it is given, and of
// its servers the agents' state is not set.
func (s *Store) EachEnvironment(ctx context.Context, owner string, do func(*orchestrator.Environment) error) error {
	all, err := s.list.current(ctx, s)
	if err != nil {
		return s.fail(err)
	}
	for _, e := range all {
		if owner == "" || e.Owner == owner {
			if err := do(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// listing is every live environment in memory. Reading ten thousand with their
// servers from SQLite takes a good part of a second; this process makes every
// change itself, so it knows which ones to read again.
type listing struct {
	mu     sync.Mutex // held while reading; never together with a transaction that writes
	byName []*orchestrator.Environment
	loaded bool

	stale sync.Mutex
	ids   map[string]struct{} // changed since they were read

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// start reads everything once in the background, so that the first list does
// not wait for it.
func (l *listing) start(s *Store) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.done.Go(func() {
		// A failure shows again, and is told, at the first list.
		_, _ = l.current(ctx, s)
	})
}

func (l *listing) stop() {
	if l.cancel != nil {
		l.cancel()
	}
	l.done.Wait()
}

// touch notes that environments have changed. It is called after the commit,
// so that whoever reads them again sees it.
func (l *listing) touch(ids []string) {
	l.stale.Lock()
	defer l.stale.Unlock()
	if l.ids == nil {
		l.ids = map[string]struct{}{}
	}
	for _, id := range ids {
		l.ids[id] = struct{}{}
	}
}

// take gives what has changed and forgets it.
func (l *listing) take() map[string]struct{} {
	l.stale.Lock()
	defer l.stale.Unlock()
	ids := l.ids
	l.ids = nil
	return ids
}

// current gives all live environments by name. Neither the slice nor what it
// points to may be changed.
func (l *listing) current(ctx context.Context, s *Store) ([]*orchestrator.Environment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := l.take()
	if l.loaded && len(ids) == 0 {
		return l.byName, nil
	}
	if !l.loaded {
		var all []*orchestrator.Environment
		err := s.snapshot(ctx, func(q querier) (err error) {
			all, err = load(ctx, q, false, `e.destroyed_at IS NULL`)
			return err
		})
		if err != nil {
			return nil, err
		}
		l.byName, l.loaded = all, true
		return all, nil
	}
	changed := make([]string, 0, len(ids))
	for id := range ids {
		changed = append(changed, id)
	}
	filter, err := json.Marshal(changed)
	if err != nil {
		return nil, err
	}
	var fresh []*orchestrator.Environment
	err = s.snapshot(ctx, func(q querier) (err error) {
		fresh, err = load(ctx, q, false, `e.destroyed_at IS NULL AND e.id IN (SELECT value FROM json_each(?))`, string(filter))
		return err
	})
	if err != nil {
		l.touch(changed) // still to be read
		return nil, err
	}
	next := make([]*orchestrator.Environment, 0, len(l.byName)+len(fresh))
	for _, e := range l.byName {
		if _, gone := ids[e.ID]; gone {
			continue
		}
		for len(fresh) > 0 && fresh[0].Name < e.Name {
			next, fresh = append(next, fresh[0]), fresh[1:]
		}
		next = append(next, e)
	}
	l.byName = append(next, fresh...)
	return l.byName, nil
}
