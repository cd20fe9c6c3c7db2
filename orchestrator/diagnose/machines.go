package diagnose

import (
	"bytes"
	"strings"

	"github.com/berth-dev/berth/orchestrator/lazyregexp"
)

const (
	askFiles = `Send ops this message, the files that describe the machines are theirs; after that: "berth env retry NAME".`
	// compare is for machines that may have been made and not been noted down.
	compare   = `Ask ops to compare what the cloud has with what Berth knows; after that: "berth env retry NAME".`
	goOn      = `Go on with "berth env retry NAME", or "berth env destroy NAME".`
	unlock    = `Ask ops whether that run still works, and to unlock the record with "berth state unlock NAME" if it does not; after that: "berth env retry NAME".`
	askRecord = `Ask ops to check where Berth keeps its records; after that: "berth env retry NAME".`
	askSize   = `Ask ops to correct this size in the catalog; after that: "berth env retry NAME".`
	makeRoom  = `Destroy an environment that nobody needs ("berth env list" shows them), or ask ops to raise the limit; after that: "berth env retry NAME".`
)

// finding of a record that nothing was looked for in.
func (r *record) finding() *finding {
	return &finding{code: r.code, who: r.who, sentence: r.sentence, next: r.next, subject: r.subject, of: r}
}

// What is said when no record fits, and when the log just ends.
var (
	unknownMachineRecord = &record{code: "unknown", who: ops, sentence: `The work on {what} failed with a message that Berth does not know: {line}`, next: askOps, subject: "{line}"}
	killedRun            = &record{code: "killed", who: ops, sentence: `The work on the machines was killed before it ended{lost}.`, next: compare}
)

const anInstance = `machine module.env.aws_instance.server["api"]`

