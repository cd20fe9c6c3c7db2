package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/berth-dev/berth/testdata/awsfake"
	"github.com/berth-dev/berth/testdata/hcloudfake"
	"github.com/berth-dev/berth/testdata/machines"
)

// TestLocal runs the story on this machine.
func TestLocal(t *testing.T) {
	t.Parallel()
	story(t, target{hcl: "target \"local\" {\n  module = \"local\"\n}\n"}, ".")
}

// TestAWS runs the story on modules/aws.
func TestAWS(t *testing.T) {
	t.Parallel()
	machines.Need(t)
	account := awsfake.Start(t)
	story(t, target{
		hcl: fmt.Sprintf(`target "aws" {
  module = "aws"
  variables = {
    region       = %q
    endpoints    = { ec2 = %q, iam = %q, sts = %q }
    image        = %q
    image_owners = ["self"]
    subnet       = %q
  }
  environment = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"]
}
`, awsfake.Region, account.URL, account.URL, account.URL, account.Image, account.Subnet),
		env:   account.Environ(),
		cloud: &amazon{account: account, t: t, userData: map[string][]byte{}},
		terminate: func(id string) error {
			account.Ask(t, nil, "TerminateInstances", "InstanceId.1", id)
			return nil
		},
		left: func() (left []string) {
			var answer struct {
				Groups []struct {
					Name string `xml:"groupName"`
				} `xml:"securityGroupInfo>item"`
			}
			account.Ask(t, &answer, "DescribeSecurityGroups")
			for _, g := range answer.Groups {
				if g.Name != "default" {
					left = append(left, "security group "+g.Name)
				}
			}
			return left
		},
	}, ".")
}

// amazon is an account's instances.
type amazon struct {
	account *awsfake.Cloud
	t       testing.TB

	mu       sync.Mutex
	userData map[string][]byte // of the instances seen
}

func (a *amazon) Machines(context.Context) ([]machines.Machine, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var answer struct {
		Instances []struct {
			ID      string `xml:"instanceId"`
			State   string `xml:"instanceState>name"`
			Private string `xml:"privateIpAddress"`
			Public  string `xml:"ipAddress"`
		} `xml:"reservationSet>item>instancesSet>item"`
	}
	a.account.Ask(a.t, &answer, "DescribeInstances")
	var all []machines.Machine
	for _, i := range answer.Instances {
		if i.State == "terminated" || i.State == "shutting-down" {
			continue
		}
		if _, ok := a.userData[i.ID]; !ok {
			var attribute struct {
				XMLName xml.Name
				Value   string `xml:"userData>value"`
			}
			a.account.Ask(a.t, &attribute, "DescribeInstanceAttribute", "InstanceId", i.ID, "Attribute", "userData")
			raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(attribute.Value))
			if err != nil {
				return nil, err
			}
			a.userData[i.ID] = raw
		}
		m := machines.Machine{ID: i.ID, UserData: a.userData[i.ID], Stopped: i.State == "stopped" || i.State == "stopping"}
		var err error
		if m.PrivateIP, err = netip.ParseAddr(i.Private); err != nil {
			return nil, err
		}
		if i.Public != "" {
			if m.PublicIP, err = netip.ParseAddr(i.Public); err != nil {
				return nil, err
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// TestHetzner runs the story on modules/hcloud.
func TestHetzner(t *testing.T) {
	t.Parallel()
	machines.Need(t)
	story(t, onHetzner(t), ".")
}

// TestBareImage runs a shorter story on machines whose image has no Salt, as a
// cloud's own images have none: the agent installs it from PyPI. It is by
// itself, for two projects give away the same addresses.
func TestBareImage(t *testing.T) {
	machines.Need(t)
	on := onHetzner(t)
	on.prepare = func(lab *machines.Lab) func(root string) error {
		tell := lab.Registries()
		return func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, "usr/local/bin/salt-call")), os.RemoveAll(filepath.Join(root, "opt/salt")), tell(root))
		}
	}
	story(t, on, "bare")
}

func onHetzner(t *testing.T) target {
	t.Helper()
	project := hcloudfake.Start(t)
	return target{
		hcl: `target "hcloud" {
  module      = "hcloud"
  environment = ["HCLOUD_TOKEN", "HCLOUD_ENDPOINT"]
}
`,
		env:   project.Environ(),
		cloud: hetzner{project},
		terminate: func(id string) error {
			number, err := strconv.ParseInt(id, 10, 64)
			project.Terminate(number)
			return err
		},
		left: project.Left,
	}
}

// hetzner is a project's servers.
type hetzner struct{ project *hcloudfake.Cloud }

func (h hetzner) Machines(context.Context) ([]machines.Machine, error) {
	var all []machines.Machine
	for _, m := range h.project.Machines() {
		if !m.PrivateIP.IsValid() {
			continue // it is still being made
		}
		all = append(all, machines.Machine{ID: strconv.FormatInt(m.ID, 10), Host: m.Name, PrivateIP: m.PrivateIP, PublicIP: m.PublicIP,
			UserData: []byte(m.UserData), Stopped: !m.Running})
	}
	return all, nil
}
