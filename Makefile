# `make help` lists the targets. Everything that these make lies in one folder,
# ignored by git: .berth (see .ci/work).
.DEFAULT_GOAL := help
.PHONY: help check setup salt terraform build agents demo demo-stop playground test test-race test-machines test-tofu e2e-cloud systems arm64 score corpus pictures fuzz bench clouds salt-lock moto-lock clean

WORK      := $(or $(BERTH_WORK),$(shell .ci/work))
SALT_CALL := $(WORK)/salt/bin/salt-call
GO        := go
SETUP     := $(GO) run ./.ci/setup -work $(WORK)
DEMO      := $(GO) run ./.ci/demo -work $(WORK)
FUZZTIME  ?= 10s
# Recorded results beside the checkout, more than testdata/salt holds.
CORPUS    := $(or $(BERTH_CORPUS),$(abspath $(wildcard ../shared/corpus)))
# The whole way with machines that boot. CI takes one cloud: with the image and
# a static berth to build, that is what its time allows; the others differ from
# it in their modules alone, which CI tests by themselves.
E2E       := ./testdata/e2e
E2E_SET    = BERTH_WORK=$(WORK) BERTH_TERRAFORM=$$(cat $(WORK)/terraform.path)
# What takes longest, or waits longest, begins first.
SOURCES   := ./bot/app ./modules . ./bot/... ./orchestrator/... ./templates/... ./modules/...
# SQLite is C that has become Go: its memory lies where the race detector does
# not look, and to follow its pointers takes three quarters of the tests' time.
# The driver above it, and all of Berth, are watched. Regular expressions only
# read the text that they are given; of what races, this hides only that somebody
# writes a slice of bytes while one reads it.
UNWATCHED := $(foreach package,modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory regexp/...,-gcflags=$(package)=-race=false)
TOOLS     := ./.ci/setup ./.ci/demo ./.ci/bench ./.ci/score ./.ci/corpus ./testdata/apps ./testdata/browser ./testdata/awsfake ./testdata/executable ./testdata/hcloudfake ./testdata/mirror ./testdata/machines ./testdata/ports

help: ## List the targets
	@.ci/check || true
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

check: ## Say what this machine lacks, and how to install it
	@.ci/check && echo "Nothing is missing."

setup: ## Install Salt and find or build Terraform (minutes the first time)
	@.ci/check
	@$(SETUP) salt terraform

salt: ## Install Salt into .berth/salt
	@.ci/check
	@$(SETUP) salt

terraform: ## Find Terraform, or build it
	@.ci/check
	@$(SETUP) terraform

build: ## Build berth
	@mkdir -p $(WORK)/bin
	$(GO) build -o $(WORK)/bin/berth .

# Static, for a machine may have another C library, and without what only a
# debugger needs.
agents: ## Build the agent for machines of other kinds (.berth/bin/berth-linux-…)
	@mkdir -p $(WORK)/bin
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags '-s -w' -o $(WORK)/bin/berth-linux-amd64 .
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '-s -w' -o $(WORK)/bin/berth-linux-arm64 .

demo: setup build ## Show the whole way of an environment (KEEP=1 leaves it up)
	@$(DEMO) $(if $(KEEP),-keep)

demo-stop: build ## End what `make demo KEEP=1` or a playground left up
	@$(DEMO) -stop

playground: setup build ## Use Berth in a browser, as in Slack, without an account
	@$(GO) build -o $(WORK)/bin/demo ./.ci/demo # go run would call a Ctrl-C a failure
	@$(if $(LISTEN),LISTEN=$(LISTEN)) $(WORK)/bin/demo -work $(WORK) -playground

