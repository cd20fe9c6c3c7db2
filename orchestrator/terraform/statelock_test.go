package terraform_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/testdata/awsfake"
	"github.com/berth-dev/berth/testdata/mirror"
	"github.com/hashicorp/go-version"
)

// stateServer keeps states over HTTP as Terraform's documentation wants it:
// with a password, one lock a state, and no writing past it.
type stateServer struct {
	mu     sync.Mutex
	states map[string][]byte
	locks  map[string][]byte
}

const httpPassword = "hunter2-of-the-state-server"

func newStateServer(t *testing.T) (*stateServer, orchestrator.Backend, map[string]string) {
	t.Helper()
	s := &stateServer{states: map[string][]byte{}, locks: map[string][]byte{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, orchestrator.Backend{Type: "http", Environment: []string{"TF_HTTP_USERNAME", "TF_HTTP_PASSWORD"}, LockTimeout: time.Minute,
			Attributes: map[string]any{"address": server.URL, "lock_address": server.URL, "unlock_address": server.URL, "retry_max": int64(0)}},
		map[string]string{"TF_HTTP_USERNAME": "berth", "TF_HTTP_PASSWORD": httpPassword}
}

func (s *stateServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, password, ok := r.BasicAuth(); !ok || password != httpPassword {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := func(info []byte) string {
		var l struct{ ID string }
		_ = json.Unmarshal(info, &l) // none has no ID
		return l.ID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := r.URL.Path
	held, locked := s.locks[path]
	switch r.Method {
	case http.MethodGet:
		if s.states[path] == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(s.states[path])
	case http.MethodPost, http.MethodDelete:
		if locked && r.URL.Query().Get("ID") != id(held) {
			w.WriteHeader(http.StatusLocked)
			_, _ = w.Write(held)
			return
		}
		if s.states[path] = body; r.Method == http.MethodDelete {
			delete(s.states, path)
		}
	case "LOCK":
		if locked {
			w.WriteHeader(http.StatusLocked)
			_, _ = w.Write(held)
			return
		}
		s.locks[path] = body
	case "UNLOCK":
		// force-unlock sends no number.
		if locked && len(body) > 0 && id(body) != id(held) {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write(held)
			return
		}
		delete(s.locks, path)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// inCloud makes a bucket and a table of locks, and gives the state there in
// the words of the Terraform that there is. Keys are what is in the bucket.
func inCloud(t *testing.T) (b orchestrator.Backend, env map[string]string, keys func() string) {
	t.Helper()
	cloud := awsfake.Start(t)
	env = map[string]string{}
	bucket := "states-" + strings.ToLower(rand.Text()) // buckets of all accounts share one room
	b = orchestrator.Backend{Type: "s3", LockTimeout: time.Minute, Attributes: map[string]any{
		"bucket": bucket, "region": awsfake.Region, "dynamodb_table": "locks", "skip_credentials_validation": true, "skip_metadata_api_check": true}}
	for _, v := range cloud.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			env[name], b.Environment = value, append(b.Environment, name)
		}
	}
	found, _ := binary()
	if found.OpenTofu || version.Must(version.NewVersion(found.Version)).GreaterThanOrEqual(version.Must(version.NewVersion("1.6"))) {
		b.Attributes["endpoints"] = map[string]any{"s3": cloud.URL, "dynamodb": cloud.URL, "sts": cloud.URL, "iam": cloud.URL}
		b.Attributes["use_path_style"] = true
		b.Attributes["skip_requesting_account_id"] = true
	} else {
		b.Attributes["endpoint"], b.Attributes["dynamodb_endpoint"], b.Attributes["force_path_style"] = cloud.URL, cloud.URL, true
	}
	ask := func(program string) string {
		cmd := exec.Command(filepath.Join(mirror.Work(t), "moto", "bin", "python"), "-I", "-c", "import boto3, sys\ns3 = boto3.client('s3', endpoint_url=sys.argv[1])\nbucket = sys.argv[2]\n"+program, cloud.URL, bucket)
		cmd.Env = append(cloud.Environ(), "AWS_DEFAULT_REGION="+awsfake.Region, "PATH="+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	ask(`s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={'LocationConstraint': 'eu-central-1'})
boto3.client('dynamodb', endpoint_url=sys.argv[1]).create_table(TableName='locks', BillingMode='PAY_PER_REQUEST',
  KeySchema=[{'AttributeName': 'LockID', 'KeyType': 'HASH'}], AttributeDefinitions=[{'AttributeName': 'LockID', 'AttributeType': 'S'}])`)
	return b, env, func() string {
		return ask("print(*[o['Key'] for o in s3.list_objects_v2(Bucket=bucket).get('Contents', [])])")
	}
}

func TestLockOutlivesItsRun(t *testing.T) {
	t.Parallel()
	t.Run("http", func(t *testing.T) {
		h := newHouse(t)
		s, b, env := newStateServer(t)
		h.env = env
		h.lockOutlives(b)
		if len(s.states) > 0 || len(s.locks) > 0 {
			t.Errorf("left behind: %v, %v", s.states, s.locks)
		}
		h.foreignLock(s, b)
		h.nowhere(httpPassword)
	})
	t.Run("s3", func(t *testing.T) {
		h := newHouse(t)
		b, env, keys := inCloud(t)
		h.env = env
		h.lockOutlives(b)
		if left := strings.TrimSpace(keys()); left != "" {
			t.Errorf("left behind: %s", left)
		}
		h.nowhere(env["AWS_SECRET_ACCESS_KEY"])
	})
}

// lockOutlives kills a run in the midst of making a server, and goes on.
func (h *house) lockOutlives(b orchestrator.Backend) {
	h.Helper()
	ctx := h.Context()
	open := h.gate()
	creating := h.when("creating api")
	w := workspace("api")
	w.State = b
	run := h.apply(ctx, h.p, w, "op1")
	select {
	case <-creating:
	case got := <-run:
		h.Fatalf("it did not begin: %+v\n%s", got, h.log(got.err))
	}
	dir := h.p.Dir("e1")
	if l, err := h.p.StateLock(ctx, dir); err != nil || l == nil || !l.Working || l.Dead || l.Run != "op1" {
		h.Errorf("while it runs: %+v, %v", l, err)
	}
	var e *orchestrator.Error
	if _, err := h.p.Unlock(ctx, dir, "", true); !errors.As(err, &e) || !strings.Contains(e.Message, "op1") {
		h.Errorf("unlocked under a run: %v", err)
	}
	if err := syscall.Kill(h.started("op1"), syscall.SIGKILL); err != nil {
		h.Fatal(err)
	}
	<-run
	open()

	l, err := h.p.StateLock(ctx, dir)
	if err != nil || l == nil || l.Working || !l.Dead || l.Run != "op1" || l.ID == "" || l.Since == nil || l.Who == "" {
		h.Fatalf("afterwards: %+v, %v", l, err)
	}
	if left, err := h.p.LeftLocks(ctx); err != nil || len(left) != 1 || left["e1"].ID != l.ID {
		h.Errorf("left behind: %+v, %v", left, err)
	}
	w.State.LockTimeout = time.Second
	got := <-h.apply(ctx, h.p, w, "op2")
	if got.err == nil {
		h.Fatal("it went past a lock")
	}
	d := diagnose.Diagnoser{}.Terraform(h.log(got.err))
	if len(d.Causes) != 1 || d.Causes[0].Code != "state_locked" {
		h.Errorf("diagnosis: %+v", d)
	}
	if _, err := h.p.Unlock(ctx, dir, "another", false); !errors.As(err, &e) || !strings.Contains(e.Message, l.ID) {
		h.Errorf("another lock was broken: %v", err)
	}
	// A run that waits says for whom, and goes on when the lock is broken.
	w.State.LockTimeout = 10 * time.Minute
	told := h.when("the lock is held by " + l.Holder())
	waiting := h.apply(ctx, h.p, w, "op3")
	select {
	case <-told:
	case got := <-waiting:
		h.Fatalf("it did not wait: %+v\n%s", got, h.log(got.err))
	}
	if !strings.Contains(h.heard(), "wait: waiting for the lock") {
		h.Errorf("waiting was not told:\n%s", h.heard())
	}
	if broken, err := h.p.Unlock(ctx, dir, l.ID, false); err != nil || broken.ID != l.ID {
		h.Fatalf("unlock: %+v, %v", broken, err)
	}
	if got := <-waiting; got.err != nil || len(got.machines) != 1 {
		h.Fatalf("afterwards: %+v\n%s", got, h.log(got.err))
	}
	if _, err := h.p.Unlock(ctx, dir, "", false); !errors.As(err, &e) || e.Code != orchestrator.CodeNotFound {
		h.Errorf("unlocked twice: %v", err)
	}
	if err := h.p.TryState(ctx, b); err != nil {
		h.Errorf("tried: %v", err)
	}
	if err := h.p.Destroy(ctx, "e1", "op4", h.progress); err != nil {
		h.Fatalf("%v\n%s", err, h.log(err))
	}
	if _, err := os.Stat(filepath.Join(h.servers, "sapi")); err == nil {
		h.Error("the server is still there")
	}
}

// foreignLock is one of somebody whom Berth knows nothing of.
func (h *house) foreignLock(s *stateServer, b orchestrator.Backend) {
	h.Helper()
	w := workspace("api")
	w.State = b
	if got := <-h.apply(h.Context(), h.p, w, "op5"); got.err != nil {
		h.Fatal(got.err)
	}
	s.mu.Lock()
	s.locks["/e1"] = []byte(`{"ID":"7b","Who":"skipper@pier","Created":"2026-11-20T08:09:10.1Z"}`)
	s.mu.Unlock()
	dir := h.p.Dir("e1")
	var e *orchestrator.Error
	if _, err := h.p.Unlock(context.Background(), dir, "", false); !errors.As(err, &e) || !strings.Contains(e.Message, "skipper@pier since 2026-11-20 08:09 UTC") || !strings.Contains(e.Hint, "--force") {
		h.Errorf("a stranger's: %v", err)
	}
	if _, err := h.p.Unlock(context.Background(), dir, "", true); err != nil {
		h.Errorf("by force: %v", err)
	}
}

// log is what a failed run's Terraform said.
func (h *house) log(err error) string {
	var p *orchestrator.ProvisionError
	if errors.As(err, &p) {
		return p.Log
	}
	return ""
}
