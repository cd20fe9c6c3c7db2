package agent

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The protocol between an agent and Berth. Every request but the enrolment and
// the binary's is signed.
//
//	POST Enroll    Enrollment → 200 {}; the same key again: the same answer;
//	               another key, and a token that is unknown, used or dead: 403
//	GET  Desired   ?after=GENERATION, long poll → 200 orchestrator.Desired, or
//	               204 when PollTime has passed
//	GET  States    + DIGEST → 200, a tar archive (see templates.States)
//	POST Credential orchestrator.LoginRequest → 200 orchestrator.Login; 204:
//	               the repository needs none; 403: it is not this server's; 409:
//	               there is a newer desired state; 422: why there is none, in
//	               words
//	POST Progress  []orchestrator.Progress → 204
//	POST Report    orchestrator.Report → 204
//	GET  Binary    + linux-amd64, linux-arm64 and the same + .sha256 → the
//	               agent itself, for new machines; holds no secret
//
// 401 (unknown key or bad signature) and 410 (the server was destroyed) make
// an agent stop its app and itself. A signature whose time is too far off
// (ErrClock) is 403: the agent then sets its clock by the answer's Date.
const (
	PathEnroll     = "/agent/v1/enroll"
	PathDesired    = "/agent/v1/desired"
	PathStates     = "/agent/v1/states/"
	PathCredential = "/agent/v1/credential"
	PathProgress   = "/agent/v1/progress"
	PathReport     = "/agent/v1/report"
	PathBinary     = "/agent/v1/binary/"

	// QueryAfter is the parameter of PathDesired.
	QueryAfter = "after"

	HeaderServer    = "Berth-Server"
	HeaderTime      = "Berth-Time"
	HeaderSignature = "Berth-Signature"

	// PollTime is how long Berth holds a request for the desired state.
	PollTime = 25 * time.Second
	// MaxSkew is how far a request's time may be from Berth's.
	MaxSkew = 5 * time.Minute
	// MaxBody is the most that an agent sends in one request.
	MaxBody = 8 << 20
)

// Enrollment binds a server's token to the key that presents it first.
type Enrollment struct {
	ServerID  string `json:"server_id"`
	Token     string `json:"token"`
	PublicKey string `json:"public_key"` // Ed25519, standard base64
}

// Key decodes the public key.
func (e Enrollment) Key() (ed25519.PublicKey, error) {
	raw, err := base64.StdEncoding.DecodeString(e.PublicKey)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, errors.New("the public key is not an Ed25519 key in base64")
	}
	return raw, nil
}

// What Verify answers.
var (
	ErrClock     = errors.New("the request's time is too far from Berth's")
	ErrSignature = errors.New("the request is not signed by this server's key")
)

// Sign signs a request; body is what the request will send.
func Sign(r *http.Request, body []byte, serverID string, key ed25519.PrivateKey, now time.Time) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	r.Header.Set(HeaderServer, serverID)
	r.Header.Set(HeaderTime, stamp)
	r.Header.Set(HeaderSignature, base64.StdEncoding.EncodeToString(ed25519.Sign(key, message(r, serverID, stamp, body))))
}

// Verify checks that a request was signed with the server's key at about now.
func Verify(r *http.Request, body []byte, key ed25519.PublicKey, now time.Time) error {
	signature, err := base64.StdEncoding.DecodeString(r.Header.Get(HeaderSignature))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return ErrSignature
	}
	stamp := r.Header.Get(HeaderTime)
	if !ed25519.Verify(key, message(r, r.Header.Get(HeaderServer), stamp, body), signature) {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return ErrSignature
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > MaxSkew || off < -MaxSkew {
		return ErrClock
	}
	return nil
}

// message is what gets signed. The path counts from /agent/v1/ on, so that a
// proxy may put Berth under a path of its own.
func message(r *http.Request, serverID, stamp string, body []byte) []byte {
	target := r.URL.RequestURI()
	if i := strings.Index(target, "/agent/v1/"); i >= 0 {
		target = target[i:]
	}
	sum := sha256.Sum256(body)
	return fmt.Appendf(nil, "berth-agent-v1\n%s\n%s\n%s\n%s\n%s", r.Method, target, serverID, stamp, hex.EncodeToString(sum[:]))
}
