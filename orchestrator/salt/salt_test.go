package salt

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func chunk(sls, id string, order int, result, comment string) string {
	c, _ := json.Marshal(comment)
	return fmt.Sprintf(`"cmd_|-%s_|-%s_|-run":{"name":%q,"result":%s,"comment":%s,"changes":{},"__sls__":%q,"__id__":%q,"__run_num__":%d}`,
		id, id, id, result, c, sls, id, order)
}

func TestReadShapes(t *testing.T) {
	t.Parallel()
	x := "{" + chunk("app", "a", 1, "false", "no") + "," + chunk("app", "b", 0, "true", "yes") + "}"
	tests := []struct {
		name, in string
		want     string // id:kind:states:messages per server
	}{
		{"salt-call", `{"local":` + x + `}`, "local:states:2:0"},
		{"bare chunks", x, ":states:2:0"},
		{"leaked failhard", `{"local":{"__FAILHARD__":true,` + x[1:] + `}`, "local:states:2:0"},
		{"one document a server", `{"m1":` + x + "}\n{\"m2\":" + x + `}`, "m1:states:2:0 m2:states:2:0"},
		{"static", `{"m1":` + x + `,"m2":["No matching sls found for 'x' in env 'base'"],"m3":false}`, "m1:states:2:0 m2:messages:0:1 m3:silent:0:0"},
		{"salt-api", `{"return":[{"m1":` + x + `,"m2":false}]}`, "m1:states:2:0 m2:silent:0:0"},
		{"full return", `{"return":[{"m1":{"jid":"1","ret":` + x + `,"retcode":2}}]}`, "m1:states:2:0:2"},
		{"async", `{"return":[{"jid":"1","minions":["m1","m2"]}]}`, "m1:queued:0:1 m2:queued:0:1"},
		{"list_job, one is still at it", `{"Minions":["m1","m2"],"Result":{"m1":{"return":` + x + `,"retcode":2}}}`, "m1:states:2:0:2 m2:queued:0:1"},
		{"list_job, pending", `{"return":[{"jid":"1","Function":"state.apply","StartTime":"x","Minions":["m1"],"Result":{}}]}`, "m1:queued:0:1"},
		{"jobs, pending", `{"info":[{"Minions":["m1"],"Result":{}}],"return":[{}]}`, "m1:queued:0:1"},
		{"jobs, with exit codes", `{"info":[{"Minions":["m1"],"Result":{"m1":{"return":` + x + `,"retcode":2}}}],"return":[{"m1":` + x + `}]}`, "m1:states:2:0:2"},
		{"lookup, pending", `{"return":[{}]}`, ":silent:0:1"},
		{"lookup, pending, with its outputter", `{"return":[{"outputter":"highstate","data":{}}]}`, ":silent:0:1"},
		{"nobody", `{}`, ":silent:0:1"},
		{"list of jobs", `{"return":[{"1":{"Function":"state.apply","StartTime":"x"},"2":{"Function":"test.ping","StartTime":"x"}}]}`, ""},
		{"batch", "\nExecuting run on ['m1']\n\n" + `{"retcode":1,"jid":"20261124212302912622","m1":` + x + `}`, "m1:states:2:0"},
		{"byte order mark", "\ufeff" + `["a"]`, ":messages:0:1"},
		{"colours", "\x1b[0;31m[ERROR   ] x\x1b[0m\n\x1b[0m" + `["a"]` + "\x1b[0m", ":messages:0:1"},
		{"lookup", `{"return":[{"outputter":"highstate","data":{"m1":` + x + `}}]}`, "m1:states:2:0"},
		{"list_job", `{"Minions":["m1"],"Result":{"m1":{"return":` + x + `,"retcode":2,"success":false,"out":"highstate"}}}`, "m1:states:2:0:2"},
		{"job cache", `{"fun":"state.apply","id":"m1","jid":"1","retcode":1,"return":["Rendering SLS 'base:s' failed: x"]}`, "m1:messages:0:1:1"},
		{"jobs", `{"info":[{"Minions":["m1"]}],"return":[{"m1":` + x + `}]}`, "m1:states:2:0"},
		{"string", `{"local":"'state.aply' is not available."}`, "local:messages:0:1"},
		{"list", `{"local":["a","b"]}`, "local:messages:0:2"},
		{"bare list", `["a","b"]`, ":messages:0:2"},
		{"queued", `{"local":{"result":true,"comment":"Job queued for execution","queued":true}}`, "local:queued:0:1"},
		{"disabled", `{"local":{"name":"x","result":"False","comment":"Disabled"}}`, "local:messages:0:1"},
		{"no response", `{"m1":"Minion did not return. [No response]"}`, "m1:silent:0:1"},
		{"empty run", `{"local":{}}`, "local:empty:0:0"},
		{"log lines", "[ERROR   ] {'pid': 1}\n[INFO    ] [x]\n" + `{"local":` + x + "}\n[WARNING ] bye {", "local:states:2:0"},
		{"print without newline", `hello [1] {"local":` + x + `}`, "local:states:2:0"},
		{"nothing", "", ""},
		{"words", "Passed invalid arguments to state.apply: {[(", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			r := Read([]byte(tt.in))
			for _, s := range r.Servers {
				g := fmt.Sprintf("%s:%s:%d:%d", s.ID, s.Kind, len(s.States), len(s.Messages))
				if s.HasRetcode {
					g += fmt.Sprint(":", s.Retcode)
				}
				got = append(got, g)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("Read(%s)\n got %q\nwant %q", tt.in, strings.Join(got, " "), tt.want)
			}
			if r.Truncated {
				t.Error("Truncated")
			}
		})
	}
}

