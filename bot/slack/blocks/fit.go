package blocks

import (
	"encoding/json"
	"fmt"

	slackgo "github.com/slack-go/slack"

	"github.com/berth-dev/berth/bot/view"
)

// Slack's limits, in characters unless it says otherwise; see its reference of
// Block Kit.
const (
	maxBlocks      = 50
	maxViewBlocks  = 100
	maxSection     = 3000
	maxField       = 2000
	maxFields      = 10
	maxHeader      = 150
	maxButton      = 75
	maxValue       = 2000
	maxActions     = 25
	maxMenu        = 100
	maxSuggestions = 50 // Slack takes 100, but an acknowledgement only 20 KB
	maxOption      = 75
	maxOptionValue = 150
	maxID          = 255
	maxConfirm     = 300
	maxTitle       = 24
	maxText        = 3900
	// maxMessage is how many bytes of JSON a message's blocks may have: safely
	// below where Slack was seen to refuse them.
	maxMessage = 12_400
	// maxView is the same for a modal or a Home, of which Slack takes 250 KB.
	maxView = 200_000
)

// room is what a surface, or what is left of it, can take.
type room struct{ blocks, bytes int }

// noteRoom is kept for the line that tells of what was left out.
const noteRoom = 300

// unit is what is shown together or not at all.
type unit struct {
	blocks []slackgo.Block
	lines  int // how many of a View's Lines are in it
	bytes  int
}

func newUnit(lines int, all ...slackgo.Block) unit {
	u := unit{blocks: all, lines: lines}
	for _, b := range all {
		raw, err := json.Marshal(b)
		if err != nil {
			panic(err) // strings and numbers: they cannot fail
		}
		u.bytes += len(raw) + 1
	}
	return u
}

func sum(all []unit) (r room, lines int) {
	r.bytes = 2
	for _, u := range all {
		r.blocks += len(u.blocks)
		r.bytes += u.bytes
		lines += u.lines
	}
	return r, lines
}

func (r room) takes(o room) bool { return o.blocks <= r.blocks && o.bytes <= r.bytes }

// fit writes parts into a room. Texts become shorter first; if that is not
// enough, the beginning and the last actions stay, and a note says what is
// missing.
func (r *renderer) fit(parts []view.Part, within room) []slackgo.Block {
	var all []unit
	first := r.buttons
	r.most = within.bytes
	for _, limit := range []int{maxSection, 1200, 500} {
		r.buttons = first
		all = r.units(parts, limit)
		if need, _ := sum(all); within.takes(need) {
			return flat(all)
		}
	}
	var tail []unit
	if n := len(all); n > 1 {
		if _, ok := parts[len(parts)-1].(view.Actions); ok && all[n-1].bytes <= within.bytes/3 && len(all[n-1].blocks) <= within.blocks/3 {
			tail = all[n-1:]
			all = all[:n-1]
		}
	}
	used, _ := sum(tail)
	used.blocks++
	used.bytes += noteRoom
	kept := 0
	for _, u := range all {
		if !within.takes(room{used.blocks + len(u.blocks), used.bytes + u.bytes}) {
			break
		}
		used.blocks += len(u.blocks)
		used.bytes += u.bytes
		kept++
	}
	if used.blocks > within.blocks || used.bytes > within.bytes {
		return nil
	}
	out := flat(all[:kept])
	text := "… there is more than fits here."
	if _, lines := sum(all[kept:]); lines > 0 {
		text = fmt.Sprintf("… and %d more that do not fit here.", lines)
	}
	return append(append(out, note(text)), flat(tail)...)
}

func flat(all []unit) []slackgo.Block {
	var out []slackgo.Block
	for _, u := range all {
		out = append(out, u.blocks...)
	}
	return out
}
