package store

import (
	"context"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// befall notes what several environments have in common by now: it begins with
// the second one that fails alike within orchestrator.CommonWithin, unless it
// has gone well between. A developer's own failures are nobody else's.
func befall(ctx context.Context, c *change, all []orchestrator.Occurrence) error {
	for _, o := range all {
		if o.Who == "developer" || o.Kin == "" {
			continue
		}
		n, err := c.count(ctx, `UPDATE incidents SET last_at = max(last_at, ?) WHERE kin = ? AND ended_at = 0`, micros(o.At), o.Kin)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if err := c.exec(ctx, `INSERT INTO incidents (kin, code, who, outside, sentence, since, last_at)
			SELECT kin, ?, ?, ?, ?, min(at), max(at) FROM occurrences WHERE kin = ? AND at >= ?
				AND at > (SELECT coalesce(max(mended_at), 0) FROM occurrences m WHERE m.kin = occurrences.kin)
			GROUP BY kin HAVING count(DISTINCT environment_id) > 1`,
			o.Code, o.Who, o.Outside, o.Sentence, o.Kin, micros(o.At.Add(-orchestrator.CommonWithin))); err != nil {
			return err
		}
	}
	return nil
}

const incidentColumns = `i.id, i.kin, i.code, i.who, i.outside, i.sentence, i.since, i.last_at, i.ended_at, i.logged, i.told, i.state`

func incidents(ctx context.Context, q querier, where string, args ...any) ([]orchestrator.Incident, error) {
	var all []orchestrator.Incident
	err := each(ctx, q, func(scan func(...any) error) error {
		var i orchestrator.Incident
		var since, last, ended int64
		err := scan(&i.ID, &i.Kin, &i.Code, &i.Who, &i.Outside, &i.Sentence, &since, &last, &ended, &i.Logged, &i.Told, &i.State)
		i.Since, i.Last, i.Ended = fromMicros(since), fromMicros(last), pointerFromMicros(ended)
		all = append(all, i)
		return err
	}, `SELECT `+incidentColumns+` FROM incidents i WHERE `+where+` ORDER BY i.id`, args...)
	if err != nil {
		return nil, err
	}
	for n := range all {
		i := &all[n]
		until := i.Last
		err := each(ctx, q, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			i.Environments = append(i.Environments, name)
			return err
		}, `SELECT e.name FROM occurrences o JOIN environments e ON e.id = o.environment_id
			WHERE o.kin = ? AND o.at BETWEEN ? AND ? GROUP BY e.id ORDER BY min(o.seq)`, i.Kin, micros(i.Since), micros(until))
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// share tells the causes of a diagnosis that is about to be kept what they have
// in common with other environments.
func share(ctx context.Context, c *change, d *orchestrator.Diagnosis, now time.Time) error {
	for n := range d.Causes {
		cause := &d.Causes[n]
		open, err := incidents(ctx, c, `i.kin = ? AND i.ended_at = 0`, cause.Kin)
		if err != nil {
			return err
		}
		for _, i := range open {
			cause.Common = i.Common(now)
		}
	}
	return nil
}

// OpenIncidents gives what is going on now, by the fingerprints of its causes.
func (s *Store) OpenIncidents(ctx context.Context, fingerprints []string) (map[string]orchestrator.Incident, error) {
	these, err := text(fingerprints)
	if err != nil {
		return nil, err
	}
	out := map[string]orchestrator.Incident{}
	err = s.snapshot(ctx, func(q querier) error {
		kin := map[string][]string{} // the fingerprints that have it
		err := each(ctx, q, func(scan func(...any) error) error {
			var k, print string
			err := scan(&k, &print)
			kin[k] = append(kin[k], print)
			return err
		}, `SELECT DISTINCT o.kin, o.fingerprint FROM incidents i JOIN occurrences o ON o.kin = i.kin AND o.at >= i.since
			WHERE i.ended_at = 0 AND o.fingerprint IN (SELECT value FROM json_each(?))`, these)
		if err != nil || len(kin) == 0 {
			return err
		}
		all, err := incidents(ctx, q, `i.ended_at = 0`)
		for _, i := range all {
			for _, print := range kin[i.Kin] {
				out[print] = i
			}
		}
		return err
	})
	return out, s.fail(err)
}

// UntoldIncidents gives the incidents of which something was not said yet,
// oldest first: in the log; else by a door, which may have to say that there is
// more of what goes on.
func (s *Store) UntoldIncidents(ctx context.Context, log bool) ([]orchestrator.Incident, error) {
	where := `i.told < 2`
	if log {
		where = `i.logged = 0 OR i.logged < 2 AND i.ended_at > 0`
	}
	var all []orchestrator.Incident
	err := s.snapshot(ctx, func(q querier) (err error) {
		all, err = incidents(ctx, q, where)
		return err
	})
	return all, s.fail(err)
}

// NoteIncident keeps what was said of an incident: what was said before is not
// unsaid, and without State that stays as it is.
func (s *Store) NoteIncident(ctx context.Context, i orchestrator.Incident) error {
	var state any
	if len(i.State) > 0 {
		state = i.State
	}
	return s.change(ctx, func(c *change) error {
		c.quiet = true
		return c.exec(ctx, `UPDATE incidents SET logged = max(logged, ?), told = max(told, ?), state = coalesce(?, state) WHERE id = ?`, i.Logged, i.Told, state, i.ID)
	})
}

// QuietIncidents ends the incidents of which nothing was seen since a time,
// good or bad.
func (s *Store) QuietIncidents(ctx context.Context, since time.Time) error {
	return s.change(ctx, func(c *change) error {
		n, err := c.count(ctx, `UPDATE incidents SET ended_at = last_at WHERE ended_at = 0 AND last_at < ?`, micros(since))
		c.quiet = n == 0
		return err
	})
}