func TestReadTruncated(t *testing.T) {
	t.Parallel()
	full := `{"local":{` + chunk("app", "a", 0, "true", "ok") + "," + chunk("app", "b", 1, "false", "no, \"really\"") + `}}`
	for i := 1; i < len(full)-1; i++ {
		r := Read([]byte(full[:i]))
		if !r.Truncated {
			t.Fatalf("%q is not called truncated", full[:i])
		}
	}
	r := Read([]byte(full[:len(full)-1]))
	if len(r.Servers) != 1 || len(r.Servers[0].States) != 2 {
		t.Errorf("the whole states of a cut result are lost: %+v", r)
	}
}

func TestStateFields(t *testing.T) {
	t.Parallel()
	r := Read([]byte(`{"local":{"file_|-a_|-b_|-c_|-symlink":{"name":["x"],"result":false,"comment":["one","two"],"changes":{"ret":{"stderr":"s\u00e9","retcode":3},"n":{"k":1}},"__run_num__":7,"warnings":["w"]},
		"mysql_|-d_|-d_|-present":{"result":false,"comment":"State 'mysql.present' was not found in SLS 'base:db'\n","changes":{}}}}`))
	s := r.Servers[0].States
	if len(s) != 2 || s[1].ID != "a" || s[1].Name != "b_|-c" || s[1].Function != "symlink" || s[1].Comment != "one\ntwo" || s[1].Changes["stderr"] != "sé" || s[1].Changes["retcode"] != "3" || s[1].Warnings[0] != "w" {
		t.Errorf("%+v", s)
	}
	if n := len(s[1].Changes); n != 2 {
		t.Errorf("of what was changed, %d values are kept: %v", n, s[1].Changes)
	}
	if s[0].Key() != "db.d" {
		t.Errorf("the recipe in the comment is not used: %q", s[0].Key())
	}
}

