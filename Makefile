# Everything below runs in a fresh clone with Go and make; a machine of the Debian family
# installs the rest for itself (scripts/install.sh says what).

# Arguments for the load driver: make load LOAD="-help"
LOAD ?=

.PHONY: demo build test install lint unit stories generate generated bench soak load clean

demo: ## a complete estate in a temporary folder; Ctrl-C ends it
	CGO_ENABLED=0 go build -o bin/tally ./cmd/tally
	@bin/tally demo

build: ## the programs, static, in bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

test: ## everything that a change must pass
	@scripts/run.sh install format vet lint generated tidy unit stories

install: ## the programs that the tests need, and the tools in .tools/
	@scripts/run.sh install

lint: ## formatting, vet, linters
	@scripts/run.sh tools format vet lint

unit: ## tests of the packages, with the race detector
	@scripts/run.sh unit

stories: ## tests that start real processes
	@scripts/run.sh stories

generate: ## write the generated code again
	@scripts/run.sh tools generate

generated: ## compare the generated code with what the generators write
	@scripts/run.sh tools generated

bench: ## benchmarks of the packages
	@scripts/run.sh bench

soak: ## the crash stories, 200 kills on each database
	@scripts/run.sh soak

load: ## drive a server and compare it with its bare baseline
	@scripts/run.sh load $(LOAD)

clean: ## what was built here; the tools stay
	rm -rf bin
