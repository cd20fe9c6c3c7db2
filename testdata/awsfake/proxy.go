package awsfake

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Error is one of AWS's; it is answered in the form of the service that was
// called.
type Error struct {
	Status        int // default 400
	Code, Message string
}

// What AWS answers and moto never does. The provider tries again after those
// that are 5xx or throttling, as often as max_retries says.
var (
	// Quota is the account's limit of processors.
	Quota = Error{Code: "VcpuLimitExceeded", Message: "You have requested more vCPU capacity than your current vCPU limit of 5 allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."}
	// Capacity is a size that the zone has no more of. It is a 500.
	Capacity = Error{Status: 500, Code: "InsufficientInstanceCapacity", Message: "We currently do not have sufficient t3.small capacity in the Availability Zone you requested (eu-central-1a). Our system will be working on provisioning additional capacity."}
	// Throttled is too many requests.
	Throttled = Error{Status: 503, Code: "RequestLimitExceeded", Message: "Request limit exceeded."}
	// Unavailable is trouble of AWS's own.
	Unavailable = Error{Status: 503, Code: "Unavailable", Message: "The service is unavailable. Please try again shortly."}
	// Denied is a permission that is missing. Policy says it of itself.
	Denied = Error{Status: 403, Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation."}
	// Expired is a request that comes too late.
	Expired = Error{Code: "RequestExpired", Message: "Request has expired."}
	// ExpiredToken is a session's that is over, as STS says it.
	ExpiredToken = Error{Status: 403, Code: "ExpiredToken", Message: "The security token included in the request is expired"}
	// NotSubscribed is an account that has not been activated.
	NotSubscribed = Error{Status: 401, Code: "OptInRequired", Message: "You are not subscribed to this service. Please go to http://aws.amazon.com to subscribe."}
)

// Fault is what becomes of some calls.
type Fault struct {
	Action string // "RunInstances"; "*" is all
	Skip   int    // so many calls go well first
	Times  int    // so many fail; 0: all from then on
	Error  Error  // what is answered; without a code, the call goes through
	// Drop closes the connection without an answer.
	Drop bool
	// Before is called when a call comes that the fault is for, and the call
	// waits for it: a test's way to do something in its middle.
	Before func()
}

type fault struct {
	Fault
	seen int
}

// Inject has calls fail from now on. What was injected earlier goes first.
func (c *Cloud) Inject(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &fault{Fault: f})
}

// Heal ends all faults and the policy.
func (c *Cloud) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults, c.policy = nil, nil
}

// Calls are all since the account was made or Calls was last asked.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

// Enforce has the account refuse what the policy does not allow.
func (c *Cloud) Enforce(p Policy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policy = &p
}

// due is the fault for this call, if any.
func (c *Cloud) due(action string) *Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		if f.Action != action && f.Action != "*" {
			continue
		}
		f.seen++
		if f.seen > f.Skip && (f.Times == 0 || f.seen <= f.Skip+f.Times) {
			return &f.Fault
		}
	}
	return nil
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	key, call := read(r, body)
	refuse := func(e Error) {
		call.Refused = e.Code
		c.note(call)
		answer(w, call.Service, e)
	}
	if key != c.key {
		refuse(unknownKey(call.Service))
		return
	}
	if err := c.verify(r, body); err != nil {
		refuse(wrongSecret(call.Service))
		return
	}
	c.mu.Lock()
	policy := c.policy
	c.mu.Unlock()
	if policy != nil {
		if action := c.refused(*policy, call); action != "" {
			refuse(denied(call.Service, action, c.Account))
			return
		}
	}
	if f := c.due(call.Action); f != nil {
		if f.Before != nil {
			f.Before()
		}
		if f.Drop {
			call.Refused = "dropped"
			c.note(call)
			panic(http.ErrAbortHandler)
		}
		if f.Error.Code != "" {
			refuse(f.Error)
			return
		}
	}
	c.note(call)
	c.proxy.ServeHTTP(w, r)
}

func (c *Cloud) note(call Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
}

// read says who calls what: the key and the service are in the signature.
func read(r *http.Request, body []byte) (key string, call Call) {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	if parts := strings.Split(scope, "/"); len(parts) == 5 {
		key, call.Service = parts[0], parts[3]
	}
	switch call.Service {
	case "s3":
		call.Action = r.Method + " " + r.URL.Path
	case "dynamodb":
		_, call.Action, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	default:
		call.Form, _ = url.ParseQuery(string(body))
		call.Action = call.Form.Get("Action")
	}
	return key, call
}

// unknownKey is what each service says to a key that nobody has.
func unknownKey(service string) Error {
	switch service {
	case "ec2":
		return Error{Status: 401, Code: "AuthFailure", Message: "AWS was not able to validate the provided access credentials"}
	case "s3":
		return Error{Status: 403, Code: "InvalidAccessKeyId", Message: "The AWS Access Key Id you provided does not exist in our records."}
	case "dynamodb":
		return Error{Code: "UnrecognizedClientException", Message: "The security token included in the request is invalid."}
	}
	return Error{Status: 403, Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid."}
}

// wrongSecret is what each service says to a signature made with another one.
func wrongSecret(service string) Error {
	if service == "ec2" {
		return unknownKey(service)
	}
	return Error{Status: 403, Code: "SignatureDoesNotMatch", Message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
}

func denied(service, action, account string) Error {
	why := fmt.Sprintf("User: arn:aws:iam::%s:user/berth is not authorized to perform: %s because no identity-based policy allows the %s action", account, action, action)
	switch service {
	case "ec2":
		return Error{Status: 403, Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation. " + why}
	case "dynamodb":
		return Error{Code: "AccessDeniedException", Message: why}
	case "s3":
		return Error{Status: 403, Code: "AccessDenied", Message: "Access Denied"}
	}
	return Error{Status: 403, Code: "AccessDenied", Message: why}
}

const requestID = "0b3f6c1e-7d0a-4a55-9d8e-2f1f0c6a7e01"

// answer writes an error as the service does.
func answer(w http.ResponseWriter, service string, e Error) {
	if e.Status == 0 {
		e.Status = http.StatusBadRequest
	}
	var b bytes.Buffer
	text := func(s string) string {
		var out bytes.Buffer
		_ = xml.EscapeText(&out, []byte(s))
		return out.String()
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	switch service {
	case "dynamodb":
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_ = json.NewEncoder(&b).Encode(map[string]string{"__type": "com.amazon.coral.service#" + e.Code, "message": e.Message})
	case "s3":
		fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>", text(e.Code), text(e.Message), requestID)
	case "ec2":
		fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>", text(e.Code), text(e.Message), requestID)
	default:
		fmt.Fprintf(&b, "<ErrorResponse xmlns=\"https://%s.amazonaws.com/doc/\"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>", service, text(e.Code), text(e.Message), requestID)
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(b.Bytes())
}
