// Package awsfake is an AWS for tests: moto, which keeps EC2, IAM, S3, DynamoDB
// and STS in memory, behind a proxy of this package's. The proxy refuses keys
// that are not the account's, refuses what a policy does not allow, answers
// chosen calls with errors in AWS's own form, since moto has neither quotas nor
// shortages, and notes every call.
//
//	cloud := awsfake.Start(t)
//	cmd.Env = append(cmd.Env, cloud.Environ()...) // credentials, providers
//	cloud.Inject(awsfake.Fault{Action: "RunInstances", Skip: 1, Error: awsfake.Quota})
//	cloud.Calls()                                 // what was asked of it
//
// The module's variables (modules/aws) that lead there are Variables. A test
// binary has one moto; each Start is an account of its own in it, so that tests
// run in parallel. `make clouds` installs what it needs.
package awsfake

import (
	"bufio"
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/berth-dev/berth/testdata/mirror"
)

// Require is the variable that makes tests fail, not skip, where something is
// not installed.
const Require = "BERTH_REQUIRE_AWS"

// Region is where everything is.
const Region = "eu-central-1"

//go:embed server.py
var program string

// moto is the one of this test binary. It ends with its standard input: that
// is, with this process, however it ends.
var moto = sync.OnceValues(func() (*url.URL, error) {
	python := motoPath
	cmd := exec.Command(python, "-I", "-c", program) // nothing of this folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "PYTHONDONTWRITEBYTECODE=1",
		"MOTO_ENABLE_AMI_VALIDATION=true", "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=true", "MOTO_EC2_LOAD_DEFAULT_AMIS=false"}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	var err error
	if motoInput, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		return nil, fmt.Errorf("moto did not start: %w\n%s", err, errs.String())
	}
	return url.Parse("http://127.0.0.1:" + strings.TrimSpace(line))
})

var (
	motoPath string // set before moto is first called
	// Held, for what nobody holds is closed, and moto ends with it.
	motoInput io.WriteCloser
	motoOnce  sync.Once
	accounts  atomic.Int64
)

// Cloud is one account.
type Cloud struct {
	// URL is where all services answer.
	URL string
	// Account is its number.
	Account string
	// Image is an image that is there from the beginning, named
	// debian-12-amd64-20260101 and owned by the account.
	Image string
	// VPC is the account's default network, Subnet one of its subnets.
	VPC, Subnet string

	key, secret string
	config      string // Terraform's CLI configuration
	proxy       http.Handler

	mu     sync.Mutex
	calls  []Call
	faults []*fault
	policy *Policy
}

// Call is one that was made.
type Call struct {
	Service string // as in a policy: "ec2"
	Action  string // "RunInstances"; for S3 the method and the path
	// Form holds the parameters of calls to EC2, IAM and STS.
	Form url.Values
	// Refused is the code of the error that the proxy answered with; moto's own
	// are not told.
	Refused string
}

// Start makes an account. It skips the test where moto or the provider is not
// installed, unless BERTH_REQUIRE_AWS is set.
func Start(t testing.TB) *Cloud {
	t.Helper()
	config := mirror.Config(t, Require, "hashicorp/aws")
	motoOnce.Do(func() { motoPath = filepath.Join(mirror.Work(t), "moto", "bin", "python") })
	if _, err := os.Stat(motoPath); err != nil {
		mirror.Absent(t, Require, fmt.Sprintf("moto is not at %s: run `make clouds`, or name the folder that it installed into in BERTH_WORK.", motoPath))
	}
	target, err := moto()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cloud{Account: fmt.Sprintf("%012d", 100000000000+accounts.Add(1)), config: config,
		key: "AKIA" + rand.Text()[:16], secret: rand.Text() + rand.Text()[:14]}
	c.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.Header.Set("X-Moto-Account-Id", c.Account)
		},
	}
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	c.URL = server.URL
	c.Image = c.AddImage(t, "debian-12-amd64-20260101")
	var subnets struct {
		Subnets []struct {
			ID  string `xml:"subnetId"`
			VPC string `xml:"vpcId"`
		} `xml:"subnetSet>item"`
	}
	c.Ask(t, &subnets, "DescribeSubnets")
	if len(subnets.Subnets) == 0 {
		t.Fatal("moto has no default subnet")
	}
	c.VPC, c.Subnet = subnets.Subnets[0].VPC, subnets.Subnets[0].ID
	c.mu.Lock()
	c.calls = nil
	c.mu.Unlock()
	return c
}

// Environ is what Terraform needs to get there besides the module's variables:
// the account's credentials and the providers.
func (c *Cloud) Environ() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + c.key, "AWS_SECRET_ACCESS_KEY=" + c.secret, "AWS_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true", "TF_CLI_CONFIG_FILE=" + c.config}
}

// Variables are those of modules/aws that lead to the account.
func (c *Cloud) Variables() map[string]any {
	return map[string]any{
		"region":    Region,
		"endpoints": map[string]any{"ec2": c.URL, "iam": c.URL, "sts": c.URL},
	}
}

// AddImage registers an image with the given name and returns its ID.
func (c *Cloud) AddImage(t testing.TB, name string) string {
	t.Helper()
	var image struct {
		ID string `xml:"imageId"`
	}
	c.Ask(t, &image, "RegisterImage", "Name", name, "Architecture", "x86_64", "RootDeviceName", "/dev/xvda", "VirtualizationType", "hvm")
	return image.ID
}

// Ask calls an action of EC2 with the account's own credentials, past faults
// and policy, and decodes its answer into out (may be nil). args are
// alternately names and values.
func (c *Cloud) Ask(t testing.TB, out any, action string, args ...string) {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for pair := range slices.Chunk(args, 2) {
		form.Set(pair[0], pair[1])
	}
	body, err := c.post("ec2", form)
	if err != nil {
		t.Fatalf("%s: %v", action, err)
	}
	if out == nil {
		return
	}
	if err := xml.Unmarshal(body, out); err != nil {
		t.Fatalf("%s: %v\n%s", action, err, body)
	}
}

// InstanceProfile makes an instance profile with a role of the same name.
func (c *Cloud) InstanceProfile(t testing.TB, name string) {
	t.Helper()
	for _, form := range []url.Values{
		{"Action": {"CreateRole"}, "RoleName": {name}, "AssumeRolePolicyDocument": {`{"Version":"2012-10-17","Statement":[]}`}},
		{"Action": {"CreateInstanceProfile"}, "InstanceProfileName": {name}},
		{"Action": {"AddRoleToInstanceProfile"}, "InstanceProfileName": {name}, "RoleName": {name}},
	} {
		form.Set("Version", "2010-05-08")
		if _, err := c.post("iam", form); err != nil {
			t.Fatalf("%s: %v", form.Get("Action"), err)
		}
	}
}

func (c *Cloud) post(service string, form url.Values) ([]byte, error) {
	target, err := moto()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, target.String()+"/", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Moto-Account-Id", c.Account)
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/20260101/%s/%s/aws4_request, SignedHeaders=host, Signature=0", c.key, Region, service))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, nil
}
