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
	// ExpiresAt is when the token ends by itself; nil: never.
	ExpiresAt *time.Time `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
}

// Expired says whether the token has ended by itself, and not before by
// somebody's hand.
func (t Token) Expired(now time.Time) bool {
	return t.ExpiresAt != nil && !now.Before(*t.ExpiresAt) && (t.RevokedAt == nil || !t.RevokedAt.Before(*t.ExpiresAt))
}

const tokenColumns = `id, name, person, ops, created_at, last_used, expires_at, revoked_at`

func scanToken(scan func(...any) error) (Token, error) {
	var t Token
	var created, used, expires, revoked int64
	err := scan(&t.ID, &t.Name, &t.Person, &t.Ops, &created, &used, &expires, &revoked)
	t.CreatedAt, t.LastUsed, t.ExpiresAt, t.RevokedAt = fromMicros(created), pointerFromMicros(used), pointerFromMicros(expires), pointerFromMicros(revoked)
	return t, err
}

// CreateToken keeps a new token under the hash of its secret. The name of a
// token that is in force is taken.
func (s *Store) CreateToken(ctx context.Context, t Token, hash string) error {
	return s.change(ctx, func(c *change) error {
		// One that has expired keeps its name from nobody.
		if err := c.exec(ctx, `UPDATE tokens SET revoked_at = expires_at WHERE name = ? AND revoked_at = 0 AND expires_at > 0 AND expires_at <= ?`, t.Name, micros(t.CreatedAt)); err != nil {
			return err
		}
		var n int
		if err := c.QueryRowContext(ctx, `SELECT count(*) FROM tokens WHERE name = ? AND revoked_at = 0`, t.Name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return orchestrator.Errorf(orchestrator.CodeNameTaken, "There is already a token called %s.", t.Name).
				WithHint("choose another name, or revoke that one first: berth token revoke %s", t.Name)
		}
		expires := int64(0)
		if t.ExpiresAt != nil {
			expires = micros(*t.ExpiresAt)
		}
		return c.exec(ctx, `INSERT INTO tokens (id, name, person, ops, hash, created_at, expires_at) VALUES (?,?,?,?,?,?,?)`, t.ID, t.Name, t.Person, t.Ops, hash, micros(t.CreatedAt), expires)
	})
}

// ListTokens gives every token, oldest first, revoked and expired ones too.
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
	t, err := scanToken(s.read.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE hash = ?`, hash).Scan)
	if err == nil && t.Expired(s.now()) {
		return t, orchestrator.Errorf(orchestrator.CodeNotAllowed, "This token has expired, on %s.", t.ExpiresAt.UTC().Format("2 January 2006 at 15:04 UTC")).
			WithHint("ask ops for a new one: berth token create NAME --person WHO --ttl 30d")
	}
	if errors.Is(err, sql.ErrNoRows) || err == nil && t.RevokedAt != nil {
		return t, orchestrator.Errorf(orchestrator.CodeNotAllowed, "Berth does not know this token, or it was revoked.").
			WithHint("ask ops for a new one: berth token create NAME --person WHO")
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
