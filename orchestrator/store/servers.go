package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

const (
	serverColumns = `s.id, s.environment_id, s.app, s.repository, s.branch, s.commit_id, s.revision, s.running_branch,
		s.generation, s.status, s.address, s.port, s.uid, s.url, s.needs, s.last_seen, s.machine, s.provider_id, s.opening`
	wholeServerColumns = serverColumns + `, s.user_data, s.desired`
	// reportsKept is how many reports of a server are kept for ops.
	reportsKept = 20
	// seenEvery is how often at most an agent's last sign of life is written;
	// between, it is kept in memory alone.
	seenEvery = 20 * time.Second
)

func scanServer(scan func(...any) error, whole bool) (orchestrator.Server, error) {
	var v orchestrator.Server
	var needs string
	var seen int64
	into := []any{&v.ID, &v.EnvironmentID, &v.App, &v.Repository, &v.Branch, &v.Commit, &v.Revision, &v.RunningBranch,
		&v.Generation, &v.Status, &v.Address, &v.Port, &v.UID, &v.URL, &needs, &seen, &v.Machine, &v.ProviderID, &v.Opening}
	if whole {
		into = append(into, &v.UserData, &v.Desired)
	}
	if err := scan(into...); err != nil {
		return v, err
	}
	v.LastSeen = pointerFromMicros(seen)
	if needs != "{}" && needs != "" {
		if err := json.Unmarshal([]byte(needs), &v.Needs); err != nil {
			return v, fmt.Errorf("reading the needs of the server %s: %w", v.ID, err)
		}
	}
	return v, nil
}

