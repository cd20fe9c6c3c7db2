package app

import (
	"context"
	"time"

	"github.com/berth-dev/berth/bot/wire"
	"github.com/berth-dev/berth/orchestrator/store"
)

// apiTokens gives the store's tokens to the API in the API's form.
type apiTokens struct{ store *store.Store }

func (a apiTokens) CreateToken(ctx context.Context, t wire.Token, hash string) (wire.Token, error) {
	made := store.Token{ID: newID("t"), Name: t.Name, Person: t.Person, Ops: t.Ops, CreatedAt: now()}
	if t.Lifetime != 0 {
		expires := made.CreatedAt.Add(time.Duration(t.Lifetime) * time.Second)
		made.ExpiresAt = &expires
	}
	return apiToken(made), a.store.CreateToken(ctx, made, hash)
}

func (a apiTokens) ListTokens(ctx context.Context) ([]wire.Token, error) {
	all, err := a.store.ListTokens(ctx)
	out := make([]wire.Token, len(all))
	for i, t := range all {
		out[i] = apiToken(t)
	}
	return out, err
}

func (a apiTokens) RevokeToken(ctx context.Context, id string) error {
	return a.store.RevokeToken(ctx, id, now())
}

func (a apiTokens) TokenByHash(ctx context.Context, hash string) (wire.Token, error) {
	t, err := a.store.TokenByHash(ctx, hash)
	return apiToken(t), err
}

func apiToken(t store.Token) wire.Token {
	w := wire.Token{ID: t.ID, Name: t.Name, Person: t.Person, Ops: t.Ops, Created: t.CreatedAt.Format(time.RFC3339), Expired: t.Expired(now())}
	w.Revoked = t.RevokedAt != nil && !w.Expired
	if t.ExpiresAt != nil {
		w.Expires = t.ExpiresAt.Format(time.RFC3339)
	}
	if t.LastUsed != nil {
		w.LastUsed = t.LastUsed.Format(time.RFC3339)
	}
	return w
}
