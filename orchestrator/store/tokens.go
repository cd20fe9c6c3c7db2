package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/berth-dev/berth/orchestrator"
)

// Token is a key to the API. Only its hash is stored.
type Token struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Person    string     `json:"person"`
	Ops       bool       `json:"ops"`
	CreatedAt time.Time  `json:"created_at"`
	LastUsed  *time.Time `json:"last_used"`
	RevokedAt *time.Time `json:"revoked_at"`
}

const tokenColumns = `id, name, person, ops, created_at, last_used, revoked_at`

func scanToken(scan func(...any) error) (Token, error) {
	var t Token
	var created, used, revoked int64
	err := scan(&t.ID, &t.Name, &t.Person, &t.Ops, &created, &used, &revoked)
	t.CreatedAt, t.LastUsed, t.RevokedAt = fromMicros(created), pointerFromMicros(used), pointerFromMicros(revoked)
	return t, err
}

// CreateToken keeps a new token under the hash of its secret. The name of a
// token that is in force is taken.
func (s *Store) CreateToken(ctx context.Context, t Token, hash string) error {
	return s.change(ctx, func(c *change) error {
		var n int
		if err := c.QueryRowContext(ctx, `SELECT count(*) FROM tokens WHERE name = ? AND revoked_at = 0`, t.Name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return orchestrator.Errorf(orchestrator.CodeNameTaken, "There is already a token called %s.", t.Name).
				WithHint("choose another name, or revoke that one first: berth token revoke %s", t.Name)
		}
		return c.exec(ctx, `INSERT INTO tokens (id, name, person, ops, hash, created_at) VALUES (?,?,?,?,?,?)`, t.ID, t.Name, t.Person, t.Ops, hash, micros(t.CreatedAt))
	})
}

// ListTokens gives every token, oldest first, revoked ones too.
func (s *Store) ListTokens(ctx context.Context) ([]Token, error) {
	all := []Token{}
	err := each(ctx, s.read, func(scan func(...any) error) error {
		t, err := scanToken(scan)
		all = append(all, t)
		return err
	}, `SELECT `+tokenColumns+` FROM tokens ORDER BY created_at, id`)
	return all, s.fail(err)
}

// RevokeToken ends a token, given its ID or its name.
func (s *Store) RevokeToken(ctx context.Context, idOrName string, at time.Time) error {
	return s.change(ctx, func(c *change) error {
		n, err := c.count(ctx, `UPDATE tokens SET revoked_at = ? WHERE (id = ? OR name = ?) AND revoked_at = 0`, micros(at), idOrName, idOrName)
		if err == nil && n == 0 {
			return orchestrator.Errorf(orchestrator.CodeNotFound, "There is no token %q in force.", idOrName).WithHint("berth token list")
		}
		return err
	})
}

// TokenByHash gives the token in force whose secret has this hash, and notes
// that it was used (to the minute).
func (s *Store) TokenByHash(ctx context.Context, hash string) (Token, error) {
	t, err := scanToken(s.read.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE hash = ? AND revoked_at = 0`, hash).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return t, orchestrator.Errorf(orchestrator.CodeNotAllowed, "Berth does not know this token, or it was revoked.").
			WithHint("ask ops for a new one: berth token create NAME")
	}
	if err != nil {
		return t, s.fail(err)
	}
	if now := s.now(); t.LastUsed == nil || now.Sub(*t.LastUsed) >= time.Minute {
		if _, err := s.write.ExecContext(ctx, `UPDATE tokens SET last_used = ? WHERE id = ?`, micros(now), t.ID); err != nil {
			return t, s.fail(err)
		}
	}
	return t, nil
}