// machineRecords are the causes in Terraform's and OpenTofu's diagnostics. What
// ends everything comes first, then the record of the machines, then the
// clouds' own codes, then texts.
var machineRecords = []record{
	{code: "interrupted", who: retry, re: lazyregexp.New(`^execution halted`), sentence: `The work on the machines was stopped before it was done; what is there already stays.`, next: goOn,
		samples: []sample{{step: "machine", says: "execution halted"}}},
	{code: "interrupted", who: ops, re: lazyregexp.New(`^operation canceled|(?i)^(?:error )?context cancell?ed|: context canceled$|^Operation interrupted|^Two interrupts received|^Apply cancell?ed`), sentence: `The work on the machines was broken off at once{lost}.`, refine: lost, next: compare,
		samples: []sample{{step: "machine", says: "operation canceled", names: []string{"machines may exist"}}}},
	{code: "provider_missing", who: ops, re: lazyregexp.New(`Failed to (?:load plugin schemas|instantiate provider|obtain provider|start provider)|[Ff]ailed to instantiate provider|unavailable provider "(?P<hp>[^"]+)"|Could not load (?:plugin|the schema)|fork/exec \S*terraform-provider|Incompatible API version with plugin|Unrecognized remote plugin message|incompatible plugin version|plugin protocol version`),
		refine: helperName, sentence: `The helper{helper} that talks to the cloud can't be started on Berth's machine{why}.`, next: askOps, subject: "{helper}",
		samples: []sample{
			{step: "machine", says: "Failed to load plugin schemas\nError while loading schemas for plugin components: Failed to obtain provider schema: Could not load the schema for provider registry.terraform.io/hetznercloud/hcloud: failed to instantiate provider \"registry.terraform.io/hetznercloud/hcloud\" to obtain schema: fork/exec .terraform/providers/registry.terraform.io/hetznercloud/hcloud/1.60.1/linux_amd64/terraform-provider-hcloud_v1.60.1: exec format error..", names: []string{"hetznercloud/hcloud", "another kind of machine"}},
			{step: "machine", says: "Failed to load plugin schemas\nError while loading schemas for plugin components: Failed to obtain provider schema: Could not load the schema for provider registry.opentofu.org/hashicorp/aws: failed to instantiate provider \"registry.opentofu.org/hashicorp/aws\" to obtain schema: unavailable provider \"registry.opentofu.org/hashicorp/aws\"..", names: []string{"hashicorp/aws"}},
		}},
	{code: "killed", who: retry, re: lazyregexp.New(`Plugin did not respond|plugin (?:crashed|exited)|The plugin6?\.\(\*GRPCProvider\)|Request cancelled|rpc error: code = (?:Unavailable|Canceled)|transport is closing|panic: |(?i:terraform|opentofu) crashed|error reading from server: EOF`), sentence: `A helper that talks to the cloud died in the middle of the work on the machines.`, next: tryAgain,
		samples: []sample{
			{step: anInstance, says: "Plugin did not respond\nThe plugin encountered an error, and failed to respond to the plugin.(*GRPCProvider).ApplyResourceChange call. The plugin logs may contain more details."},
			{step: anInstance, says: "Request cancelled\nThe plugin.(*GRPCProvider).ApplyResourceChange request was cancelled."},
		}},
	{code: "disk_full", who: ops, re: lazyregexp.New(diskFull), sentence: `The disk of Berth's own machine is full, so it could not note down the machines that it made.`, next: askOps,
		samples: []sample{{step: "machine", says: "Failed to save state\nError saving state: write terraform.tfstate: no space left on device"}}},
	{code: "out_of_memory", who: ops, re: lazyregexp.New(`fatal error: (?:runtime: )?(?:out of memory|cannot allocate memory)|cannot allocate memory|newosproc|failed to create new OS thread`), sentence: `Berth's own machine ran out of memory while it worked on the machines.`, next: askOps,
		samples: []sample{{step: "machine", says: "fatal error: runtime: out of memory"}}},

	// The record of the machines. What keeps a lock from being taken may be
	// something else than another run.
	{code: "state_corrupt", who: ops, re: lazyregexp.New(`newer than current v|created by (?:Terraform|OpenTofu) v?\d[^\n]*newer|uses format version|Unsupported state file format[^\n]*(?:version|newer)|does not support state (?:file )?(?:version|format)|state snapshot was created by`), refine: made, sentence: `The record of these machines was written by a newer version{by} than the one on Berth's machine.`, next: askRecord,
		samples: []sample{
			{step: "machine", says: "Error acquiring the state lock\nError message: state snapshot was created by Terraform v9.9.9, which is newer than current v1.11.4; upgrade to Terraform v9.9.9 or greater to work with this state", names: []string{"9.9.9"}},
			{step: "machine", says: "Error refreshing state: Unsupported state file format: The state file uses format version 5, which is not supported by Terraform 1.5.7. This state file may have been created by a newer version of Terraform.", names: []string{"5"}},
		}},
	{code: "state_corrupt", who: ops, re: lazyregexp.New(`Unsupported state file format|state file could not be parsed|[Ss]tate file (?:does not have|is empty|has)|state data in \S+ does not|[Ff]ailed to decrypt|decryption failed|encountered encrypted payload|unsupported state encryption|invalid state|checksum calculated for the state|Failed to read state|lineage`), sentence: `The record of these machines is damaged or can't be decoded.`, next: `Ask ops to put back the record of these machines from its last good copy; after that: "berth env retry NAME".`,
		samples: []sample{
			{step: "machine", says: "Error acquiring the state lock\nError message: 2 problems:\n\n- Unsupported state file format: The state file could not be parsed as JSON: syntax error at byte offset 34."},
			{step: "machine", says: "Error refreshing state: state data in S3 does not have the expected content.\n\nThe checksum calculated for the state stored in S3 does not match the checksum stored in DynamoDB."},
			{step: "machine", says: "Error refreshing state: encountered encrypted payload without configured encryption method"},
		}},
	{code: "permission_denied", who: ops, re: lazyregexp.New(`(?i)(?:open|create|creating|writing|mkdir|rename|unlinkat|fork/exec)[^\n]*(?:permission denied|read-only file system|operation not permitted)`), when: func(f *failure) bool { return f.module == "backend" },
		sentence: `Berth may not write where it keeps its record of these machines.`, next: `Ask ops to make Berth's data folder writable; after that: "berth env retry NAME".`,
		samples: []sample{{step: "machine", says: "Error acquiring the state lock\nError message: open terraform.tfstate: read-only file system"}}},
	{code: "state_unreachable", who: ops, re: lazyregexp.New(`(?s)Error (?:acquiring|releasing|locking)[^\n]*(?:state|lock).*(?:dial tcp|connection (?:refused|reset)|no such host|i/o timeout|AccessDenied|Forbidden|NoSuchBucket|InvalidAccessKeyId|ExpiredToken|ResourceNotFoundException|UnrecognizedClient|credential|authentication failed|certificate|deadline exceeded|requires auth)`), when: func(f *failure) bool {
		return !re(`Lock Info:\n\s+ID:\s+\S`).MatchString(f.comment) || re(`dial tcp|AccessDenied`).MatchString(f.comment)
	}, refine: unwritten, sentence: `The record of these machines can't be locked: {said}.`, next: askRecord,
		samples: []sample{{step: "machine", says: "Error acquiring the state lock\nError message: failed to retrieve lock info: operation error DynamoDB: GetItem, https response error StatusCode: 400, RequestID: AB, api error ResourceNotFoundException: Requested resource not found", names: []string{"Requested resource not found"}}}},
	{code: "state_locked", who: ops, re: lazyregexp.New(`HTTP remote state (?:already )?locked|423 Locked`), sentence: `The record of these machines is locked by another run, perhaps one that died.`, next: unlock,
		samples: []sample{{step: "machine", says: "Error acquiring the state lock\nError message: HTTP remote state already locked: ID=7b\nLock Info:\n  ID:        7b\n  Who:       berth@runner\n"}}},
	{code: "state_locked", who: retry, re: lazyregexp.New(`Error (?:acquiring the state lock|locking state)|state (?:is )?(?:already )?locked|Already locked|Workspace is already locked|ConditionalCheckFailed`), refine: holder, sentence: `{holder} holds the record of these machines{since}.`, next: `Try again in a few minutes with "berth env retry NAME"; if it stays, ask ops whether that run still works ("berth state unlock NAME" ends its hold).`,
		samples: []sample{
			{step: "machine", says: "Error acquiring the state lock\nError message: resource temporarily unavailable\nLock Info:\n  ID:        3e\n  Path:      terraform.tfstate\n  Operation: OperationTypeApply\n  Who:       pilot@pier\n  Version:   1.5.7\n  Created:   2026-11-23 03:21:27.563772875 +0000 UTC\n", names: []string{"pilot@pier", "2026-11-23 03:21 UTC"}},
			{step: "machine", says: "Error acquiring the state lock\nError message: Workspace is already locked: default\nLock Info:\n  ID:        43\n  Who:       berth@runner\n", names: []string{"Another run holds"}},
		}},
	{code: "state_unreachable", who: ops, re: lazyregexp.New(`(?i)fail\w* to (?:save|persist|upload|write|read|load|refresh) (?:the )?(?:cached )?state|Error (?:saving|loading|refreshing|reading) (?:the )?state|errored\.tfstate|Error (?:inspecting|configuring|loading) (?:states|the backend|the state)|Failed to get existing workspaces|Error (?:configuring|loading) (?:the )?(?:HTTP )?(?:remote )?backend|error (?:configuring S3 Backend|validating provider credentials)[^\n]*S3`), refine: unwritten,
		sentence: `The record of these machines can't be read or saved ({said}){lost}.`, next: askRecord,
		samples: []sample{
			{step: "machine", says: "Failed to save state\nError saving state: Failed to upload state: POST http://127.0.0.1:34719/r giving up after 1 attempt(s)", names: []string{"machines may exist"}},
			{step: "machine", says: "error loading state: HTTP remote state endpoint requires auth", names: []string{"requires auth"}},
			{step: "machine", says: "Error refreshing state: Unable to access object \"reef.tfstate\" in S3 bucket \"harbour-records\": operation error S3: HeadObject, https response error StatusCode: 403, RequestID: , HostID: , api error Forbidden: Forbidden", names: []string{"Forbidden"}},
		}},
	{code: "state_unreachable", who: ops, re: lazyregexp.New(`^Backend (?:initialization required|configuration changed)`), sentence: `The place where Berth keeps its record of these machines has changed, and is not made ready.`, next: askRecord,
		samples: []sample{{step: "machine", says: "Backend initialization required: please run \"terraform init\"\nReason: Backend configuration block has changed"}}},

	// The clouds' own codes.
	{code: "credentials_invalid", who: ops, re: lazyregexp.New(`Signature (?:expired|not yet current)|RequestTimeTooSkewed|RequestExpired|RequestInTheFuture|[Cc]lock skew|InvalidSignatureException|AuthFailure: AWS was not able to validate the provided access credentials.*clock`), sentence: `The cloud refused Berth's credentials because the clock of Berth's machine is wrong.`, next: `Ask ops to set the clock of Berth's machine; after that: "berth env retry NAME".`,
		samples: []sample{{step: "machine", says: "Retrieving AWS account details: validating provider credentials: retrieving caller identity from STS: operation error STS: GetCallerIdentity, https response error StatusCode: 403, RequestID: 0b, api error SignatureDoesNotMatch: Signature expired: 20261124T184500Z is now earlier than 20261124T185000Z (20261124T190500Z - 15 min.)"}}},
	{code: "credentials_invalid", who: ops, re: lazyregexp.New(`ExpiredToken|TokenRefreshRequired|token (?:included in the request )?(?:is|has) expired|[Tt]oken has expired|credentials? (?:have|has) expired|invalid_grant|AADSTS(?:7000222|700082)`), sentence: `Berth's credentials for the cloud have expired.`, next: `Ask ops to renew Berth's credentials; after that: "berth env retry NAME".`,
		samples: []sample{{step: "machine", says: "error configuring Terraform AWS Provider: error validating provider credentials: error calling sts:GetCallerIdentity: ExpiredToken: The security token included in the request is expired\n\tstatus code: 403, request id: 0b"}}},
	{code: "credentials_invalid", who: ops, re: lazyregexp.New(`NoCredentialProviders|(?i:no valid credential)|could not find default credentials|token was not found|Missing (?:required )?(?:token|credentials|API [Tt]oken)|failed to refresh cached credentials|failed to get shared config profile|no EC2 IMDS role|(?i:credentials? (?:not found|are required|must be set|is missing))|building authorizer|could not acquire access token|set (?:a value for|the) \S* ?token`), refine: profile, sentence: `Berth has no credentials{profile} for the cloud.`, next: `Ask ops to give Berth its credentials for the cloud; after that: "berth env retry NAME".`,
		samples: []sample{
			{step: "machine", says: "error configuring Terraform AWS Provider: no valid credential sources for Terraform AWS Provider found."},
			{step: "machine", says: "failed to get shared config profile, harbour", names: []string{"harbour"}},
			{step: "machine", says: "Missing Hetzner Cloud API token\nWhile configuring the provider, the Hetzner Cloud API token was not found in the HCLOUD_TOKEN environment variable or provider configuration block token attribute."},
		}},
	{code: "permission_missing", who: ops, re: lazyregexp.New(`sts:AssumeRole|cannot be assumed|Cannot assume IAM Role`), refine: deniedAction, sentence: `Berth's account at the cloud may not take the role that is set for it{action}.`, next: askOps, subject: "{action}",
		samples: []sample{{step: "machine", says: "Cannot assume IAM Role\nIAM Role (arn:aws:iam::123456789012:role/berth) cannot be assumed.\n\nError: operation error STS: AssumeRole, https response error StatusCode: 403, RequestID: 0b, api error AccessDenied: User: arn:aws:iam::123456789012:user/x is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/berth", names: []string{"sts:AssumeRole"}}}},
	{code: "permission_missing", who: ops, when: answered("OptInRequired", "Blocked", "AccountProblem", "NotSignedUp", "SubscriptionRequiredException"), sentence: `The cloud does not serve this account: {said}.`, next: askOps, subject: "{said}",
		samples: []sample{{step: anInstance, says: "Error launching source instance: OptInRequired: In order to use this AWS Marketplace product you need to accept terms and subscribe. To do so please visit https://aws.amazon.com/marketplace/pp?sku=x\n\tstatus code: 401, request id: 0b", code: "permission_missing", names: []string{"accept terms"}}}},
	{code: "credentials_invalid", who: ops, re: lazyregexp.New(`AuthFailure|InvalidClientTokenId|SignatureDoesNotMatch|UnrecognizedClient|InvalidAccessKeyId|IncompleteSignature|MissingAuthenticationToken|token you have provided is invalid|\(unauthorized\b|Error code: unauthorized|[Ss]tatus ?[Cc]ode: 401|\b401 Unauthorized|[Ii]nvalid (?:API )?(?:token|credentials|authentication)|oauth2: cannot fetch token|AADSTS\d+|entered token is invalid|[Aa]uthentication failed|Unable to authenticate|token must be|cannot be authenticated|security token included in the request is invalid`), sentence: `The cloud refused Berth's credentials: {said}.`, next: askOps,
		samples: []sample{
			{step: "machine module.env.data.aws_ami.this[0]", says: "AuthFailure: AWS was not able to validate the provided access credentials\n\tstatus code: 401, request id: ", names: []string{"not able to validate"}},
			{step: "machine module.env.hcloud_firewall.env", says: "the token you have provided is invalid (unauthorized, 4f2a)", names: []string{"the token you have provided is invalid"}},
			{step: "machine", says: "entered token is invalid (must be exactly 64 characters long)", names: []string{"64 characters"}},
		}},
	{code: "quota_exceeded", who: ops, re: lazyregexp.New(`PendingVerification`), sentence: `The cloud has not approved this account for machines yet: {said}.`, next: askOps,
		samples: []sample{{step: anInstance, says: "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 400, RequestID: 0b, api error PendingVerification: Your request for accessing resources in this region is being validated, and you will not be able to anInstance additional resources in this region until the validation is complete.", names: []string{"being validated"}}}},
	{code: "quota_exceeded", who: ops, re: lazyregexp.New(`InsufficientFreeAddresses\w*|no_subnet_available|ip_not_available|IpAddressLimit|PrivateIpAddressLimit`), sentence: `The network that the servers should join has no free address: {said}.`, next: askOps,
		samples: []sample{{step: anInstance, says: "Error launching source instance: InsufficientFreeAddressesInSubnet: There are not enough free addresses in subnet 'subnet-0badc0de' to satisfy the requested number of instances.\n\tstatus code: 400, request id: 0b", names: []string{"subnet-0badc0de"}}}},
	{code: "quota_exceeded", who: ops, re: lazyregexp.New(`LimitExceeded\b|VcpuLimit|QuotaExceeded|[Qq]uota|resource_limit_exceeded|limit (?:of \w+ )?(?:has been )?(?:reached|exceeded)|exceed(?:s|ed|ing)? .{0,60}(?:quota|limit)|MaxSpotInstanceCount|(?i:(?:server|core|volume|ip) limit)|maximum number of [\w ]+ (?:has been|is) reached`), when: func(f *failure) bool {
		return !re(`RequestLimitExceeded|rate_limit|Throttl|BandwidthLimit|user_data|[Ss]tatus ?[Cc]ode: 429`).MatchString(f.comment) && !re(diskFull).MatchString(f.comment)
	}, sentence: `The cloud account's limit is reached: {said}.`, next: makeRoom,
		samples: []sample{
			{step: anInstance, says: "Error launching source instance: VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.\n\tstatus code: 400, request id: 0b", names: []string{"vCPU limit of 32"}},
			{step: "machine module.env.aws_eip.api", says: "Error creating EIP: AddressLimitExceeded: The maximum number of addresses has been reached.\n\tstatus code: 400, request id: 0b", names: []string{"maximum number of addresses"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "server limit reached (resource_limit_exceeded, 6d2f)", names: []string{"server limit reached"}},
		}},
	{code: "permission_missing", who: ops, re: lazyregexp.New(`token_readonly|only allowed to perform GET`), sentence: `Berth's key for the cloud may only read, not make machines.`, next: `Ask ops for a key that may also write; after that: "berth env retry NAME".`,
		samples: []sample{{step: "machine module.env.hcloud_ssh_key.env[0]", says: "this token is only allowed to perform GET requests (token_readonly)"}}},
	{code: "permission_missing", who: ops, re: lazyregexp.New(`UnauthorizedOperation|AccessDenied|not authorized to perform|\(forbidden\b|Error code: forbidden|AuthorizationFailed|PERMISSION_DENIED|[Rr]equired '(?P<action>[\w.]+)' permission|insufficient(?:Permissions| permissions)|[Ss]tatus ?[Cc]ode: 403|403 Forbidden`), when: func(f *failure) bool { return !re(`OperationNotPermitted|protected`).MatchString(f.vars["answer"]) }, refine: deniedAction, sentence: `Berth's account at the cloud may not do what is needed{action}.`, next: askOps, subject: "{action}",
		samples: []sample{
			{step: anInstance, says: "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 403, RequestID: 0b, api error UnauthorizedOperation: You are not authorized to perform this operation. Encoded authorization failure message: AbCdEf", names: []string{"RunInstances"}},
			{step: "machine module.env.aws_security_group.env", says: "Error creating Security Group: UnauthorizedOperation: You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/reader is not authorized to perform: ec2:CreateSecurityGroup\n\tstatus code: 403, request id: ", names: []string{"ec2:CreateSecurityGroup"}},
			{step: "machine module.env.hcloud_firewall.env", says: "insufficient permissions for this request (forbidden)", names: []string{`hcloud_firewall.env`}},
		}},
	{code: "rate_limited", who: retry, re: lazyregexp.New(`RequestLimitExceeded|Throttl|rate_limit_exceeded|[Rr]ate (?:limit|exceeded)|Too Many Requests|[Ss]tatus ?[Cc]ode:? 429|TooManyRequests|SlowDown|EC2ThrottledException|limit of \d+ requests`), sentence: `The cloud is getting too many requests from this account just now.`, next: tryAgain,
		samples: []sample{
			{step: anInstance, says: "Error launching source instance: RequestLimitExceeded: Request limit exceeded.\n\tstatus code: 503, request id: 0b"},
			{step: "machine module.env.hcloud_network.env[0]", says: "limit of 3600 requests per hour reached (rate_limit_exceeded)"},
		}},
	{code: "size_unknown", who: ops, re: lazyregexp.New(`instance type \(?'?(?P<size>[\w.-]+?)'?\)? is not supported in your requested Availability Zone \((?P<zone>[\w-]+)\)`), sentence: `The cloud has no machine size "{size}" in the zone "{zone}".`, next: askSize, subject: "{size}",
		samples: []sample{{step: anInstance, says: "Error launching source instance: Unsupported: Your requested instance type (t3.small) is not supported in your requested Availability Zone (eu-central-1c). Please retry your request by not specifying an Availability Zone or choosing eu-central-1a.\n\tstatus code: 400, request id: 0b", names: []string{"t3.small", "eu-central-1c"}}}},
	{code: "capacity", who: retry, re: lazyregexp.New(`Insufficient(?:Instance|Host|Reserved\w*|Volume)?Capacity|do not have sufficient (?P<size>\S+) capacity|resource_unavailable|error during placement|placement_error|ZONE_RESOURCE_POOL_EXHAUSTED|SkuNotAvailable|AllocationFailed|OverconstrainedAllocation|no available (?:hosts|servers)|out of capacity|no_space_left_in_location|SpotMaxPriceTooLow`), refine: capacity, sentence: `The cloud has no free machine{size} at that place just now.`, next: `Try again later with "berth env retry NAME". Another size takes another environment: "berth env destroy NAME", then create it with size=SIZE.`, subject: "{size}",
		samples: []sample{
			{step: anInstance, says: "Error launching source instance: InsufficientInstanceCapacity: We currently do not have sufficient t3.small capacity in the Availability Zone you requested (eu-central-1a).\n\tstatus code: 500, request id: 0b", names: []string{"t3.small"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "error during placement (resource_unavailable, 5e0d)"},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "error during placement (placement_error)"},
		}},
	{code: "image_not_found", who: ops, re: lazyregexp.New(`InvalidAMIID\.\w+[^\n]*?['"]\[?(?P<image>ami-[\w-]+)|[Ii]mage (?:id )?'?\[?(?P<i2>[\w./:-]+)\]?'?(?: for architecture \w+)? (?:not found|does not exist|was not found|could not be found|is (?:deprecated|not available|unavailable))|There is no image named (?P<i5>\S+)|Your query returned no results|(?:The resource|image) '?(?P<i3>[^'\s]*images?/[^'\s]+)'? was not found|invalid image(?: id)?:? '?(?P<i4>[^'\s]+)|PlatformImageNotFound|(?i:image not found)|no images? (?:found|matching)`), when: func(f *failure) bool {
		return !re(`data\.aws_(?:vpc|subnet|security_group)`).MatchString(f.vars["address"])
	}, refine: machineImage, sentence: `The system image{image} that the servers start from does not exist at the cloud.`, next: askOps, subject: "{image}",
		samples: []sample{
			{step: anInstance, says: "Error launching source instance: InvalidAMIID.NotFound: The image id '[ami-0badc0de]' does not exist\n\tstatus code: 400, request id: 0b", names: []string{"ami-0badc0de"}},
			{step: anInstance, says: "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 400, RequestID: 0b, api error InvalidAMIID.Malformed: Invalid id: \"ami-debian\" (expecting \"ami-...\")", names: []string{"ami-debian"}},
			{step: "machine", says: "Resource postcondition failed\nThere is no image named debian-99-* that belongs to self in the region. Correct image_name and image_owners in the target, or set image.", names: []string{"debian-99-*"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "image debian-99 for architecture x86 not found", names: []string{"debian-99"}},
			{step: "machine module.env.data.aws_ami.this[0]", says: "Your query returned no results. Please change your search criteria and try again."},
		}},
	{code: "size_unknown", who: ops, re: lazyregexp.New(`The architecture '(?P<a1>[^']+)' of the specified instance type does not match the architecture '(?P<a2>[^']+)' of the specified AMI|architecture (?P<a3>\w+) does not match`), refine: func(f *failure, _ *finding) {
		f.vars["why"] = ""
		if f.vars["a1"] != "" {
			f.vars["why"] = ` (the size is "` + f.vars["a1"] + `", the image "` + f.vars["a2"] + `")`
		}
	}, sentence: `The machine size and the system image are made for different kinds of processor{why}.`, next: askSize,
		samples: []sample{{step: anInstance, says: "Error launching source instance: InvalidParameterValue: The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.\n\tstatus code: 400, request id: 0b", names: []string{"arm64", "x86_64"}}}},
	{code: "size_unknown", who: ops, re: lazyregexp.New(`requested configuration is currently not supported|The (?P<size>\S+) instance type does not support|unsupported location for server type|server location disabled`), refine: func(f *failure, _ *finding) { quotedOrNone(f, "size") }, sentence: `The cloud does not offer this machine size{size} in this form or at this place: {said}.`, next: askSize,
		samples: []sample{
			{step: anInstance, says: "Error launching source instance: Unsupported: The requested configuration is currently not supported. Please check the documentation for supported configurations.\n\tstatus code: 400, request id: 0b", names: []string{"not supported"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "unsupported location for server type (invalid_input): []", names: []string{"unsupported location"}},
		}},
	{code: "size_unknown", who: ops, re: lazyregexp.New(`InvalidInstanceType|[Ss]erver[ _][Tt]ype ['"]?(?P<s3>[\w.-]+?)['"]? (?:not found|is (?:not|deprecated|unavailable)|does not exist|unavailable)|instance type '?(?P<size>[\w.-]+?)'? (?:does not exist|is not|not)|[Ii]nvalid value '(?P<s2>[^']+)' for InstanceType|expected instance_type to be|invalid_server_type|[Ii]nvalid (?:machine|server|instance|size)[ _-]?(?:type|size)?:? '?(?P<s4>[\w.-]+)|size '?(?P<s5>[\w.-]+)'? (?:not found|is not available)|invalid input in field 'server_type'|VMSizeNotSupported|machineTypes/(?P<s7>[\w-]+)' was not found`), refine: machineSize, sentence: `The cloud has no machine size{size} any more, or never had it.`, next: askSize, subject: "{size}",
		samples: []sample{
			{step: anInstance, says: "Error launching source instance: InvalidParameterValue: Invalid value 't9.small' for InstanceType.\n\tstatus code: 400, request id: 0b", names: []string{"t9.small"}},
			{step: anInstance, says: "Error launching source instance: InvalidInstanceType.NotFound: The instance type 't3.gigantic' does not exist\n\tstatus code: 400, request id: 0b", names: []string{"t3.gigantic"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "server type cx9000 not found", names: []string{"cx9000"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "invalid input in field 'server_type' (invalid_input): [server_type => [server type not found]]"},
			{step: `machine module.env.hcloud_server.server["api"]`, says: `Server Type "cx22" is unavailable in all locations and can no longer be ordered`, names: []string{"cx22"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "server type cx22 is deprecated and can no longer be ordered (invalid_server_type)", names: []string{"cx22"}},
		}},
	{code: "cloud_resource_missing", who: ops, re: lazyregexp.New(`InvalidKeyPair\.NotFound|[Kk]ey ?pair '?[^'\s]+'? does not exist|(?i)ssh[ _]keys?(?: with ID)? ?'?[\w.-]*'? (?:not found|does not exist)|parameter iamInstanceProfile|Invalid IAM Instance Profile|(?:InvalidPlacementGroup|InvalidVolume|InvalidSnapshot|InvalidLaunchTemplate\w*)\w*\.(?:NotFound|Unknown)|placement group '?[\w.-]*'? ?(?:not found|does not exist)|(?:volume|snapshot) '?[\w.-]*'? (?:not found|does not exist)`), refine: cannotFind, sentence: `The {thing} that the servers use does not exist at the cloud.`, next: askOps, subject: "{thing}",
		samples: []sample{
			{step: anInstance, says: "Error launching source instance: InvalidKeyPair.NotFound: The key pair 'harbour-master' does not exist\n\tstatus code: 400, request id: 0b", names: []string{`key pair "harbour-master"`}},
			{step: anInstance, says: "Error launching source instance: InvalidParameterValue: Value (pilot) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name\n\tstatus code: 400, request id: 0b", names: []string{`instance profile "pilot"`}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "SSH key not found (not_found)", names: []string{"SSH key"}},
		}},
	{code: "network_missing", who: ops, re: lazyregexp.New(`(?:InvalidSubnetID|InvalidVpcID|InvalidVpcId|InvalidSubnet|InvalidGroup|InvalidSecurityGroupID|InvalidGroupId|InvalidNetworkInterfaceID|InvalidAllocationID|InvalidRouteTableID|InvalidInternetGatewayID)\.(?:NotFound|Malformed)[^\n]*?['"](?P<net>[^'"]+)['"]|(?:subnet|[Nn]etwork|VPC|vpc|security group|firewall|location|[Rr]egion|datacenter)(?: ID| with ID)? '?(?P<n2>[\w./-]+)'? (?:does not exist|not found|was not found|could not be found)|no matching (?:\S+ ){0,2}(?:VPC|Subnet|Security Group|network|found)|No default (?:VPC|subnet)|VPCIdNotSpecified|No subnets? found for the default VPC '(?P<n3>[^']+)'|DefaultVpc\w*NotFound|[Ss]ecurity group (?P<n4>\S+) and subnet \S+ belong to different networks|invalid input in field '(?:location|datacenter|networks?|firewalls?)'|firewall_resource_not_found|incompatible_network_type`), refine: machineNet, sentence: `The network or place{net} that the servers should join does not exist at the cloud.`, next: askOps, subject: "{net}",
		samples: []sample{
			{step: anInstance, says: "Error launching source instance: InvalidSubnetID.NotFound: The subnet ID 'subnet-0badc0de' does not exist\n\tstatus code: 400, request id: 0b", names: []string{"subnet-0badc0de"}},
			{step: "machine module.env.aws_security_group.env", says: "Error creating Security Group: InvalidVpcID.NotFound: The vpc ID 'vpc-0badc0de' does not exist\n\tstatus code: 400, request id: 0b", names: []string{"vpc-0badc0de"}},
			{step: "machine data.aws_vpc.default", says: "no matching EC2 VPC found"},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "network with ID '9174' not found (not_found)", names: []string{"9174"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "location 'atl1' not found", names: []string{"atl1"}},
		}},
	{code: "variable_missing", who: ops, re: lazyregexp.New(`(?i)invalid AWS region:? *(?:\n|$)`), sentence: `A value that the machines need is not given: "region".`, next: `Ask ops to set "region" for the target or the size in the catalog; after that: "berth env retry NAME".`, subject: "region",
		samples: []sample{{step: "machine", says: "invalid AWS Region: ", names: []string{"region"}}}},
	{code: "module_invalid", who: ops, re: lazyregexp.New(`(?i)invalid (?:AWS )?region|Missing region configuration|(?:is not a valid|unknown|unsupported) (?:AWS )?region`), sentence: `The region that is set for the cloud is none: {said}.`, next: askFiles,
		samples: []sample{{step: "machine", says: "invalid AWS Region: eu-atlantis-1", names: []string{"eu-atlantis-1"}}}},

	// What can't be removed.
	{code: "delete_protected", who: ops, re: lazyregexp.New(`OperationNotPermitted|disableApiTermination|disableApiStop|deletion protection|\(protected\b|Error code: protected|is protected|prevent_destroy|Instance cannot be destroyed`), refine: removal, sentence: `The cloud may not remove {what}, it is protected: {said}.`, next: `Ask ops to lift the protection; after that: "berth env retry NAME".`, subject: "{what}",
		samples: []sample{
			{step: anInstance, says: "error terminating EC2 Instance (i-0badc0de): OperationNotPermitted: The instance 'i-0badc0de' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.\n\tstatus code: 400, request id: 0b", names: []string{`server "api"`, "i-0badc0de"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "server deletion is protected (protected)", names: []string{`server "api"`}},
		}},
	{code: "still_in_use", who: ops, re: lazyregexp.New(`DependencyViolation|DeleteConflict|has (?:a )?dependen(?:t object|cies)|ResourceInUse\b|resource_in_use|(?:is|are) (?:still |currently )?in use by|InvalidIPAddress\.InUse|VolumeInUse|InvalidGroup\.InUse|BucketNotEmpty|must not be in use|still (?:in use|attached)`), refine: removal, sentence: `The cloud can't remove {what}, something else still uses it: {said}.`, next: `Ask ops to remove what uses it; after that: "berth env retry NAME".`, subject: "{what}",
		samples: []sample{
			{step: "machine module.env.aws_security_group.env", says: "Error deleting security group: DependencyViolation: resource sg-0badc0de has a dependent object\n\tstatus code: 400, request id: 0b", names: []string{"sg-0badc0de"}},
			{step: "machine module.env.hcloud_firewall.env", says: "firewall with ID '38' is still in use (resource_in_use)", names: []string{"38"}},
		}},
	{code: "name_taken", who: ops, re: lazyregexp.New(`Invalid(?:Group|KeyPair|\w+)\.Duplicate[^\n]*?'(?P<taken>[^']+)'|Invalid\w+\.Duplicate|uniqueness_error|EntityAlreadyExists|AlreadyExists(?:Exception)?\b|already (?:exists|in use|used|taken)|is already used|alreadyExists|DuplicateName|InUseException|409 Conflict|primary_ip_assigned|networks_overlap`), refine: taken, sentence: `At the cloud the name{taken} is already in use, perhaps by a leftover of an earlier run.`, next: `Ask ops to remove the leftover; after that: "berth env retry NAME".`, subject: "{taker}",
		samples: []sample{
			{step: "machine module.env.aws_security_group.env", says: "Error creating Security Group: InvalidGroup.Duplicate: The security group 'berth-reef' already exists for VPC 'vpc-0badc0de'\n\tstatus code: 400, request id: 0b", names: []string{`"berth-reef"`}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "server name is already used (uniqueness_error)", names: []string{`server "api"`}},
			{step: "machine module.env.aws_iam_role.env", says: "creating IAM Role (berth-reef): operation error IAM: CreateRole, https response error StatusCode: 409, RequestID: 0b, EntityAlreadyExists: Role with name berth-reef already exists.", names: []string{`"berth-reef"`}},
		}},

	// What has to be there before anything runs.
	{code: "module_invalid", who: ops, re: lazyregexp.New(`Unsupported (?:Terraform|OpenTofu) Core version`), refine: versions, sentence: `The files that describe the machines ask for version "{wants}" of the tool on Berth's machine, which has {has}.`, next: askFiles,
		samples: []sample{{step: "machine", says: "Unsupported Terraform Core version\nThis configuration does not support Terraform version 1.11.4. To proceed, either choose another supported Terraform version or update this version constraint.", names: []string{"1.11.4"}}}},
	{code: "module_invalid", who: ops, re: lazyregexp.New(`(?:Unsupported|Invalid) backend type`), refine: moduleLine, sentence: `The files that describe the machines have an error{place}: {line}`, next: askFiles,
		samples: []sample{{step: "machine", says: "Unsupported backend type\nThere is no backend type named \"harbour\".", names: []string{"harbour"}}}},
	{code: "provider_missing", who: ops, re: lazyregexp.New(`Failed to (?:query available|install) (?:provider|required)|Inconsistent dependency lock file|no (?:available )?releases match|provider registry\S* (?:does not have|has no)|Required plugins are not installed|[Cc]ould not (?:retrieve|load) (?:the list of available versions for )?plugin|Missing required provider|no package for (?P<p3>\S+)|Incompatible provider version|Invalid provider registry host|doesn't match any of the checksums|Failed to validate installed provider`), refine: helperName, sentence: `Berth lacks the helper{helper} that talks to the cloud{why}.`, next: askOps, subject: "{helper}",
		samples: []sample{
			{step: "machine", says: "Failed to query available provider packages\nCould not retrieve the list of available versions for provider\nhetznercloud/hcloud: no available releases match the given constraints >=\n3.0.0", names: []string{"hetznercloud/hcloud", "no version that fits >= 3.0.0"}},
			{step: "machine", says: "Failed to install provider\nError while installing hetznercloud/hcloud v1.60.1: the local package for\nregistry.terraform.io/hetznercloud/hcloud 1.60.1 doesn't match any of the\nchecksums previously recorded in the dependency lock file", names: []string{"hetznercloud/hcloud", "checksum"}},
			{step: "machine", says: "Inconsistent dependency lock file\nThe following dependency selections recorded in the lock file are inconsistent with the current configuration:\n  - provider registry.terraform.io/hashicorp/aws: required by this configuration but no version is selected", names: []string{"hashicorp/aws"}},
		}},
	{code: "module_invalid", who: ops, re: lazyregexp.New(`Module not (?:installed|found)|Failed to download module|Could not download module|Unreadable module (?:directory|subdirectory)|Unresolvable module|[Mm]odule source .* (?:has changed|not found)|(?:Error accessing|Failed to) [^\n]*remote module registry|Module version requirements have changed|Unresolvable module version|Invalid registry module source|Local module path escapes|Failed to expand subdir globs`), refine: moduleSource, sentence: `The files that describe the machines can't be fetched{from}{line}.`, next: askFiles,
		samples: []sample{
			{step: "machine", says: "Failed to download module\nCould not download module \"env\" (main.tf:1) source code from\n\"git::http://git.x.io/harbour/quay.git?ref=v2\": error downloading\n'http://git.x.io/harbour/quay.git?ref=v2': /usr/bin/git exited with 128:\nCloning into '.terraform/modules/env'...\nfatal: unable to access 'http://git.x.io/harbour/quay.git/': Failed to\nconnect to git.x.io port 80 after 0 ms: Couldn't connect to server", names: []string{"git.x.io/harbour/quay.git", "Failed to connect"}},
			{step: "machine", says: "Failed to expand subdir globs\nsubdir \"nowhere\" not found", names: []string{"nowhere"}},
			{step: "machine", says: "Unreadable module directory\nUnable to evaluate directory symlink: lstat quay: no such file or directory", names: []string{"quay"}},
			{step: "machine", says: "Error accessing remote module registry\nFailed to retrieve available versions for module \"env\" (main.tf:1) from\nregistry.terraform.io: failed to request discovery document: Get\n\"https://registry.terraform.io/.well-known/terraform.json\": dial tcp: lookup registry.terraform.io on 127.0.0.1:53: no such host", names: []string{`"registry.terraform.io"`, "not found"}},
		}},
	{code: "variable_missing", who: ops, re: lazyregexp.New(`input variable "[^"]+" is not set|No value for required variable|No value for variable "|variable "[^"]+" (?:is required|is not set)|The argument "region" is required`), refine: variable, sentence: `A value that the machines need is not given: "{var}".`, next: `Ask ops to set "{var}" for the target or the size in the catalog; after that: "berth env retry NAME".`, subject: "{var}",
		samples: []sample{
			{step: "machine", says: "No value for required variable\nThe root module input variable \"region\" is not set, and has no default value. Use a -var or -var-file command line argument to provide a value for this variable.", names: []string{"region"}},
			{step: "machine", says: "Missing required argument\nThe argument \"region\" is required, but no definition was found.", names: []string{"region"}},
		}},
	{code: "variable_missing", who: ops, re: lazyregexp.New(`Invalid value for (?:input )?variable|given value is not suitable for (?:child module )?(?:variable|var\.)|This was checked by the validation rule`), refine: refusedValue, sentence: `A value that the machines are given is not right (of "{var}"): {line}.`, next: `Ask ops to correct it for the target or the size in the catalog; after that: "berth env retry NAME".`, subject: "{line}",
		samples: []sample{
			{step: "machine", says: "Invalid value for input variable\nThe given value is not suitable for var.servers declared at main.tf:5,1-19: map of object required, but have string.", names: []string{`"servers"`, "required"}},
			{step: "machine", says: "Invalid value for variable\nThe size is small, nothing else.\n\nThis was checked by the validation rule at main.tf:6,3-13.", names: []string{"The size is small"}},
		}},
	{code: "module_invalid", who: ops, re: lazyregexp.New(`expected length of user_data|user_data.{0,40}(?:too (?:large|long)|exceed|at most|must be)|(?i:user data is limited)`), sentence: `The start-up data of a server is larger than the cloud takes.`, next: askFiles, subject: "userdata",
		samples: []sample{{step: anInstance, says: "expected length of user_data to be in the range (0 - 16384), got IyEvYmlu"}, {step: anInstance, says: "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 400, RequestID: 0b, api error InvalidParameterValue: User data is limited to 16384 bytes"}}},
	{code: "timeout", who: retry, re: lazyregexp.New(`(?i)timeout while waiting|waiting for .* to become|timeout error|couldn't find resource \(\d+ retries\)|\(timeout\b|Error code: timeout|GatewayTimeout`), sentence: `The cloud did not finish {what} in time.`, next: tryAgain,
		samples: []sample{{step: anInstance, says: "Error waiting for instance (i-0badc0de) to become ready: timeout while waiting for state to become 'running' (last state: 'pending', timeout: 10m0s)", names: []string{`server "api"`}}}},
	{code: "cloud_unreachable", who: retry, in: "machine", re: lazyregexp.New(`(?i)dial tcp|connection refused|no such host|i/o timeout|request send failed|RequestError: send request failed|connection reset|TLS handshake|context deadline exceeded|could not connect to|network is unreachable|x509: |EOF$|client\.timeout|proxyconnect|bad gateway|service unavailable|\bstatus ?code:? 50[234]|with status code 50[0234]|\(maintenance\b|under maintenance|failed to unmarshal error message`), refine: notReached, when: func(f *failure) bool {
		return f.vars["answer"] == "" || answered("maintenance", "SerializationError", "RequestError", "UnknownError")(f)
	}, sentence: `The cloud{host} can't be reached{why}.`, next: tryAgain, subject: "{host}",
		samples: []sample{
			{step: "machine data.aws_vpc.default", says: "RequestError: send request failed\ncaused by: Post \"http://ec2.cloud.internal:8443/\": dial tcp: lookup ec2.cloud.internal on 127.0.0.1:53: no such host", names: []string{"ec2.cloud.internal", "not found"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "hcloud: server responded with status code 502", names: []string{"trouble of its own"}},
			{step: `machine module.env.hcloud_server.server["api"]`, says: "Get \"https://api.hetzner.cloud/v1/images\": tls: failed to verify certificate: x509: certificate signed by unknown authority", names: []string{"api.hetzner.cloud", "certificate"}},
		}},
	{code: "state_unreachable", who: ops, in: "backend", re: lazyregexp.New(`(?i)dial tcp|connection refused|no such host|i/o timeout|pq: |password authentication failed|connection reset|network is unreachable|context deadline exceeded|x509: `), refine: notReached, sentence: `The place where Berth keeps its record of the machines can't be reached{host}{why}.`, next: askOps,
		samples: []sample{{step: "machine", says: "dial tcp 127.0.0.1:5599: connect: connection refused", names: []string{"127.0.0.1:5599", "refused"}}}},
	{code: "timeout", who: retry, re: lazyregexp.New(`(?i)timed out|deadline exceeded|timeout`), sentence: `The cloud did not finish {what} in time.`, next: tryAgain,
		samples: []sample{{step: anInstance, says: "waiting for the server: it timed out after 5m0s", names: []string{`server "api"`}}}},
	{code: "unknown", who: retry, re: lazyregexp.New(`InternalError|InternalFailure|[Ss]tatus ?[Cc]ode:? 50\d|[Ii]nternal [Ss]erver [Ee]rror|ServiceUnavailable|service_error|server_error|unknown_error|action_failed|robot_unavailable|\bUnavailable\b|Client\.InternalError|Server\.InternalError`), sentence: `The cloud had an error of its own while it worked on {what}.`, next: tryAgain, subject: "cloud",
		samples: []sample{{step: anInstance, says: "Error launching source instance: InternalError: An internal error has occurred\n\tstatus code: 500, request id: 0b", names: []string{`server "api"`}}, {step: `machine module.env.hcloud_server.server["api"]`, says: "Action failed (action_failed, 7)"}}},
	{code: "unknown", who: retry, re: lazyregexp.New(`\((?:locked|conflict)\b|Error code: (?:locked|conflict)|IncorrectInstanceState|IncorrectState\b|ConcurrentModification|ResourceConflict|OperationAborted`), sentence: `The cloud is busy with something else on {what} just now.`, next: tryAgain, subject: "busy",
		samples: []sample{{step: `machine module.env.hcloud_server.server["api"]`, says: "server is locked (locked)", names: []string{`server "api"`}}}},
	{code: "changed_outside", who: retry, re: lazyregexp.New(`couldn't find resource|empty result|Root (?:object|resource) was present, but now absent|produced (?:an )?(?:inconsistent|unexpected)[^\n]*after apply|Saved plan is stale|unexpected state '(?:terminated|shutting-down|deleted)'|InvalidInstanceID\.NotFound|InvalidNetworkInterface\w*\.NotFound`), sentence: `What was made at the cloud for {what} was changed or removed there by somebody else.`, next: `"berth env retry NAME" makes it again; tell ops if it stays.`, subject: "{what}",
		samples: []sample{{step: anInstance, says: "Provider produced inconsistent result after apply\nWhen applying changes to module.env.aws_instance.server[\"api\"], provider \"provider[\\\"registry.terraform.io/hashicorp/aws\\\"]\" produced an unexpected new value: Root object was present, but now absent.", names: []string{`server "api"`}}}},
	{code: "command_failed", who: ops, re: lazyregexp.New(`local-exec provisioner error|remote-exec provisioner error|file provisioner error|Error running command`), refine: localExec, sentence: `Berth could not start {what} on Berth's machine: {line}`, next: askOps, subject: "{line}",
		samples: []sample{
			{step: `machine module.environment.terraform_data.server["api"]`, says: "local-exec provisioner error\nError running command '/opt/berth/berth start': exit status 3. Output: berth: port 41007 is taken by process 9\n", names: []string{"port 41007"}},
			{step: `machine module.environment.terraform_data.server["api"]`, says: "local-exec provisioner error\nError running command 'start': fork/exec /usr/bin/fish: no such file or directory. Output: ", names: []string{"/usr/bin/fish"}},
		}},
	{code: "module_invalid", who: ops, re: lazyregexp.New(`^(?:Unsupported (?:argument|attribute|block type|operator)|Missing (?:required argument|resource|name|item|attribute|newline|key|close|base)|Invalid (?:multi-line|character|expression|reference|value|argument|block|function|index|for_each|count|template|resource|operand|number|string|variable|module|default|legacy|type|attribute|quoted|escape|single|provider|combination|dynamic|data source|precondition|postcondition|override|output|JSON|use)|Unterminated|Unclosed|Unexpected|Argument or block definition|Reference to undeclared|Incorrect (?:attribute|condition|type)|Inconsistent conditional|Duplicate|Extra characters|Attribute redefined|Error in function call|Call to unknown function|Cycle|Unconfigurable|Invalid$|Inappropriate value|Unknown variable|Not enough|Too many|Variables not allowed|Resource (?:postcondition|precondition) failed|Module output value precondition|Check block|Conflicting (?:configuration )?argument|Self-referential|Module (?:has|is|does)|Provider (?:configuration|produced|type)|Root value must|Failed to (?:read|parse|decode)|Insufficient|Ambiguous|Output refers|Sensitive|Missing\b|Unable to parse|Division by zero|Operation failed|Unexpected resource|Dynamic|Reserved|Ephemeral|No (?:value|such)|Configuration contains|Error: )|expected \w+ to (?:be|match)|expected length of|must be specified|ConflictsWith|"[\w.]+": (?:one of|conflicts|required)|InvalidBlockDeviceMapping|InvalidParameterCombination|MissingParameter|InvalidParameter\w*|ValidationError|\(invalid_input\b|Error code: invalid_input|json_error|is not supported|An argument named|The argument "`), refine: moduleLine, sentence: `The files that describe the machines have an error{place}: {line}`, next: askFiles, subject: "{file}",
		samples: []sample{
			{step: "machine", says: "Unsupported argument\nAn argument named \"berths\" is not expected here.", names: []string{"berths"}},
			{step: "machine", says: "Cycle: terraform_data.stern, terraform_data.bow", names: []string{"stern", "bow"}},
			{step: "machine", says: "Reference to undeclared resource\nA managed resource \"terraform_data\" \"wharf\" has not been declared in the root module.", names: []string{"wharf"}},
			{step: anInstance, says: "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 400, RequestID: 0b, api error InvalidBlockDeviceMapping: Volume of size 4GB is smaller than snapshot 'snap-0badc0de', expect size >= 8GB", names: []string{"smaller than snapshot"}},
			{step: "machine", says: "Resource precondition failed\nThe harbour has no berth for this size.", names: []string{"no berth for this size"}},
		}},
}

// onBerthsMachine says whether a log is about servers of the built-in target:
// they are processes on Berth's own machine, and no cloud has any of them.
func onBerthsMachine(log []byte) bool {
	return bytes.Contains(log, []byte("terraform_data.server["))
}

// unknownMachines says what may be left of work that was broken off.
func unknownMachines(f *failure) string {
	if f.vars["local"] != "" {
		return ""
	}
	return "; machines may exist that Berth does not know of"
}

// lost tells what may be left. On Berth's own machine the next run takes up
// whatever is there; elsewhere somebody has to look.
func lost(f *failure, x *finding) {
	f.vars["lost"] = unknownMachines(f)
	if f.vars["local"] != "" {
		x.who, x.next = retry, goOn
	}
}

func quotedOrNone(f *failure, key string, others ...string) {
	v := coalesce(f, key, others...)
	f.vars[key] = ""
	if v = strings.Trim(v, `'"[].,`); v != "" {
		f.vars[key] = ` "` + v + `"`
	}
}

func capacity(f *failure, _ *finding) {
	if f.vars["size"] == "" {
		if m := re(`(?:do not have sufficient|instance type \(?'?|machineTypes/|size )\s*([a-z]\w*[.-]\w+)`).FindStringSubmatch(f.comment); m != nil {
			f.vars["size"] = m[1]
		}
	}
	if v := f.vars["size"]; v != "" {
		f.vars["size"] = ` of the size "` + v + `"`
	}
}

func machineImage(f *failure, _ *finding) {
	for _, k := range []string{"i2", "i4"} {
		if v := f.vars[k]; v == "not" || v == "is" || v == "id" {
			delete(f.vars, k)
		}
	}
	quotedOrNone(f, "image", "i2", "i3", "i4", "i5")
}

func machineSize(f *failure, _ *finding) {
	coalesce(f, "size", "s2", "s3", "s4", "s5", "s7")
	if f.vars["size"] == "" {
		if m := re(`'([a-z]\w*\.\w+)'`).FindStringSubmatch(f.comment); m != nil {
			f.vars["size"] = m[1]
		}
	}
	quotedOrNone(f, "size")
}

func machineNet(f *failure, _ *finding) {
	quotedOrNone(f, "net", "n2", "n3", "n4")
	if f.vars["net"] == "" {
		if m := re(`in field '([^']+)'`).FindStringSubmatch(f.comment); m != nil {
			f.vars["net"] = ` (the "` + m[1] + `")`
		}
	}
}

func taken(f *failure, _ *finding) {
	if f.vars["taken"] == "" {
		if m := re(`'([^']+)'[^\n]*already|(?:name|key) "?([\w.-]+)"? (?:is )?already (?:exists|in use|used|taken)`).FindStringSubmatch(f.comment); m != nil && m[2] != "is" {
			f.vars["taken"] = m[1] + m[2]
		}
	}
	v := f.vars["taken"]
	f.vars["taker"], f.vars["taken"] = v, ""
	if v != "" {
		f.vars["taken"] = ` "` + v + `"`
	} else if f.vars["address"] != "" {
		f.vars["taken"] = " of " + f.vars["what"]
	}
}

func variable(f *failure, _ *finding) {
	if m := re(`(?:variable|The argument) "([^"]+)"`).FindStringSubmatch(f.comment); m != nil {
		f.vars["var"] = m[1]
	}
}

func localExec(f *failure, _ *finding) {
	text := f.comment
	command := ""
	if m := re(`(?s)Error running command '(.*?)': (.*)$`).FindStringSubmatch(text); m != nil {
		command, text = m[1], m[2]
	}
	reason, printed, ok := strings.Cut(text, "Output: ")
	if printed = strings.TrimSpace(printed); ok && printed != "" && !strings.HasPrefix(printed, "(output suppressed") {
		text = printed
	} else {
		text = strings.TrimRight(strings.TrimSpace(reason), ".")
		if command != "" && re(`^exit status`).MatchString(text) {
			text = `"` + shorten(oneLine(command), 60) + `": ` + text
		}
	}
	if l := telling(text, ""); l != "" {
		text = l
	}
	f.vars["line"] = plainly(text)
}

func moduleLine(f *failure, _ *finding) {
	l := f.vars["detail"]
	if a := answerOf(f.comment); a.said != "" {
		l = a.said
	}
	if l == "" {
		l = f.vars["summary"]
	}
	l = oneLine(strings.SplitN(l, "\n\n", 2)[0])
	if i := strings.Index(l, ". "); i > 30 {
		l = l[:i]
	}
	// What is said of an index or a type does not name it.
	if n := oneLine(f.vars["summary"]); len(l) < 60 && !strings.Contains(l, n) && len(n) < 60 && f.vars["detail"] != "" && !re(`^(?:Unsupported|Reference|Missing|Call to|Resource)`).MatchString(n) {
		l = n + ": " + l
	}
	f.vars["line"] = plainly(l)
}
