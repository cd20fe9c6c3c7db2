package modules_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/modules"
	"github.com/berth-dev/berth/orchestrator"
	"github.com/berth-dev/berth/orchestrator/catalog"
	"github.com/berth-dev/berth/orchestrator/diagnose"
	"github.com/berth-dev/berth/orchestrator/render"
	"github.com/berth-dev/berth/testdata/awsfake"
	"github.com/berth-dev/berth/testdata/mirror"
)

// workspace is one environment's, rendered as Berth renders it.
type workspace struct {
	*testing.T
	dir   string
	env   []string
	model orchestrator.Workspace
}

func newWorkspace(t *testing.T, cloud *awsfake.Cloud, variables map[string]any) *workspace {
	t.Helper()
	w := &workspace{T: t, dir: t.TempDir(), env: cloud.Environ(), model: orchestrator.Workspace{
		EnvironmentID: "e1",
		Target:        orchestrator.Target{Name: "aws", Module: "aws", Variables: cloud.Variables()},
		Tags:          map[string]string{orchestrator.TagEnvironment: "e1", orchestrator.TagOwner: "maría <m#1>", orchestrator.TagInstallation: "b1"},
		Servers: []orchestrator.WorkspaceServer{
			{ID: "s1", App: "api", Port: 8080, UserData: "#cloud-config\n{token: one}\n", NeededBy: []string{"web"}, Variables: map[string]any{}},
			{ID: "s2", App: "web", Port: 8081, UserData: "#cloud-config\n{token: two}\n", Variables: map[string]any{"instance_type": "t3.micro", "disk_gb": 20}},
		},
	}}
	maps.Copy(w.model.Target.Variables, map[string]any{"image_name": "debian-12-amd64-*", "image_owners": []any{"self"}, "max_retries": 1})
	maps.Copy(w.model.Target.Variables, variables)
	return w
}

// run renders the workspace and has Terraform do something in it; the answer is
// its JSON log.
func (w *workspace) run(args ...string) (string, error) {
	w.Helper()
	if err := render.Write(w.dir, w.model, render.Options{}); err != nil {
		w.Fatal(err)
	}
	path := os.Getenv("BERTH_TERRAFORM")
	if path == "" {
		path = "terraform"
	}
	path, err := exec.LookPath(path)
	if err != nil {
		w.Skip("There is no Terraform here.")
	}
	terraform := func(args ...string) (string, error) {
		cmd := exec.Command(path, args...)
		cmd.Dir = w.dir
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "CHECKPOINT_DISABLE=1"}, w.env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	// Once: a provider's checksum takes longer than most of what it is asked.
	if _, err := os.Stat(filepath.Join(w.dir, ".terraform", "modules", "modules.json")); err != nil {
		if out, err := terraform("init", "-input=false", "-no-color"); err != nil {
			return out, err
		}
	}
	return terraform(append(args, "-input=false", "-json")...)
}

