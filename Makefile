.PHONY: help test
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

test: ## Everything that CI runs
	go vet ./...
	go test -race ./...