func TestRoots(t *testing.T) {
	t.Parallel()
	const wait = "One or more requisite failed: "
	tests := []struct {
		name    string
		chunks  []string
		roots   string // key/blocks, in order
		blocked int
	}{
		{"chain", []string{chunk("a", "r", 1, "false", "x"), chunk("a", "m", 2, "false", wait+"a.r"), chunk("a", "l", 3, "false", wait+"a.m")}, "a.r/2", 2},
		{"two roots in the order of the run", []string{chunk("a", "z", 1, "false", "x"), chunk("a", "b", 2, "false", "y"), chunk("a", "c", 3, "false", wait+"a.b, a.z")}, "a.z/1 a.b/1", 1},
		{"commas in IDs", []string{chunk("a", "out, v2", 1, "false", "x"), chunk("a", "out", 2, "true", ""), chunk("b", "c", 3, "false", wait+"a.out, v2, a.out, v2")}, "a.out, v2/1", 1},
		{"an ID that begins like another", []string{chunk("a", "out", 1, "false", "x"), chunk("a", "out, v2", 2, "false", wait+"a.out"), chunk("b", "c", 3, "false", wait+"a.out, v2")}, "a.out/2", 2},
		{"filtered", []string{chunk("a", "b", 2, "false", wait+"a.gone"), chunk("a", "c", 3, "false", wait+"a.b")}, "a.gone/2", 2},
		{"circle", []string{chunk("a", "b", 1, "false", wait+"a.c"), chunk("a", "c", 2, "false", wait+"a.b")}, "a.b/1", 2},
		{"circle with its member", []string{chunk("a", "b", 1, "false", wait+"a.c"), chunk("a", "c", 2, "false", "Recursive requisite found")}, "a.c/1", 1},
		{"soft successor", []string{chunk("a", "b", 1, "false", "x"), chunk("a", "c", 2, "true", "State was not run because onchanges req did not change")}, "a.b/0", 0},
		{"test mode", []string{chunk("a", "b", 1, "null", "x")}, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Read([]byte(`{"local":{` + strings.Join(tt.chunks, ",") + `}}`))
			tree := Roots(r.Servers[0].States)
			var got []string
			for i, root := range tree.Roots {
				got = append(got, fmt.Sprintf("%s/%d", root.Name, tree.Reach([][]int{{i}}, 100)[0].Total))
			}
			if strings.Join(got, " ") != tt.roots || tree.Blocked != tt.blocked || tree.Total != len(tt.chunks) {
				t.Errorf("got %q (blocked %d of %d), want %q (%d)", got, tree.Blocked, tree.Total, tt.roots, tt.blocked)
			}
		})
	}
}

func TestSharedID(t *testing.T) {
	t.Parallel()
	in := `{"local":{"pkg_|-e_|-e_|-installed":{"result":false,"comment":"x","__sls__":"w","__id__":"e","__run_num__":0},
	"file_|-e_|-f_|-managed":{"result":false,"comment":"One or more requisite failed: w.e","__sls__":"w","__id__":"e","__run_num__":1},
	"service_|-e_|-e_|-running":{"result":false,"comment":"One or more requisite failed: w.e","__sls__":"w","__id__":"e","__run_num__":2}}}`
	tree := Roots(Read([]byte(in)).Servers[0].States)
	if len(tree.Roots) != 1 || tree.Roots[0].State.Module != "pkg" || tree.Blocked != 2 {
		t.Errorf("%+v", tree)
	}
}

func TestProgressLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want Event
		ok   bool
	}{
		{"[INFO    ] Running state [git@h:o/r.git] at time 10:11:12.345678", Event{Step: StepRunning, Name: "git@h:o/r.git"}, true},
		{"[INFO    ] Executing state git.latest for [git@h:o/r.git]", Event{Step: StepExecuting, Name: "git@h:o/r.git", Function: "git.latest"}, true},
		{"[INFO    ] Completed state [echo [x]] at time 10:11:12.345678 (duration_in_ms=93.735)", Event{Step: StepCompleted, Name: "echo [x]", Duration: 93735 * time.Microsecond}, true},
		{"[INFO    ] Completed state [x] at time 10:11:12.345678 duration_in_ms=1.5", Event{Step: StepCompleted, Name: "x", Duration: 1500 * time.Microsecond}, true},
		{"[INFO    ] Loading fresh modules for state activity", Event{}, false},
		{"", Event{}, false},
	}
	for _, tt := range tests {
		if got, ok := ProgressLine(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("ProgressLine(%q) = %+v, %v", tt.in, got, ok)
		}
	}
}