# The machines boot while the rest is tested: each waits for the other's
# processor less than for its own programs. One that fails does not end the other.
test: ## Everything that CI runs
	@.ci/check
	@$(SETUP) -pinned salt terraform chromium tools moto aws-provider hcloud-provider image
	@unformatted=$$(git ls-files -co --exclude-standard -- '*.go' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "Not formatted (gofmt -w mends it):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(SOURCES) $(TOOLS) $(E2E)
	@$(MAKE) --no-print-directory -k -j 2 test-race test-machines
	@$(MAKE) --no-print-directory score

# Without GORACE each program of the tests would wait for a second at its end,
# in which the race detector finds nothing that an ended program still does.
test-race:
	BERTH_REQUIRE_SALT=1 BERTH_SALT_CALL=$(SALT_CALL) BERTH_TERRAFORM=$$(cat $(WORK)/terraform.path) \
	BERTH_REQUIRE_BROWSER=1 BERTH_CHROMIUM=$$(cat $(WORK)/chromium.path) \
	BERTH_REQUIRE_TOOLS=1 BERTH_REQUIRE_POSTGRES=1 BERTH_CORPUS=$(CORPUS) \
	GORACE=atexit_sleep_ms=0 BERTH_TEST_BUILD="$(UNWATCHED)" BERTH_WORK=$(WORK) BERTH_REQUIRE_HCLOUD=1 BERTH_REQUIRE_AWS=$(if $(filter Linux/x86_64,$(shell uname -s)/$(shell uname -m)),1) \
		$(GO) test -race $(UNWATCHED) -timeout 20m -p 2 $(SOURCES) $(TOOLS)

test-machines:
	$(E2E_SET) BERTH_SALT_CALL=$(SALT_CALL) $(GO) test -timeout 20m $(E2E) -run '^TestHetzner$$'

e2e-cloud: ## An environment's whole life on machines: local, AWS, Hetzner (needs root)
	@.ci/check
	@BERTH_REQUIRE_MACHINES=1 $(SETUP) -pinned salt terraform moto aws-provider hcloud-provider image
	BERTH_REQUIRE_MACHINES=1 BERTH_REQUIRE_AWS=1 BERTH_REQUIRE_HCLOUD=1 $(E2E_SET) BERTH_SALT_CALL=$(SALT_CALL) \
		$(GO) test -count=1 -v -timeout 20m ./testdata/machines $(E2E)

# Not in CI: a root file system more to make, and minutes of package managers
# that wait; what they print when they fail is recorded, and CI reads that.
systems: ## Install with real apt, dnf and zypper (needs root; RECORD=. records the failures)
	@.ci/check
	@$(SETUP) systems
	BERTH_REQUIRE_SYSTEMS=1 BERTH_WORK=$(WORK) $(GO) test -count=1 -timeout 20m ./orchestrator/agent -run '^TestSystems$$$(if $(ONLY),/$(ONLY))' $(if $(RECORD),-record '$(RECORD)')

arm64: agents ## Run the agent for arm64 under qemu-aarch64 (apt-get install qemu-user)
	BERTH_TEST_ARM64=$(WORK)/bin/berth-linux-arm64 $(GO) test -count=1 -v ./orchestrator/agent -run '^TestARM64$$'
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -exec qemu-aarch64 -count=1 -v ./orchestrator/agent -run '^(TestSignIn|TestInstall|TestExactly)$$'

# OpenTofu in Terraform's place. Not in CI: to build it takes longer than CI has.
# What ONLY says is taken as it is, with its $.
TOFU_SET = BERTH_REQUIRE_SALT=1 BERTH_SALT_CALL=$(SALT_CALL) BERTH_TERRAFORM=$(WORK)/bin/tofu BERTH_WORK=$(WORK)
test-tofu: ## Run what uses Terraform with OpenTofu, which it builds (once; 5 to 20 minutes)
	@.ci/check
	@$(SETUP) salt opentofu moto aws-provider hcloud-provider $(if $(value ONLY),,image)
	$(TOFU_SET) $(GO) test -count=1 -timeout 40m -p 1 ./orchestrator/terraform ./modules/... ./bot/app $(if $(value ONLY),-run '$(value ONLY)')
	$(if $(value ONLY),,$(TOFU_SET) $(GO) test -count=1 -timeout 20m $(E2E) -run '^(TestLocal|TestAWS|TestHetzner)$$')

# Recorded failures below testdata by our own count; those of BERTH_CORPUS, or
# of ../shared/corpus where it is, by its score.py.
score: build ## Print how many recorded failures are explained rightly; fails below 98 %
	@$(GO) run ./.ci/score -berth $(WORK)/bin/berth -corpus "$(CORPUS)" -python "$$(.ci/python)" $(if $(VERBOSE),-v)

corpus: ## Record the runs of testdata/salt/scenarios anew (ONLY="NAME…": some)
	@.ci/check
	@$(SETUP) salt salt-3006
	@$(GO) run ./.ci/corpus -work $(WORK) $(ONLY)

pictures: setup ## Make the documents' pictures anew (docs/images)
	@$(SETUP) chromium
	BERTH_REQUIRE_SALT=1 BERTH_SALT_CALL=$(SALT_CALL) BERTH_TERRAFORM=$$(cat $(WORK)/terraform.path) \
	BERTH_REQUIRE_BROWSER=1 BERTH_CHROMIUM=$$(cat $(WORK)/chromium.path) \
		$(GO) test ./bot/app -count=1 -run '^TestPlayground$$' -update

fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@for package in $$($(GO) list $(SOURCES)); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

bench: setup build ## Measure Berth on this machine; fails over a limit (REPORT=1 only prints)
	BERTH_SALT_CALL=$(SALT_CALL) BERTH_TERRAFORM=$$(cat $(WORK)/terraform.path) \
		$(GO) test -run '^$$' -bench . -benchmem $(SOURCES)
	$(GO) run ./.ci/bench -work $(WORK) $(if $(REPORT),-report)

clouds: ## Install what the clouds' tests need: stand-ins and providers
	@.ci/check
	@$(SETUP) terraform moto aws-provider hcloud-provider

salt-lock: ## Resolve .ci/salt.in anew into .ci/salt.lock (a link: agents carry it), and the older Salt's
	@$(SETUP) salt
	$(WORK)/uv/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make salt-lock' -o orchestrator/agent/salt.lock .ci/salt.in
	$(WORK)/uv/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make salt-lock' -o .ci/salt-3006.lock .ci/salt-3006.in

moto-lock: ## Resolve .ci/moto.in anew into .ci/moto.lock
	@$(SETUP) moto
	$(WORK)/uv/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make moto-lock' -o .ci/moto.lock .ci/moto.in

clean: ## Remove everything that these targets made
	@if [ -e $(WORK)/demo ]; then echo "The demo has left something; make demo-stop ends it first."; exit 1; fi
	rm -rf $(WORK)
