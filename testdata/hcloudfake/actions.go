package hcloudfake

import (
	"strconv"
	"time"
)

// action is something that takes its time.
type action struct {
	ID        int64        `json:"id"`
	Status    string       `json:"status"`
	Command   string       `json:"command"`
	Progress  int          `json:"progress"`
	Started   time.Time    `json:"started"`
	Finished  *time.Time   `json:"finished"`
	Error     *actionError `json:"error"`
	Resources []reference  `json:"resources"`

	end   time.Time
	fails *Error
	done  func(ok bool)
}

type actionError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type reference struct {
	ID   int64  `json:"id"`
	Type string `json:"type"`
}

// act begins an action; done is called when it is over. A server is locked
// meanwhile.
func (q *request) act(command string, locked *server, done func(ok bool), on ...reference) action {
	a := &action{ID: q.id("action"), Status: "running", Command: command, Started: q.now, Resources: on,
		end: q.now.Add(time.Duration(q.took) * time.Second), fails: q.fails}
	if locked != nil {
		locked.Locked = true
		a.Resources = append([]reference{{locked.ID, "server"}}, on...)
	}
	a.done = func(ok bool) {
		if locked != nil {
			locked.Locked = false
		}
		if done != nil {
			done(ok)
		}
		q.changed()
	}
	q.actions[a.ID] = a
	q.changed()
	return *a
}

func (c *Cloud) finish(a *action) {
	now := c.now
	a.Finished, a.Progress, a.Status = &now, 100, "success"
	if a.fails != nil {
		a.Status, a.Error = "error", &actionError{a.fails.Code, a.fails.Message}
	}
	a.done(a.fails == nil)
}

func getAction(q *request, id int64) (int, any, *Error) {
	a, ok := q.actions[id]
	if !ok {
		return 0, nil, notFound("action", id)
	}
	return 200, map[string]any{"action": a}, nil
}

// listActions wants the IDs of those that are asked for since January 2025.
func listActions(q *request, _ int64) (int, any, *Error) {
	if len(q.query["id"]) == 0 {
		return 0, nil, refuse(410, "deprecated_api_endpoint", "listing actions without IDs is no longer possible")
	}
	var all []*action
	for _, text := range q.query["id"] {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, nil, invalid("id", "not a number")
		}
		if a, ok := q.actions[id]; ok {
			all = append(all, a)
		}
	}
	return page(q, "actions", all)
}