// must is run that goes well.
func (w *workspace) must(args ...string) string {
	w.Helper()
	out, err := w.run(args...)
	if err != nil {
		w.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// clean makes sure that a plan has nothing to do.
func (w *workspace) clean(after string) {
	w.Helper()
	out := w.must("plan")
	if !strings.Contains(out, `"Plan: 0 to add, 0 to change, 0 to destroy."`) || !strings.Contains(out, `"outputs":{"servers":{"sensitive":false,"action":"noop"}}`) {
		w.Errorf("after %s there is something to do:\n%s", after, out)
	}
}

// instance is a machine as EC2 tells of it.
type instance struct {
	ID        string `xml:"instanceId"`
	State     string `xml:"instanceState>name"`
	Lifecycle string `xml:"instanceLifecycle"`
	Image     string `xml:"imageId"`
	Type      string `xml:"instanceType"`
	Key       string `xml:"keyName"`
	Subnet    string `xml:"subnetId"`
	Private   string `xml:"privateIpAddress"`
	Public    string `xml:"ipAddress"`
	Tokens    string `xml:"metadataOptions>httpTokens"`
	Hops      int    `xml:"metadataOptions>httpPutResponseHopLimit"`
	Groups    []struct {
		Name string `xml:"groupName"`
	} `xml:"groupSet>item"`
	Profile string `xml:"iamInstanceProfile>arn"`
	Volumes []struct {
		ID  string `xml:"ebs>volumeId"`
		End string `xml:"ebs>deleteOnTermination"`
	} `xml:"blockDeviceMapping>item"`
	Tags tags `xml:"tagSet>item"`
}

type tags []struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func (t tags) String() string {
	var out []string
	for _, tag := range t {
		out = append(out, tag.Key+"="+tag.Value)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// machines are the account's, by the server that they are.
func machines(t *testing.T, cloud *awsfake.Cloud) map[string]instance {
	t.Helper()
	var answer struct {
		Instances []instance `xml:"reservationSet>item>instancesSet>item"`
	}
	cloud.Ask(t, &answer, "DescribeInstances")
	out := map[string]instance{}
	for _, i := range answer.Instances {
		if i.State == "terminated" {
			continue
		}
		for _, tag := range i.Tags {
			if tag.Key == "berth:server" {
				out[tag.Value] = i
			}
		}
	}
	return out
}

// firewalls says, for each security group but the default one, who may come
// in and go out: "api<web:8080".
func firewalls(t *testing.T, cloud *awsfake.Cloud) map[string][]string {
	t.Helper()
	type permission struct {
		Protocol string `xml:"ipProtocol"`
		From     string `xml:"fromPort"`
		To       string `xml:"toPort"`
		Groups   []struct {
			ID string `xml:"groupId"`
		} `xml:"groups>item"`
		Ranges []struct {
			CIDR string `xml:"cidrIp"`
		} `xml:"ipRanges>item"`
		Ranges6 []struct {
			CIDR string `xml:"cidrIpv6"`
		} `xml:"ipv6Ranges>item"`
	}
	var answer struct {
		Groups []struct {
			ID   string       `xml:"groupId"`
			Name string       `xml:"groupName"`
			In   []permission `xml:"ipPermissions>item"`
			Out  []permission `xml:"ipPermissionsEgress>item"`
			Tags tags         `xml:"tagSet>item"`
		} `xml:"securityGroupInfo>item"`
	}
	cloud.Ask(t, &answer, "DescribeSecurityGroups")
	names := map[string]string{}
	for _, g := range answer.Groups {
		names[g.ID] = g.Name
	}
	out := map[string][]string{}
	for _, g := range answer.Groups {
		if g.Name == "default" {
			continue
		}
		rules := []string{g.Tags.String()}
		for way, permissions := range map[string][]permission{"in": g.In, "out": g.Out} {
			for _, p := range permissions {
				ports := p.Protocol + ":" + p.From + "-" + p.To
				for _, x := range p.Groups {
					rules = append(rules, way+" "+ports+" "+names[x.ID])
				}
				for _, x := range p.Ranges {
					rules = append(rules, way+" "+ports+" "+x.CIDR)
				}
				for _, x := range p.Ranges6 {
					rules = append(rules, way+" "+ports+" "+x.CIDR)
				}
			}
		}
		slices.Sort(rules)
		out[g.Name] = rules
	}
	return out
}

// documentedPolicy is what docs/aws.md gives Berth's user.
func documentedPolicy(t *testing.T) awsfake.Policy {
	t.Helper()
	return awsfake.PolicyOf(t, "../docs/aws.md")
}

// documented are the blocks of a language in docs/aws.md.
func documented(t *testing.T, language string) []string {
	t.Helper()
	page, err := os.ReadFile("../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, block := range strings.Split(string(page), "\n```"+language+"\n")[1:] {
		text, _, _ := strings.Cut(block, "\n```")
		out = append(out, text+"\n")
	}
	if len(out) == 0 {
		t.Fatalf("docs/aws.md has no %s", language)
	}
	return out
}

const environmentTags = "berth:environment=e1 berth:installation=b1 berth:owner=maría _m_1_"

// TestAWSProfileMissing stands alone and first: the provider tries for two
// minutes whether the instance profile comes after all.
func TestAWSProfileMissing(t *testing.T) {
	t.Parallel()
	cloud := awsfake.Start(t)
	w := newWorkspace(t, cloud, nil)
	w.model.Servers = w.model.Servers[:1]
	w.refused(refusal{"an instance profile that is not there", func() {
		cloud.Inject(awsfake.Fault{Action: "RunInstances", Error: awsfake.Error{Code: "InvalidParameterValue", Message: "Value (pilot) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"}})
	}, "cloud_resource_missing", "ops", "pilot"})
}

// TestAWS is the whole life of an environment: what it asks of the cloud is
// what was promised, and nothing is left of it.
func TestAWS(t *testing.T) {
	t.Parallel()
	cloud := awsfake.Start(t)
	cloud.Enforce(documentedPolicy(t))
	w := newWorkspace(t, cloud, map[string]any{"subnet": cloud.Subnet, "public_ip": false, "ingress": []any{"10.0.0.0/8", "2001:db8::/32"}})
	made := w.must("apply", "-auto-approve")
	first := machines(t, cloud)
	if len(first) != 2 {
		t.Fatalf("machines: %+v\n%s", first, made)
	}
	for id, app := range map[string]string{"s1": "api", "s2": "web"} {
		m := first[id]
		if m.Tokens != "required" || m.Hops != 1 || m.Key != "" || m.Profile != "" || m.Subnet != cloud.Subnet || m.Public != "" || m.Image != cloud.Image ||
			len(m.Groups) != 1 || m.Groups[0].Name != "berth-"+id || len(m.Volumes) != 1 || m.Volumes[0].End != "true" {
			t.Errorf("%s: %+v", app, m)
		}
		want := "Name=" + id + " berth:app=" + app + " " + environmentTags + " berth:server=" + id
		if got := m.Tags.String(); got != want {
			t.Errorf("tags of %s: %s, want %s", app, got, want)
		}
		var volumes struct {
			Volumes []struct {
				Encrypted string `xml:"encrypted"`
				Type      string `xml:"volumeType"`
				Size      int    `xml:"size"`
				Tags      tags   `xml:"tagSet>item"`
			} `xml:"volumeSet>item"`
		}
		cloud.Ask(t, &volumes, "DescribeVolumes", "VolumeId.1", m.Volumes[0].ID)
		if v := volumes.Volumes[0]; v.Encrypted != "true" || v.Type != "gp3" || v.Size != map[string]int{"api": 16, "web": 20}[app] || v.Tags.String() != want {
			t.Errorf("volume of %s: %+v", app, v)
		}
		if !strings.Contains(made, `"`+id+`":{"address":"`+m.Private+`","private_address":"`+m.Private+`","provider_id":"`+m.ID+`"}`) {
			t.Errorf("%s at %s (%s) is not in the outputs of:\n%s", id, m.Private, m.ID, made)
		}
	}
	if first["s1"].Type != "t3.small" || first["s2"].Type != "t3.micro" {
		t.Errorf("types: %s, %s", first["s1"].Type, first["s2"].Type)
	}
	open := []string{"out -1:- 0.0.0.0/0", "out -1:- ::/0"}
	is := func(group string, rules ...string) {
		t.Helper()
		got := slices.DeleteFunc(firewalls(t, cloud)[group], func(s string) bool { return strings.HasPrefix(s, "Name=") })
		if want := slices.Sorted(slices.Values(append(rules, open...))); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", group, got, want)
		}
	}
	is("berth-s1", "in tcp:8080-8080 10.0.0.0/8", "in tcp:8080-8080 2001:db8::/32", "in tcp:8080-8080 berth-s2")
	is("berth-s2", "in tcp:8081-8081 10.0.0.0/8", "in tcp:8081-8081 2001:db8::/32")
	if got := firewalls(t, cloud)["berth-s1"][0]; !strings.Contains(got, environmentTags) {
		t.Errorf("tags of a firewall: %s", got)
	}

	// A newer image is for others.
	newer := cloud.AddImage(t, "debian-12-amd64-20270101")
	// A machine that somebody has stopped is passed over: it neither is started
	// nor changes anything else.
	cloud.Ask(t, nil, "StopInstances", "InstanceId.1", first["s1"].ID)
	w.clean("the apply")

	// One apply: a server more, one replaced, one of another size. The one that
	// is replaced stands still, as in a repair.
	w.model.Servers[0].UserData = "#cloud-config\n{token: three}\n"
	w.model.Servers[1].Variables = map[string]any{"instance_type": "t3.medium", "disk_gb": 30}
	w.model.Servers = append(w.model.Servers, orchestrator.WorkspaceServer{ID: "s3", App: "db", Port: 5432, UserData: "#!/bin/sh\n", NeededBy: []string{"api"}})
	w.must("apply", "-auto-approve")
	second := machines(t, cloud)
	if len(second) != 3 || second["s1"].ID == first["s1"].ID || second["s1"].State != "running" || second["s2"].ID != first["s2"].ID || second["s2"].Type != "t3.medium" {
		t.Errorf("before: %+v\nafter: %+v", first, second)
	}
	if second["s1"].Image != cloud.Image || second["s3"].Image != cloud.Image {
		t.Errorf("the new machines have the image %s and %s, not their environment's (%s; the newest is %s)", second["s1"].Image, second["s3"].Image, cloud.Image, newer)
	}
	is("berth-s3", "in tcp:5432-5432 10.0.0.0/8", "in tcp:5432-5432 2001:db8::/32", "in tcp:5432-5432 berth-s1")
	is("berth-s1", "in tcp:8080-8080 10.0.0.0/8", "in tcp:8080-8080 2001:db8::/32", "in tcp:8080-8080 berth-s2")
	w.clean("the second apply")

	// It can be destroyed when its image is no longer to be had.
	for _, id := range []string{cloud.Image, newer} {
		cloud.Ask(t, nil, "DeregisterImage", "ImageId", id)
	}
	w.must("destroy", "-auto-approve")
	if left := machines(t, cloud); len(left) != 0 {
		t.Errorf("machines are left: %+v", left)
	}
	if left := firewalls(t, cloud); len(left) != 0 {
		t.Errorf("firewalls are left: %v", left)
	}
	var volumes struct {
		IDs []string `xml:"volumeSet>item>volumeId"`
	}
	if cloud.Ask(t, &volumes, "DescribeVolumes"); len(volumes.IDs) != 0 {
		t.Errorf("volumes are left: %v", volumes.IDs)
	}
	// The policy allows what was called and, but for what older or newer
	// providers call, nothing else.
	called := []string{"ec2:CreateTags"} // with what is made
	for _, c := range cloud.Calls() {
		called = append(called, c.Service+":"+c.Action)
	}
	var idle []string
	for _, s := range documentedPolicy(t).Statement {
		for _, action := range s.Action {
			if !slices.Contains(called, action) {
				idle = append(idle, action)
			}
		}
	}
	others := []string{"ec2:DescribeAccountAttributes", "ec2:DescribeInstanceTypes", "ec2:DescribeSecurityGroupRules"}
	if idle = slices.DeleteFunc(idle, func(a string) bool { return slices.Contains(others, a) }); len(idle) != 0 {
		t.Errorf("allowed, but not called: %v", idle)
	}
}

// TestAWSPolicyIsExplained: docs/aws.md gives each permission a reason.
func TestAWSPolicyIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| permission | why |")
	table, _, _ = strings.Cut(table, "\n\n")
	var actions []string
	for _, s := range documentedPolicy(t).Statement {
		actions = append(actions, s.Action...)
	}
	for _, action := range actions {
		if !strings.Contains(table, "`"+action+"`") {
			t.Errorf("no reason is given for %s", action)
		}
	}
	for _, m := range regexp.MustCompile("`((?:ec2|sts):[A-Za-z]+)`").FindAllStringSubmatch(table, -1) {
		if !slices.Contains(actions, m[1]) {
			t.Errorf("a reason is given for %s, which the policy does not have", m[1])
		}
	}
}

// TestAWSCatalog: the catalog of docs/aws.md is good, and the table of its
// variables is the module's.
func TestAWSCatalog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "berth.hcl")
	if err := os.WriteFile(path, []byte(documented(t, "hcl")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := catalog.Verify(t.Context(), path, catalog.Known{Modules: []string{"aws", "local"}, ModuleFiles: modules.FS()}); err != nil {
		t.Error(err)
	}
	declared, err := fs.ReadFile(modules.FS(), "aws/variables.tf")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| variable | |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, m := range regexp.MustCompile(`(?m)^variable "(\w+)"`).FindAllStringSubmatch(string(declared), -1) {
		if !slices.Contains([]string{"environment_id", "servers", "tags"}, m[1]) && !strings.Contains(table, "`"+m[1]+"`") {
			t.Errorf("docs/aws.md says nothing of the variable %s", m[1])
		}
	}
}

// refusal is something that AWS does not do, and what is said of it.
type refusal struct {
	name      string
	arrange   func()
	code, who string
	mentions  string
}

// refused applies where AWS refuses.
func (w *workspace) refused(r refusal) {
	w.Helper()
	r.arrange()
	log, err := w.run("apply", "-auto-approve")
	if err == nil {
		w.Errorf("%s: the apply went well", r.name)
		return
	}
	d := diagnose.Diagnoser{}.Terraform(log)
	if len(d.Causes) != 1 || d.Causes[0].Code != r.code || d.Causes[0].Who != r.who || !strings.Contains(d.Causes[0].Sentence, r.mentions) || strings.Contains(log, "secretsecret") {
		w.Errorf("%s: %+v\n%s", r.name, d.Causes, log)
	}
}

// TestAWSRefuses: what AWS refuses the module is told with its cause, who can
// act and the word that helps; the words of the cloud's own are in the
// recordings below testdata/terraform.
func TestAWSRefuses(t *testing.T) {
	t.Parallel()
	cloud := awsfake.Start(t)
	cloud.InstanceProfile(t, "pilot")
	w := newWorkspace(t, cloud, nil)
	w.model.Servers = w.model.Servers[:1]
	good, variables := w.env, w.model.Target.Variables
	set := func(name string, value any) func() {
		return func() { w.model.Target.Variables[name] = value }
	}
	environ := func(line string) func() {
		return func() { w.env = append(slices.Clone(good), line) }
	}
	refuse := func(action string, e awsfake.Error) func() {
		return func() { cloud.Inject(awsfake.Fault{Action: action, Error: e}) }
	}
	for _, tt := range []refusal{
		{"no credentials", func() {
			w.env = slices.DeleteFunc(slices.Clone(good), func(s string) bool { return strings.HasPrefix(s, "AWS_ACCESS") || strings.HasPrefix(s, "AWS_SECRET") })
		}, "credentials_invalid", "ops", ""},
		{"an unknown key", environ("AWS_ACCESS_KEY_ID=AKIANOBODYSKEY000000"), "credentials_invalid", "ops", ""},
		{"a wrong secret", environ("AWS_SECRET_ACCESS_KEY=another"), "credentials_invalid", "ops", ""},
		{"a session that has ended", refuse("GetCallerIdentity", awsfake.ExpiredToken), "credentials_invalid", "ops", ""},
		{"AWS cannot be reached", set("endpoints", map[string]any{"ec2": "http://127.0.0.1:9", "sts": "http://127.0.0.1:9", "iam": "http://127.0.0.1:9"}), "cloud_unreachable", "retry", ""},
		{"no image of the name", set("image_name", "debian-99-*"), "image_not_found", "ops", "debian-99-*"},
		{"no such subnet", set("subnet", "subnet-0badc0de0badc0de0"), "network_missing", "ops", "subnet-0badc0de0badc0de0"},
		{"user-data that AWS does not take", func() { w.model.Servers[0].UserData = userData(16385) }, "variable_missing", "ops", "16384 bytes"},
		{"no right to look", func() {
			cloud.Enforce(awsfake.Policy{Statement: []awsfake.Statement{{Effect: "Allow", Action: []string{"sts:GetCallerIdentity", "ec2:DescribeAccountAttributes"}, Resource: []string{"*"}}}})
		}, "permission_missing", "ops", "ec2:DescribeImages"},
		{"the firewall's name is taken", func() {
			cloud.Ask(t, nil, "CreateSecurityGroup", "GroupName", "berth-s1", "GroupDescription", "another's", "VpcId", cloud.VPC)
		}, "name_taken", "ops", "berth-s1"},
		{"no such image", set("image", "ami-0badc0de0badc0de0"), "image_not_found", "ops", "ami-0badc0de0badc0de0"},
		{"no such type", refuse("RunInstances", awsfake.Error{Code: "InvalidParameterValue", Message: "Invalid value 't3.huge' for InstanceType."}), "size_unknown", "ops", "t3.huge"},
		{"no right to make", refuse("RunInstances", awsfake.Denied), "permission_missing", "ops", ""},
		{"no right to hand over the profile", func() {
			cloud.Enforce(documentedPolicy(t))
			set("instance_profile", "pilot")()
		}, "permission_missing", "ops", ""},
		{"quota", refuse("RunInstances", awsfake.Quota), "quota_exceeded", "ops", "5"},
		{"capacity", refuse("RunInstances", awsfake.Capacity), "capacity", "retry", "t3.small"},
		{"throttling", refuse("RunInstances", awsfake.Throttled), "rate_limited", "retry", ""},
		{"trouble of AWS's own", refuse("RunInstances", awsfake.Unavailable), "unknown", "retry", ""},
	} {
		w.model.Target.Variables = maps.Clone(variables)
		data := w.model.Servers[0].UserData
		w.refused(tt)
		w.env, w.model.Servers[0].UserData = good, data
		cloud.Heal()
		if tt.code == "name_taken" {
			cloud.Ask(t, nil, "DeleteSecurityGroup", "GroupName", "berth-s1")
		}
	}
	// And then it goes well, with all that is optional and as much user-data as
	// AWS takes.
	policy := documentedPolicy(t)
	for _, block := range documented(t, "json") {
		if strings.Contains(block, `"iam:PassRole"`) {
			var more awsfake.Statement
			if err := json.Unmarshal([]byte(strings.ReplaceAll(block, "THE-ROLE-OF-THE-PROFILE", "pilot")), &more); err != nil {
				t.Fatal(err)
			}
			policy.Statement = append(policy.Statement, more)
		}
	}
	cloud.Enforce(policy)
	key := "arn:aws:kms:" + awsfake.Region + ":" + cloud.Account + ":key/0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"
	w.model.Target.Variables = maps.Clone(variables)
	maps.Copy(w.model.Target.Variables, map[string]any{"instance_profile": "pilot", "kms_key": key, "public_ip": true})
	w.model.Servers[0].UserData = userData(16384)
	w.must("apply", "-auto-approve")
	got := machines(t, cloud)["s1"]
	if got.Public == "" || !strings.HasSuffix(got.Profile, ":instance-profile/pilot") || len(got.Volumes) != 1 {
		t.Fatalf("machine: %+v", got)
	}
	var volumes struct {
		Key string `xml:"volumeSet>item>kmsKeyId"`
	}
	cloud.Ask(t, &volumes, "DescribeVolumes", "VolumeId.1", got.Volumes[0].ID)
	if volumes.Key != key {
		t.Errorf("the volume's key is %q, not %q", volumes.Key, key)
	}
}

// userData is so many bytes of it, with a secret in them.
func userData(length int) string {
	return "#" + strings.Repeat("secret", length/6) + strings.Repeat("x", (length-1)-length/6*6)
}

// TestAWSSpot: the module aws-spot makes spot instances that are as those of
// aws in all else, with the policy of docs/aws.md and no more.
func TestAWSSpot(t *testing.T) {
	t.Parallel()
	newer := mirror.NewerAWS(t)
	cloud := awsfake.Start(t)
	w := newWorkspace(t, cloud, map[string]any{"subnet": cloud.Subnet})
	w.model.Target.Module = "aws-spot"
	w.env = append(w.env, "TF_CLI_CONFIG_FILE="+newer)
	policy := documentedPolicy(t)
	for _, block := range documented(t, "json") {
		if strings.Contains(block, `"Sid": "Spot`) {
			var more []awsfake.Statement
			if err := json.Unmarshal([]byte("["+block+"]"), &more); err != nil {
				t.Fatal(err)
			}
			policy.Statement = append(policy.Statement, more...)
		}
	}
	cloud.Enforce(policy)
	w.must("apply", "-auto-approve")
	made := machines(t, cloud)
	if len(made) != 2 {
		t.Fatalf("machines: %+v", made)
	}
	for id, m := range made {
		if m.Lifecycle != "spot" || m.Tokens != "required" || m.Subnet != cloud.Subnet || !strings.Contains(m.Tags.String(), environmentTags) {
			t.Errorf("%s: %+v", id, m)
		}
	}
	// One ends, and at the other there is nothing to do.
	w.model.Servers = w.model.Servers[:1]
	out := w.must("apply", "-auto-approve")
	if left := machines(t, cloud); !strings.Contains(out, `"Plan: 0 to add, 0 to change, `) || len(left) != 1 || left["s1"].ID != made["s1"].ID {
		t.Errorf("machines are left: %+v\n%s", left, out)
	}
}
