package diagnose

import (
	"strconv"
	"strings"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/salt"
)

// sample is a real text that the record which holds it explains, and that no
// record before it does. Adding a cause is one record with its samples: the
// tests run each of them, and the list of causes is written from them.
type sample struct {
	// step is what failed, as "module.function NAME"; for machines, "machine
	// ADDRESS"; empty in tables that are not asked about steps.
	step string
	// says is the comment of the step; elsewhere the message or the log.
	says string
	// prints is what a command wrote to standard error.
	prints string
	// exit is a command's exit status; 0: none was told, or 1 where prints is set.
	exit int
	// stderr is what the whole run wrote to standard error.
	stderr string
	// names is what the sentence must hold.
	names []string
	// code and who are set where they depend on more than the record.
	code, who string
}

// sampleID is the ID of every sample's step.
const sampleID = "checkout-step"

// failure is what the tables are asked with.
func (s sample) failure(c context) (*failure, masker) {
	if s.step == "" {
		f := &failure{module: "stderr", comment: s.says, stderr: s.says, vars: vars{"line": commentOf(s.says), "app": "shop", "step": "shop", "name": "shop", "exit": strconv.Itoa(s.exit)}}
		if s.prints != "" {
			f.stderr = s.prints
		}
		return f, newMasker(s.says)
	}
	what, name, _ := strings.Cut(s.step, " ")
	if what == "machine" {
		summary, detail, _ := strings.Cut(s.says, "\n")
		if strings.Contains(s.says, "status code: ") { // one that has a summary alone
			summary, detail = s.says, ""
		}
		return diagnostic{Summary: summary, Detail: detail, Address: name}.failure(false), newMasker(s.says)
	}
	module, function, _ := strings.Cut(what, ".")
	st := salt.State{Module: module, Function: function, ID: sampleID, SLS: "shop", Name: name, Comment: s.says, Outcome: salt.Failed, Changes: map[string]string{}}
	if s.prints != "" || s.exit != 0 {
		code := s.exit
		if code == 0 {
			code = 1
		}
		st.Changes["stderr"], st.Changes["retcode"] = s.prints, strconv.Itoa(code)
	}
	run := saltRun{context: c, stderr: s.stderr}
	return run.failure(st)
}

// explain gives what a table says to a sample.
func (s sample) explain(table []record) (*finding, orchestrator.Cause) {
	f, m := s.failure(context{})
	x := match(table, f)
	if x == nil {
		return nil, orchestrator.Cause{}
	}
	return x, x.cause(f, m, 0)
}

// tables are all of them, by what they are asked about.
func tables() map[string][]record {
	return map[string][]record{
		"steps": stateRecords, "messages": messageRecords, "machines": machineRecords, "first start": bootRecords,
		"health": healthRecords, "problems": problemRecords, "code": fetchRecords, "killed": killedRecords, "no result": stderrRecords, "unknown": families,
	}
}