func insertServer(ctx context.Context, c *change, v orchestrator.Server, ownPort bool, at time.Time) error {
	needs, err := needsText(v.Needs)
	if err != nil {
		return err
	}
	return c.exec(ctx, `INSERT INTO servers (id, environment_id, app, repository, branch, commit_id, revision, running_branch, generation,
		status, address, port, own_port, uid, url, needs, user_data, desired, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		v.ID, v.EnvironmentID, v.App, v.Repository, v.Branch, v.Commit, v.Revision, v.RunningBranch, v.Generation,
		v.Status, v.Address, v.Port, ownPort, v.UID, v.URL, needs, v.UserData, v.Desired, micros(at))
}

func needsText(needs map[string]string) (string, error) {
	if len(needs) == 0 {
		return "{}", nil
	}
	return text(needs)
}

// server reads one server, destroyed or not.
func (s *Store) server(ctx context.Context, q querier, id string) (orchestrator.Server, error) {
	var name string
	row := q.QueryRowContext(ctx, `SELECT e.name, `+wholeServerColumns+` FROM servers s JOIN environments e ON e.id = s.environment_id WHERE s.id = ?`, id)
	v, err := scanServer(func(into ...any) error { return row.Scan(append([]any{&name}, into...)...) }, true)
	if errors.Is(err, sql.ErrNoRows) {
		return v, noServer(id)
	}
	v.Environment, v.Name = name, name+"/"+v.App
	s.Hear(&v)
	return v, err
}

func noServer(id string) error {
	return orchestrator.Errorf(orchestrator.CodeNotFound, "There is no server %q.", id).WithHint("berth server list")
}

// Server gives the server with an ID, destroyed or not, with its user-data and
// desired document.
func (s *Store) Server(ctx context.Context, id string) (orchestrator.Server, error) {
	v, err := s.server(ctx, s.read, id)
	return v, s.fail(err)
}

// UpdateServer changes a live server in one transaction and gives it back as
// it is then. Its identity (ID, environment, app, port, user) stays. f runs
// within the transaction and must not change anything else through the store.
func (s *Store) UpdateServer(ctx context.Context, id string, f func(*orchestrator.Server) error) (orchestrator.Server, error) {
	return s.SettleServer(ctx, id, func(v *orchestrator.Server) (orchestrator.Settlement, error) {
		return orchestrator.Settlement{}, f(v)
	})
}

// SettleServer is UpdateServer with what is to be written beside: who sees the
// server's new status finds it there, in the same transaction.
func (s *Store) SettleServer(ctx context.Context, id string, f func(*orchestrator.Server) (orchestrator.Settlement, error)) (orchestrator.Server, error) {
	var v orchestrator.Server
	err := s.change(ctx, func(c *change) (err error) {
		if err = live(ctx, c, id); err != nil {
			return err
		}
		if v, err = s.server(ctx, c, id); err != nil {
			return err
		}
		was := v
		with, err := f(&v)
		if err != nil {
			return err
		}
		for _, e := range with.Events {
			if err := insertEvent(ctx, c, e); err != nil {
				return err
			}
		}
		if err := insertOccurrences(ctx, c, with.Occurrences); err != nil {
			return err
		}
		if with.Mended != nil {
			if err := mend(ctx, c, was.EnvironmentID, []string{was.App}, *with.Mended); err != nil {
				return err
			}
		}
		v.ID, v.EnvironmentID, v.Environment, v.Name, v.App, v.Port, v.UID = was.ID, was.EnvironmentID, was.Environment, was.Name, was.App, was.Port, was.UID
		needs, err := needsText(v.Needs)
		if err != nil {
			return err
		}
		c.touch(v.EnvironmentID)
		if err = c.exec(ctx, `UPDATE servers SET repository = ?, branch = ?, commit_id = ?, revision = ?, running_branch = ?, generation = ?,
			status = ?, address = ?, url = ?, needs = ?, user_data = ?, desired = ?, machine = ?, provider_id = ?, opening = ? WHERE id = ?`,
			v.Repository, v.Branch, v.Commit, v.Revision, v.RunningBranch, v.Generation,
			v.Status, v.Address, v.URL, needs, v.UserData, v.Desired, v.Machine, v.ProviderID, v.Opening, id); err != nil {
			return err
		}
		if v.Status == orchestrator.StatusDestroyed {
			return s.removeServer(ctx, c, id)
		}
		if settled(was.Status) && settled(v.Status) && was.Status != v.Status {
			// No operation moves it: an app has failed, or is well again.
			return c.exec(ctx, `UPDATE environments SET status = CASE WHEN EXISTS (SELECT 1 FROM servers WHERE environment_id = ?
				AND destroyed_at IS NULL AND status <> 'ready') THEN 'failed' ELSE 'ready' END WHERE id = ? AND status IN ('ready', 'failed')`, v.EnvironmentID, v.EnvironmentID)
		}
		return nil
	})
	return v, err
}

func settled(s orchestrator.Status) bool {
	return s == orchestrator.StatusReady || s == orchestrator.StatusFailed
}

// live refuses a server that does not exist or is destroyed.
func live(ctx context.Context, q querier, id string) error {
	var destroyed sql.NullInt64
	err := q.QueryRowContext(ctx, `SELECT destroyed_at FROM servers WHERE id = ?`, id).Scan(&destroyed)
	if errors.Is(err, sql.ErrNoRows) || err == nil && destroyed.Valid {
		return noServer(id)
	}
	return err
}

// SetPort gives a live server another port: with own a free one of this
// machine, else port itself, 0 for none. Its user stays.
func (s *Store) SetPort(ctx context.Context, id string, port int, own bool) error {
	return s.change(ctx, func(c *change) error {
		if err := live(ctx, c, id); err != nil {
			return err
		}
		v, err := s.server(ctx, c, id)
		if err != nil {
			return err
		}
		if v.Port = port; own {
			if v.Port, err = s.place(ctx, c, id); err != nil {
				return err
			}
		}
		c.touch(v.EnvironmentID)
		return c.exec(ctx, `UPDATE servers SET port = ?, own_port = ?, url = ? WHERE id = ?`, v.Port, own, orchestrator.URLAt(v, v.Port), id)
	})
}

// RemoveServer marks a server as destroyed and frees its port. A server that
// is destroyed already stays as it is.
func (s *Store) RemoveServer(ctx context.Context, id string) error {
	return s.change(ctx, func(c *change) error {
		v, err := s.server(ctx, c, id)
		if err != nil {
			return err
		}
		c.touch(v.EnvironmentID)
		return s.removeServer(ctx, c, id)
	})
}

func (s *Store) removeServer(ctx context.Context, c *change, id string) error {
	return c.exec(ctx, `UPDATE servers SET status = ?, destroyed_at = ? WHERE id = ? AND destroyed_at IS NULL`,
		orchestrator.StatusDestroyed, micros(s.now()), id)
}

// SetToken gives a server a new enrolment token (its hash) and forgets the key
// that an earlier one was bound to: the machine behind it is a new one.
func (s *Store) SetToken(ctx context.Context, serverID, tokenHash string, expires time.Time) error {
	return s.change(ctx, func(c *change) error {
		if err := live(ctx, c, serverID); err != nil {
			return err
		}
		return c.exec(ctx, `UPDATE servers SET token_hash = ?, token_expires = ?, public_key = NULL WHERE id = ?`, tokenHash, micros(expires), serverID)
	})
}

// ProlongToken lets a server's token be presented until expires; with unbind by
// another key than the one that it was bound to.
func (s *Store) ProlongToken(ctx context.Context, serverID string, expires time.Time, unbind bool) error {
	return s.change(ctx, func(c *change) error {
		if err := live(ctx, c, serverID); err != nil {
			return err
		}
		if unbind {
			return c.exec(ctx, `UPDATE servers SET token_expires = ?, public_key = NULL WHERE id = ?`, micros(expires), serverID)
		}
		return c.exec(ctx, `UPDATE servers SET token_expires = ? WHERE id = ?`, micros(expires), serverID)
	})
}

// Enroll binds a server's token to the first key that presents it. The same
// key may ask again at any time, so that a lost answer strands nobody; every
// other one is refused, in words that do not tell a stranger what was wrong.
func (s *Store) Enroll(ctx context.Context, serverID, tokenHash string, publicKey []byte, now time.Time) error {
	refused := orchestrator.Errorf(orchestrator.CodeNotAllowed, "The server %q may not enrol with this token.", serverID).
		WithHint("the token is bound to another key, expired or not this server's: make the server anew")
	if tokenHash == "" || len(publicKey) == 0 {
		return refused
	}
	return s.change(ctx, func(c *change) error {
		var hash string
		var key []byte
		var expires int64
		err := c.QueryRowContext(ctx, `SELECT token_hash, token_expires, public_key FROM servers WHERE id = ? AND destroyed_at IS NULL`, serverID).
			Scan(&hash, &expires, &key)
		if errors.Is(err, sql.ErrNoRows) {
			return refused
		}
		if err != nil {
			return err
		}
		if subtle.ConstantTimeCompare([]byte(hash), []byte(tokenHash)) != 1 {
			return refused
		}
		if len(key) > 0 {
			if subtle.ConstantTimeCompare(key, publicKey) != 1 {
				return refused
			}
			return nil
		}
		if micros(now) >= expires {
			return refused
		}
		return c.exec(ctx, `UPDATE servers SET public_key = ? WHERE id = ?`, publicKey, serverID)
	})
}

// ServerKey gives the key that a server has enrolled with (nil: none yet) and
// whether the server is still meant to be.
func (s *Store) ServerKey(ctx context.Context, serverID string) (key []byte, live bool, err error) {
	var destroyed sql.NullInt64
	err = s.read.QueryRowContext(ctx, `SELECT public_key, destroyed_at FROM servers WHERE id = ?`, serverID).Scan(&key, &destroyed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, noServer(serverID)
	}
	return key, !destroyed.Valid, s.fail(err)
}

// Seen notes a sign of life of a server's agent. Signs that follow closely are
// kept in memory alone: after a restart the time may lie a little back.
func (s *Store) Seen(ctx context.Context, serverID string, at time.Time) error {
	before, write := s.seen.note(serverID, at)
	if !write {
		return nil
	}
	n := int64(0)
	tx, err := s.write.ExecContext(ctx, `UPDATE servers SET last_seen = ? WHERE id = ? AND last_seen < ?`, micros(at), serverID, micros(at))
	if err == nil {
		n, err = tx.RowsAffected()
	}
	if err != nil {
		s.seen.forget(serverID)
		return s.fail(err)
	}
	// Only an agent that was not online is news to whoever watches.
	if n > 0 && at.Sub(before) >= silentAfter {
		s.watch.tell()
	}
	return nil
}

// sightings is when each agent was last heard.
type sightings struct {
	mu    sync.Mutex
	last  map[string]time.Time
	wrote map[string]time.Time
}

// note keeps at and says when the agent was heard before (by this process),
// and whether the database has to know.
func (g *sightings) note(id string, at time.Time) (before time.Time, write bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last == nil {
		g.last, g.wrote = map[string]time.Time{}, map[string]time.Time{}
	}
	before = g.last[id]
	if at.After(before) {
		g.last[id] = at
	}
	if at.Sub(g.wrote[id]) < seenEvery {
		return before, false
	}
	g.wrote[id] = at
	return before, true
}

func (g *sightings) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.wrote, id)
}

func (g *sightings) of(id string) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last[id]
}

func (g *sightings) all() map[string]time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.last)
}

// Hear sets when v's agent was last heard and what that makes of it.
func (s *Store) Hear(v *orchestrator.Server) { hear(v, s.seen.of(v.ID), s.now()) }

func hear(v *orchestrator.Server, heard, now time.Time) {
	if !heard.IsZero() && (v.LastSeen == nil || heard.After(*v.LastSeen)) {
		heard = heard.UTC()
		v.LastSeen = &heard
	}
	switch {
	case v.LastSeen == nil:
		v.Agent = orchestrator.AgentNever
	case now.Sub(*v.LastSeen) < silentAfter:
		v.Agent = orchestrator.AgentOnline
	default:
		v.Agent = orchestrator.AgentSilent
	}
}

// SaveReport keeps a report and says whether it is the newest about its
// generation: the same server, generation and run twice is one report. Of each
// server the newest twenty are
// kept.
func (s *Store) SaveReport(ctx context.Context, serverID string, r orchestrator.Report) (newest bool, err error) {
	doc, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	err = s.change(ctx, func(c *change) error {
		var known int
		err := c.QueryRowContext(ctx, `SELECT count(*) FROM servers WHERE id = ?`, serverID).Scan(&known)
		if err == nil && known == 0 {
			err = noServer(serverID)
		}
		if err != nil {
			return err
		}
		_, err = c.count(ctx, `INSERT INTO reports (server_id, generation, run, document, received_at) VALUES (?,?,?,?,?)
			ON CONFLICT DO NOTHING`, serverID, r.Generation, r.Run, doc, micros(s.now()))
		if err != nil {
			return err
		}
		var run string
		if err := c.QueryRowContext(ctx, `SELECT run FROM reports WHERE server_id = ? AND generation = ? ORDER BY seq DESC LIMIT 1`,
			serverID, r.Generation).Scan(&run); err != nil {
			return err
		}
		newest = run == r.Run
		return c.exec(ctx, `DELETE FROM reports WHERE server_id = ? AND seq NOT IN
			(SELECT seq FROM reports WHERE server_id = ? ORDER BY seq DESC LIMIT ?)`, serverID, serverID, reportsKept)
	})
	return newest && err == nil, err
}

// Reports gives the reports of a server about a generation that are kept, the
// newest first.
func (s *Store) Reports(ctx context.Context, serverID string, generation int) ([]orchestrator.Report, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT document FROM reports WHERE server_id = ? AND generation = ? ORDER BY seq DESC`, serverID, generation)
	if err != nil {
		return nil, s.fail(err)
	}
	defer rows.Close()
	var out []orchestrator.Report
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return nil, s.fail(err)
		}
		var r orchestrator.Report
		if err := json.Unmarshal(doc, &r); err != nil {
			return nil, fmt.Errorf("reading a report of the server %s: %w", serverID, err)
		}
		out = append(out, r)
	}
	return out, s.fail(rows.Err())
}

// LastReport gives the newest report of a server about a generation, or nil.
func (s *Store) LastReport(ctx context.Context, serverID string, generation int) (*orchestrator.Report, error) {
	var doc []byte
	err := s.read.QueryRowContext(ctx, `SELECT document FROM reports WHERE server_id = ? AND generation = ? ORDER BY seq DESC LIMIT 1`,
		serverID, generation).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, s.fail(err)
	}
	var r orchestrator.Report
	if err := json.Unmarshal(doc, &r); err != nil {
		return nil, fmt.Errorf("reading a report of the server %s: %w", serverID, err)
	}
	return &r, nil
}
