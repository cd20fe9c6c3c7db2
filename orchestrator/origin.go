package orchestrator

import (
	"context"
	"time"
)

// Origin says through which door a command came and where its course is to be
// shown. The domain keeps it with the operation and never looks into it.
type Origin struct {
	// Door is the door's name, such as "slack"; empty: nobody is to be told.
	Door string `json:"door"`
	// Key names the delivery that brought the command. A second submission
	// with the same key gives the first one's operation and changes nothing.
	Key string `json:"key"`
	// Place is the door's own address for what it shows, as JSON; empty: this
	// operation is not shown there.
	Place []byte `json:"place,omitempty"`
}

// Delivery is one thing that a door was told from outside (a message, a click)
// and has to work through exactly once, whatever is killed in between.
type Delivery struct {
	Key        string
	Door       string
	Kind       string
	Body       []byte
	ReceivedAt time.Time
}

// Card is what a door shows of one operation. Place is the Origin's; State is
// the door's own note of what it has shown already. Both are JSON.
type Card struct {
	OperationID string
	Door        string
	Place       []byte
	State       []byte
	// Done says that the operation's end has been told.
	Done bool
	// Status and LastEvent (the sequence number) are the operation's.
	Status    OperationStatus
	LastEvent int64
}

// sameWithin is how long a second create in the same words counts as the
// first one, typed or delivered twice.
const sameWithin = 10 * time.Second

// repeated finds the operation that the same delivery has started, or canceled,
// before.
func (s *Service) repeated(ctx context.Context, actor Actor, cmd Command) (Answer, bool, error) {
	if actor.From.Key == "" {
		return Answer{}, false, nil
	}
	op, ok, err := s.Operations.OperationByOrigin(ctx, actor.From.Key)
	if err != nil || !ok {
		return Answer{}, false, err
	}
	e, err := s.Environments.EnvironmentByID(ctx, op.EnvironmentID)
	switch {
	case op.Kind.Label():
		return Answer{Environment: &e}, err == nil, err
	case cmd.Verb == VerbCancel:
		return Answer{Operation: &op, Environment: &e, Note: stopping(op)}, err == nil, err
	}
	return Answer{Operation: &op, Environment: &e}, err == nil, err
}

// again answers a create whose name is taken by what the same person asked
// for in the same words a moment ago: that is one wish, not two.
func (s *Service) again(ctx context.Context, actor Actor, cmd Command, name string) (Answer, bool, error) {
	e, err := s.Environments.Environment(ctx, name)
	if err != nil || e.Owner != actor.Name || s.Now().Sub(e.CreatedAt) > sameWithin {
		return Answer{}, false, nil
	}
	ops, err := s.Operations.Operations(ctx, e.ID) // newest first
	if err != nil || len(ops) == 0 {
		return Answer{}, false, err
	}
	first := ops[len(ops)-1]
	if first.Kind != KindCreate || first.Actor != actor.Name || first.Text != s.Canonical(cmd) {
		return Answer{}, false, nil
	}
	return Answer{Operation: &first, Environment: &e, Note: "You asked for this a moment ago: it is the same environment, not a second one."}, true, nil
}
