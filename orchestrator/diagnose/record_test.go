package diagnose

import (
	"bytes"
	stdcontext "context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator/diagnose/diagnosetest"
)

// Recorded runs of Terraform are made anew with
//
//	go test ./orchestrator/diagnose -run TestRecordTerraform -record .
//
// and BERTH_TERRAFORM; those of the clouds' programs also need -mirror, a
// folder of unpacked ones (HOST/NAMESPACE/TYPE/VERSION/PLATFORM/…). The
// expectations are written by hand beside each run below.
var (
	recordRuns     = flag.String("record", "", "record the runs of Terraform whose names match")
	providerMirror = flag.String("mirror", "/opt/tf-plugins", "folder of providers for -record")
)

// recording is one run of Terraform that fails, and why it does.
type recording struct {
	name  string
	files map[string]string // $URL, $MIRROR and $DIR are filled in
	// script runs in the folder; empty: init, then apply.
	script string
	env    []string
	cloud  http.Handler // what listens at $URL
	tls    bool         // … with a certificate that nobody knows
	note   string

	code, who string
	alsoCodes []string
	alsoWho   []string
	must      []string
	more      []diagnosetest.TrueCause
}

const applyScript = `init; apply`

// prelude gives a script its commands: result.json is what apply prints,
// stderr.txt what init printed when it failed, or apply's standard error.
const prelude = `
init() { "$TF" init -no-color -input=false "$@" >init.txt 2>&1 || { status=$?; cp init.txt stderr.txt; return $status; }; }
apply() { "$TF" apply -json -auto-approve -input=false "$@" >result.json 2>>stderr.txt; echo $? >exit; }
: >stderr.txt; : >result.json
`

func TestRecordTerraform(t *testing.T) {
	if *recordRuns == "" {
		t.Skip("-record says which runs to record")
	}
	tf := os.Getenv("BERTH_TERRAFORM")
	if tf == "" {
		t.Fatal("BERTH_TERRAFORM names no Terraform")
	}
	version, err := exec.Command(tf, "version", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal(version, &v); err != nil {
		t.Fatal(err)
	}
	which := regexp.MustCompile(*recordRuns)
	for _, r := range recordings {
		if !which.MatchString(r.name) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			recordRun(t, tf, v.Version, r)
		})
	}
}

func recordRun(t *testing.T, tf, version string, r recording) {
	dir := t.TempDir()
	url := "http://127.0.0.1:9"
	if r.cloud != nil {
		s := httptest.NewUnstartedServer(r.cloud)
		if r.tls {
			s.StartTLS()
		} else {
			s.Start()
		}
		defer s.Close()
		url = s.URL
	}
	filled := strings.NewReplacer("$URL", url, "$MIRROR", *providerMirror, "$DIR", dir)
	for name, text := range r.files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(filled.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := r.files["cli.tfrc"]; !ok {
		rc := "provider_installation {\n  filesystem_mirror { path = \"" + *providerMirror + "\" }\n}\n"
		if err := os.WriteFile(filepath.Join(dir, "cli.tfrc"), []byte(rc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := stdcontext.WithTimeout(stdcontext.Background(), 5*time.Minute)
	defer cancel()
	script := r.script
	if script == "" {
		script = applyScript
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", prelude+filled.Replace(script))
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TF=" + tf, "TF_CLI_CONFIG_FILE=" + filepath.Join(dir, "cli.tfrc"),
		"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0"}, r.env...)
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%v: %s", err, out)
	} else if len(out) > 0 {
		t.Logf("%s", out)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		// The folder's name and the port are this run's own.
		b = bytes.ReplaceAll(b, []byte(dir), []byte("/srv/berth/env"))
		b = bytes.ReplaceAll(b, []byte(*providerMirror), []byte("/srv/berth/mirror"))
		if host, err := os.Hostname(); err == nil {
			b = bytes.ReplaceAll(b, []byte("@"+host), []byte("@runner"))
		}
		return b
	}
	exit := 1
	if b, err := os.ReadFile(filepath.Join(dir, "exit")); err == nil {
		_ = json.Unmarshal(bytes.TrimSpace(b), &exit)
	}
	if exit == 0 {
		t.Fatalf("it did not fail:\n%s", read("result.json"))
	}
	causes := append([]diagnosetest.TrueCause{{Code: r.code, Who: r.who, AlsoOKCodes: r.alsoCodes, AlsoOKWho: r.alsoWho}}, r.more...)
	for _, m := range r.must {
		causes[0].MustMention = append(causes[0].MustMention, m)
	}
	meta, err := json.MarshalIndent(map[string]any{"salt": "terraform " + version, "exit": exit, "outcome": "failed", "causes": causes, "note": r.note}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join("..", "..", "testdata", "terraform", r.name)
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"result.json": read("result.json"), "stderr.txt": read("stderr.txt"), "meta.json": append(meta, '\n')} {
		if err := os.WriteFile(filepath.Join(out, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// answer is what a stand-in for a cloud says.
type answer struct {
	status int
	body   string
}

// hetzner speaks the Hetzner Cloud API as far as one server needs it; answers
// replace its own, by method and path.
func hetzner(answers map[string]answer) http.Handler {
	whole := map[string]answer{
		"GET /v1/server_types": {200, `{"server_types":[{"id":1,"name":"cx22","architecture":"x86","cores":2,"memory":4,"disk":40,"storage_type":"local","cpu_type":"shared","prices":[]}],"meta":{"pagination":{"page":1,"per_page":50,"previous_page":null,"next_page":null,"last_page":1,"total_entries":1}}}`},
		"GET /v1/images":       {200, `{"images":[{"id":1,"name":"debian-12","architecture":"x86","type":"system","status":"available","os_flavor":"debian","os_version":"12"}],"meta":{"pagination":{"page":1,"per_page":50,"previous_page":null,"next_page":null,"last_page":1,"total_entries":1}}}`},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Method + " " + r.URL.Path
		a, ok := answers[key]
		if !ok {
			a, ok = answers["*"]
		}
		if own, has := whole[key]; has && answers[key].status == 0 && answers["*"].status == 0 {
			a, ok = own, true
		}
		if !ok {
			a = answer{404, `{"error":{"code":"not_found","message":"not found","details":null}}`}
		}
		if a.status == 0 { // takes the request and never answers
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	})
}

func hetznerError(status int, code, message string) answer {
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"code": code, "message": message, "details": nil}})
	return answer{status, string(b)}
}

// amazon answers each action of EC2, STS and IAM with an error.
func amazon(errs map[string][3]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		e, ok := errs[r.Form.Get("Action")]
		if !ok {
			e = [3]string{"400", "InvalidAction", "The action " + r.Form.Get("Action") + " is not valid for this web service."}
		}
		w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
		status := map[string]int{"200": 200, "400": 400, "401": 401, "403": 403, "409": 409, "500": 500, "503": 503}[e[0]]
		w.WriteHeader(status)
		if status == 200 {
			_, _ = io.WriteString(w, e[2])
			return
		}
		message := strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(e[2])
		if r.Form.Get("Version") == "2011-06-15" || r.Form.Get("Version") == "2010-05-08" {
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>`+e[1]+`</Code><Message>`+message+`</Message></Error><RequestId>0b3f6c1e-7d0a-4a55-9d8e-2f1f0c6a7e00</RequestId></ErrorResponse>`)
			return
		}
		_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<Response><Errors><Error><Code>`+e[1]+`</Code><Message>`+message+`</Message></Error></Errors><RequestID>0b3f6c1e-7d0a-4a55-9d8e-2f1f0c6a7e00</RequestID></Response>`)
	})
}