func FuzzProgressLine(f *testing.F) {
	f.Add("[INFO    ] Running state [a] at time 10:11:12.345678")
	f.Add("[INFO    ] Executing state git.latest for [a]")
	f.Add("[INFO    ] Completed state [a] at time 10:11:12.345678 (duration_in_ms=93.735)")
	f.Add("Completed state [a] at time 1:1 duration_in_ms=1e999")
	f.Fuzz(func(t *testing.T, line string) {
		e, ok := ProgressLine(line)
		if !ok && e != (Event{}) {
			t.Errorf("%q is no progress and gives %+v", line, e)
		}
		if ok && (!strings.Contains(line, e.Name) || !strings.Contains(line, e.Function) || e.Duration < 0 || e.Step == "" || (e.Function != "") != (e.Step == StepExecuting)) {
			t.Errorf("%q gives %+v", line, e)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"local":{` + chunk("a", "b", 1, "false", "One or more requisite failed: a.b, c") + `}}`))
	f.Add([]byte(`{"return":[{"m1":{"jid":"1","ret":["x"],"retcode":2},"m2":false}]}`))
	f.Add([]byte(`[[[{"a":[`))
	f.Add([]byte("{\"a\":\"\\ud83d\xff\"}"))
	cases, _ := filepath.Glob("../../testdata/salt/*/result.json")
	for _, c := range cases {
		if b, err := os.ReadFile(c); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range Read(b).Servers {
			tree := Roots(s.States)
			if tree.Blocked > tree.Failed || tree.Failed > tree.Total || (tree.Failed > 0) != (len(tree.Roots) > 0) {
				t.Errorf("%+v", tree)
			}
		}
		ProgressLine(string(b))
	})
}

func BenchmarkRead(b *testing.B) {
	var parts []string
	pad := strings.Repeat("lorem ipsum ", 300)
	for i := range 2700 {
		parts = append(parts, chunk("a", fmt.Sprint("s", i), i, "true", pad))
	}
	in := []byte(`{"local":{` + strings.Join(parts, ",") + `}}`)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		Read(in)
	}
}

// TestManual: the examples in a manual, and values in log lines, are nobody's
// answer; what a recipe printed on the same line before the document does not
// hide it.
func TestManual(t *testing.T) {
	t.Parallel()
	for in, servers := range map[string]int{
		"Usage:\n\n    salt '*' state.apply stuff pillar='{\"foo\": \"bar\"}'\n": 0,
		"[INFO    ] missing: [\"tsc@2.0.4\"]\n":                                  0,
		`printed {"local":{}}`:                                                   1,
		`printed {"m1":["No matching sls found"]}`:                               1,
		"{\"m1\":\"Minion did not return\"}\n":                                   1,
		`  {"m1":"Minion did not return"}`:                                       1,
		`{"m1":["x"]}{"m2":"Minion did not return"}`:                             2,
		"a: {\"x\": \"y\"}\n{\"local\":[\"refused\"]}\n":                         1,
	} {
		if r := Read([]byte(in)); len(r.Servers) != servers {
			t.Errorf("%q: %+v", in, r)
		}
	}
}

// What is longer than anybody reads keeps its ends, whole, wherever the cut falls.
func TestLongText(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{`a`, `\\`, `\"`, `\n`, `\u00e9`, `\u00e9x`, `\\\"`, `\\u00e9`, `ü`} {
		for shift := range 7 {
			val := `"` + strings.Repeat("-", shift) + "begin" + strings.Repeat(piece, 200_000/len(piece)) + `end"`
			got := text([]byte(val))
			var plain string
			if err := json.Unmarshal([]byte(val), &plain); err != nil {
				t.Fatal(err)
			}
			if len(got) > maxText+8 || !strings.HasPrefix(plain, got[:len(got)/8]) || !strings.HasSuffix(plain, got[len(got)/2:]) {
				t.Fatalf("%q %d: %d bytes, %.40q", piece, shift, len(got), got)
			}
			if !utf8.ValidString(got) {
				t.Fatalf("%q %d is no UTF-8", piece, shift)
			}
		}
	}
}
