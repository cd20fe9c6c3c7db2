package awsfake

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// Policy is an IAM policy, as far as one for Berth goes: what is allowed, on
// which resources, under which of the conditions Null and StringEquals. Of
// EC2's calls, what they need besides is known: tags, the profile's role.
type Policy struct {
	Statement []Statement
}

// PolicyOf is the first policy (a block of JSON) of a page in Markdown.
func PolicyOf(t testing.TB, page string) Policy {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "\n```json\n")
	block, _, ok := strings.Cut(rest, "\n```")
	var p Policy
	if err := json.Unmarshal([]byte(block), &p); !ok || err != nil {
		t.Fatalf("%s has no policy (%v).", page, err)
	}
	return p
}

// Statement allows something.
type Statement struct {
	Sid       string
	Effect    string
	Action    words
	Resource  words
	Condition map[string]map[string]words // operator → key → values
}

// words are one text or a list of them.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

// want is one thing that has to be allowed for a call.
type want struct {
	action, resource string // "ec2:RunInstances", its ARN
	keys             map[string]string
}

// refused is the first action of a call that the policy does not allow, or "".
func (c *Cloud) refused(p Policy, call Call) string {
	for _, w := range c.wants(call) {
		if !slices.ContainsFunc(p.Statement, func(s Statement) bool { return s.allows(w) }) {
			return w.action
		}
	}
	return ""
}

func (s Statement) allows(w want) bool {
	if s.Effect != "Allow" || !slices.Contains(s.Action, w.action) ||
		!slices.ContainsFunc(s.Resource, func(r string) bool { ok, _ := path.Match(r, w.resource); return ok || r == "*" }) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			got, has := w.keys[key]
			switch operator {
			case "Null":
				if (values[0] == "true") == has {
					return false
				}
			case "StringEquals":
				if !slices.Contains(values, got) {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}

// wants are what AWS looks at for a call, by its service authorization
// reference (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html).
func (c *Cloud) wants(call Call) []want {
	action := call.Service + ":" + call.Action
	arn := func(kind, id string) string {
		account := c.Account
		if kind == "image" {
			account = ""
		}
		return fmt.Sprintf("arn:aws:ec2:%s:%s:%s/%s", Region, account, kind, id)
	}
	if call.Service != "ec2" || strings.HasPrefix(call.Action, "Describe") {
		return []want{{action: action, resource: "*"}}
	}
	tags := requestTags(call.Form)
	var out []want
	add := func(kind, id string, keys map[string]string) {
		out = append(out, want{action, arn(kind, id), keys})
	}
	made := map[string][]string{"RunInstances": {"instance", "volume"}, "CreateSecurityGroup": {"security-group"}}[call.Action]
	for _, kind := range made {
		add(kind, "new", tags[kind])
	}
	switch call.Action {
	case "RunInstances":
		add("image", call.Form.Get("ImageId"), nil)
		add("network-interface", "new", nil)
		if call.Form.Get("InstanceMarketOptions.MarketType") == "spot" {
			add("spot-instances-request", "new", tags["spot-instances-request"])
		}
		if id := first(call.Form, "SubnetId", "NetworkInterface.1.SubnetId"); id != "" {
			add("subnet", id, nil)
		}
	case "CreateSecurityGroup":
		add("vpc", first(call.Form, "VpcId"), nil)
	}
	for name, values := range call.Form {
		last := name[strings.LastIndex(name, ".")+1:]
		if last != "" && strings.Trim(last, "0123456789") == "" {
			last = name[:len(name)-len(last)-1]
			last = last[strings.LastIndex(last, ".")+1:]
		}
		kind := map[string]string{"InstanceId": "instance", "GroupId": "security-group", "SecurityGroupId": "security-group", "VolumeId": "volume"}[last]
		if kind == "" || strings.HasPrefix(name, "IpPermissions.") { // whom a rule is about, not whose it is
			continue
		}
		add(kind, values[0], c.resourceTags(values[0]))
	}
	for kind := range tags {
		out = append(out, want{"ec2:CreateTags", arn(kind, "new"), map[string]string{"ec2:CreateAction": call.Action}})
	}
	// The role of a profile is called as the profile is: see InstanceProfile.
	if name := first(call.Form, "IamInstanceProfile.Name", "IamInstanceProfile.Arn"); name != "" {
		out = append(out, want{action: "iam:PassRole", resource: "arn:aws:iam::" + c.Account + ":role/" + path.Base(name)})
	}
	return out
}

func first(form url.Values, names ...string) string {
	for _, name := range names {
		if v := form.Get(name); v != "" {
			return v
		}
	}
	return ""
}

// requestTags are the tags that a call makes things with, by kind of thing.
func requestTags(form url.Values) map[string]map[string]string {
	out := map[string]map[string]string{}
	for i := 1; form.Has(fmt.Sprintf("TagSpecification.%d.ResourceType", i)); i++ {
		keys := map[string]string{}
		for j := 1; form.Has(fmt.Sprintf("TagSpecification.%d.Tag.%d.Key", i, j)); j++ {
			keys["aws:RequestTag/"+form.Get(fmt.Sprintf("TagSpecification.%d.Tag.%d.Key", i, j))] = form.Get(fmt.Sprintf("TagSpecification.%d.Tag.%d.Value", i, j))
		}
		out[form.Get(fmt.Sprintf("TagSpecification.%d.ResourceType", i))] = keys
	}
	return out
}

func (c *Cloud) resourceTags(id string) map[string]string {
	body, err := c.post("ec2", url.Values{"Action": {"DescribeTags"}, "Version": {"2016-11-15"}, "Filter.1.Name": {"resource-id"}, "Filter.1.Value.1": {id}})
	if err != nil {
		return nil
	}
	var answer struct {
		Tags []struct {
			Key   string `xml:"key"`
			Value string `xml:"value"`
		} `xml:"tagSet>item"`
	}
	if xml.Unmarshal(body, &answer) != nil {
		return nil
	}
	keys := map[string]string{}
	for _, tag := range answer.Tags {
		keys["aws:ResourceTag/"+tag.Key] = tag.Value
	}
	return keys
}
