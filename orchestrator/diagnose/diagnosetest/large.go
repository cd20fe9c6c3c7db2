package diagnosetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Large is a result of Salt that is as large as one gets, in a shape that a
// careless reader would be slow at.
type Large struct {
	Name  string
	Input []byte
	// Causes is how many causes it has, Blocked how many steps they stopped.
	Causes, Blocked int
}

// step is a step as Salt writes it, in Salt's order.
type step struct {
	Name      string            `json:"name"`
	Changes   map[string]string `json:"changes"`
	Result    bool              `json:"result"`
	Comment   string            `json:"comment"`
	SLS       string            `json:"__sls__"`
	RunNum    int               `json:"__run_num__"`
	StartTime string            `json:"start_time"`
	Duration  float64           `json:"duration"`
	ID        string            `json:"__id__"`
}

// LargeResults makes one result of each shape, size bytes long.
func LargeResults(size int) []Large {
	const waits = "One or more requisite failed: app."
	failed := func(i int) step { return step{ID: fmt.Sprint("step ", i), Comment: `Command "make all" run`} }
	// What a command prints is quotes, newlines and colours, not letters alone.
	output := strings.Repeat("\x1b[32mcompiling\x1b[0m \"src/übersicht.ts\"\t(12 of 900)\n", 1+size/60)
	return []Large{
		build("one huge output", size, 1, 0, 1, func(int) step {
			s := failed(0)
			s.Changes = map[string]string{"stdout": output, "stderr": "error: src/main.ts is broken", "retcode": "2"}
			return s
		}),
		build("10,000 steps", size, 1, 1, 10_000, func(i int) step {
			switch i {
			case 5000:
				s := failed(i)
				s.Changes = map[string]string{"stderr": "error: src/main.ts is broken", "retcode": "2"}
				return s
			case 5001:
				return step{ID: "next", Comment: waits + "step 5000"}
			}
			return step{ID: fmt.Sprint("step ", i), Result: true, Comment: fmt.Sprint("File /srv/app/", i, " updated")}
		}),
		build("10,000 failed steps in a chain", size, 1, 9_999, 10_000, func(i int) step {
			if i > 0 {
				return step{ID: fmt.Sprint("step ", i), Comment: fmt.Sprint(waits, "step ", i-1)}
			}
			s := failed(0)
			s.Changes = map[string]string{"stderr": "error: src/main.ts is broken", "retcode": "2"}
			return s
		}),
		build("5,000 identical roots", size, 1, 5_000, 10_000, func(i int) step {
			if i >= 5_000 {
				return step{ID: fmt.Sprint("step ", i), Comment: fmt.Sprint(waits, "step ", i-5_000)}
			}
			s := failed(i)
			s.Changes = map[string]string{"stderr": "error: src/main.ts is broken", "retcode": "2"}
			return s
		}),
		build("5,000 roots with names of their own", size, 0, 0, 5_000, func(i int) step {
			return step{ID: fmt.Sprint("step ", i), Name: fmt.Sprint("/srv/", i, "/app.conf"), Comment: "Parent directory not present"}
		}),
		build("5,000 roots, no two alike", size, 0, 0, 5_000, func(i int) step {
			s := failed(i)
			s.Changes = map[string]string{"stderr": fmt.Sprint("error: src/part", i, ".ts is broken"), "retcode": "2"}
			return s
		}),
	}
}

// build fills the steps up to size with what they changed.
func build(name string, size, causes, blocked, steps int, make func(i int) step) Large {
	var b bytes.Buffer
	b.Grow(size + size/8)
	b.WriteString(`{"local": {`)
	for i := range steps {
		s := make(i)
		s.SLS, s.RunNum, s.StartTime, s.Duration = "app", i, "10:11:12.345678", 12.5
		if s.Name == "" {
			s.Name = "make all"
		}
		if s.Changes == nil {
			s.Changes = map[string]string{}
		}
		if room := size/steps - 330 - len(s.Changes["stderr"]); steps > 1 && room > 0 {
			s.Changes["diff"] = strings.Repeat("+setting = \"value\"\n", room/21)
		}
		text, err := json.Marshal(s)
		if err != nil {
			panic(err) // of strings and numbers
		}
		if i > 0 {
			b.WriteString(", ")
		}
		module, function := "cmd", "run"
		if strings.HasPrefix(s.Name, "/") {
			module, function = "file", "managed"
		}
		fmt.Fprintf(&b, `"%s_|-%s_|-%s_|-%s": %s`, module, s.ID, s.Name, function, text)
	}
	b.WriteString(`}}`)
	return Large{Name: name, Input: b.Bytes(), Causes: causes, Blocked: blocked}
}

// Decoded is what a program that only decodes a result of Salt would hold.
type Decoded map[string]map[string]step

// Decode decodes a result with encoding/json, as the measure of what reading it
// costs at least.
func Decode(input []byte) (Decoded, error) {
	var d Decoded
	err := json.Unmarshal(input, &d)
	return d, err
}
