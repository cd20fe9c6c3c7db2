package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// insertOccurrences remembers what has failed.
func insertOccurrences(ctx context.Context, c *change, all []orchestrator.Occurrence) error {
	for _, o := range all {
		if err := c.exec(ctx, `INSERT INTO occurrences (fingerprint, kin, outside, code, who, app, environment_id, environment, operation_id, server, place, sentence, evidence, at)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			o.Fingerprint, o.Kin, o.Outside, o.Code, o.Who, o.App, o.EnvironmentID, o.Environment, o.Operation, o.Server, o.Where, o.Sentence, o.Evidence, micros(o.At)); err != nil {
			return err
		}
	}
	return befall(ctx, c, all)
}

// mend notes of what has failed in an environment, on these apps or on none in
// particular, that it has gone well since; no apps: on all.
func mend(ctx context.Context, c *change, environmentID string, apps []string, m orchestrator.Mending) error {
	if apps == nil {
		apps = []string{}
	}
	these, err := text(apps)
	if err != nil {
		return err
	}
	const where = `environment_id = ? AND mended_at = 0 AND (app = '' OR ? OR app IN (SELECT value FROM json_each(?)))`
	// What goes well again in one environment is over for all.
	if err := c.exec(ctx, `UPDATE incidents SET ended_at = ? WHERE ended_at = 0 AND kin IN (SELECT kin FROM occurrences WHERE `+where+`)`,
		micros(m.At), environmentID, len(apps) == 0, these); err != nil {
		return err
	}
	return c.exec(ctx, `UPDATE occurrences SET mended_at = ?, mended_by = ?, mended_how = ? WHERE `+where, micros(m.At), m.By, m.How, environmentID, len(apps) == 0, these)
}

// mends says whether an operation that has ended well has mended what failed
// before it: what takes servers away mends nothing.
func mends(k orchestrator.Kind) bool {
	return k != orchestrator.KindDestroy && k != orchestrator.KindServerDestroy && !k.Label()
}

// chosen is a filter as a condition on occurrences.
func chosen(f orchestrator.CauseFilter) (where string, args []any, err error) {
	conditions := []string{"1"}
	add := func(condition string, value any) {
		conditions, args = append(conditions, condition), append(args, value)
	}
	if f.Fingerprints != nil {
		these, err := text(f.Fingerprints)
		if err != nil {
			return "", nil, err
		}
		add(`fingerprint IN (SELECT value FROM json_each(?))`, these)
	}
	for column, value := range map[string]string{"kin": f.Kin, "app": f.App, "code": f.Code} {
		if value != "" {
			add(column+` = ?`, value)
		}
	}
	if !f.Since.IsZero() {
		add(`at >= ?`, micros(f.Since))
	}
	return strings.Join(conditions, " AND "), args, nil
}

// limit is a filter's limit as SQLite takes it: negative for none.
func limit(f orchestrator.CauseFilter) int {
	if f.Limit <= 0 {
		return -1
	}
	return f.Limit
}

// Occurrences gives the occurrences that f chooses, newest first.
func (s *Store) Occurrences(ctx context.Context, f orchestrator.CauseFilter) ([]orchestrator.Occurrence, error) {
	where, args, err := chosen(f)
	if err != nil {
		return nil, err
	}
	all := []orchestrator.Occurrence{}
	err = each(ctx, s.read, func(scan func(...any) error) error {
		var o orchestrator.Occurrence
		var m orchestrator.Mending
		var at, mended int64
		err := scan(&o.Fingerprint, &o.Kin, &o.Outside, &o.Code, &o.Who, &o.App, &o.EnvironmentID, &o.Environment, &o.Operation, &o.Server, &o.Where, &o.Sentence, &o.Evidence,
			&at, &mended, &m.By, &m.How)
		o.At = fromMicros(at)
		if mended > 0 {
			m.At = fromMicros(mended)
			o.Mended = &m
		}
		all = append(all, o)
		return err
	}, `SELECT fingerprint, kin, outside, code, who, app, environment_id, environment, operation_id, server, place, sentence, evidence, at, mended_at, mended_by, mended_how
		FROM occurrences WHERE `+where+` ORDER BY seq DESC LIMIT ?`, append(args, limit(f))...)
	return all, s.fail(err)
}

// KnownCauses gives what f chooses by fingerprint, the most frequent first and
// of those the latest, with notes. Of fingerprints that are asked for, and of
// an empty filter, it gives those too that have but a note.
func (s *Store) KnownCauses(ctx context.Context, f orchestrator.CauseFilter) ([]orchestrator.KnownCause, error) {
	all := []orchestrator.KnownCause{}
	err := s.snapshot(ctx, func(q querier) error {
		where, args, err := chosen(f)
		if err != nil {
			return err
		}
		place := map[string]int{}
		err = each(ctx, q, func(scan func(...any) error) error {
			var k orchestrator.KnownCause
			var first, last int64
			err := scan(&k.Fingerprint, &k.Code, &k.Who, &k.App, &k.Where, &k.Sentence, &k.Count, &k.Environments, &first, &last)
			k.First, k.Last = fromMicros(first), fromMicros(last)
			place[k.Fingerprint] = len(all)
			all = append(all, k)
			return err
		}, `SELECT o.fingerprint, o.code, o.who, o.app, o.place, o.sentence, a.n, a.environments, a.first, a.latest
			FROM (SELECT max(seq) AS last, count(*) AS n, count(DISTINCT environment_id) AS environments, min(at) AS first, max(at) AS latest
				FROM occurrences WHERE `+where+` GROUP BY fingerprint) a JOIN occurrences o ON o.seq = a.last
			ORDER BY a.n DESC, a.latest DESC, o.fingerprint LIMIT ?`, append(args, limit(f))...)
		if err != nil {
			return err
		}
		prints := slices.Clone(f.Fingerprints)
		for p := range place {
			prints = append(prints, p)
		}
		every := f.Fingerprints == nil && f.Kin == "" && f.App == "" && f.Code == "" && f.Since.IsZero() && f.Limit == 0
		if len(prints) == 0 && !every {
			return nil
		}
		these, err := json.Marshal(prints)
		if err != nil {
			return err
		}
		// The latest comes last and stays.
		err = each(ctx, q, func(scan func(...any) error) error {
			var p string
			var m orchestrator.Mending
			var at int64
			err := scan(&p, &m.By, &m.How, &at)
			m.At = fromMicros(at)
			if i, ok := place[p]; ok {
				all[i].Mended = &m
			}
			return err
		}, `SELECT fingerprint, mended_by, mended_how, mended_at FROM occurrences WHERE mended_at > 0 AND mended_by <> ''
			AND fingerprint IN (SELECT value FROM json_each(?)) ORDER BY mended_at, seq`, string(these))
		if err != nil {
			return err
		}
		return each(ctx, q, func(scan func(...any) error) error {
			var n orchestrator.CauseNote
			var at int64
			err := scan(&n.Fingerprint, &n.Text, &n.By, &at)
			n.At = fromMicros(at)
			i, ok := place[n.Fingerprint]
			if !ok {
				i = len(all)
				all = append(all, orchestrator.KnownCause{Fingerprint: n.Fingerprint})
			}
			all[i].Note = &n
			return err
		}, `SELECT fingerprint, text, by, at FROM cause_notes WHERE ? OR fingerprint IN (SELECT value FROM json_each(?)) ORDER BY fingerprint`, every, string(these))
	})
	return all, s.fail(err)
}

// SetCauseNote keeps the note of a fingerprint, or forgets it where its text is
// empty.
func (s *Store) SetCauseNote(ctx context.Context, n orchestrator.CauseNote) error {
	return s.change(ctx, func(c *change) error {
		if n.Text == "" {
			return c.exec(ctx, `DELETE FROM cause_notes WHERE fingerprint = ?`, n.Fingerprint)
		}
		return c.exec(ctx, `INSERT INTO cause_notes (fingerprint, text, by, at) VALUES (?,?,?,?)
			ON CONFLICT (fingerprint) DO UPDATE SET text = excluded.text, by = excluded.by, at = excluded.at`, n.Fingerprint, n.Text, n.By, micros(n.At))
	})
}

// ForgetOccurrences drops what was seen before a time. Notes stay.
func (s *Store) ForgetOccurrences(ctx context.Context, before time.Time) error {
	return s.change(ctx, func(c *change) error {
		c.quiet = true
		return c.exec(ctx, `DELETE FROM occurrences WHERE at < ?`, micros(before))
	})
}

// LastGood gives the commit of a branch of an app that was deployed last with
// success, in any environment; empty for none.
func (s *Store) LastGood(ctx context.Context, app, branch string) (commit string, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT c.value ->> 'commit' FROM operations o, json_each(o.changes) c
		WHERE o.status = 'succeeded' AND c.value ->> 'app' = ? AND c.value ->> 'branch' = ? ORDER BY o.ended_at DESC, o.seq DESC LIMIT 1`, app, branch).Scan(&commit)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return commit, s.fail(err)
}

// GoodNow gives the name of a live environment whose app is ready at a commit,
// another one than that of a server; empty for none.
func (s *Store) GoodNow(ctx context.Context, app, commit, exceptServer string) (environment string, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT e.name FROM servers v JOIN environments e ON e.id = v.environment_id
		WHERE v.app = ? AND v.revision = ? AND v.status = 'ready' AND v.id <> ? AND v.destroyed_at IS NULL AND e.destroyed_at IS NULL ORDER BY e.created_at DESC LIMIT 1`,
		app, commit, exceptServer).Scan(&environment)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return environment, s.fail(err)
}
