#!/usr/bin/env bash
# Runs the steps named as arguments and says of each how long it took. A step that fails does
# not keep the later ones from running; the last line names all that failed. Steps with tests
# get a private PostgreSQL. The arguments after "load" go to the load driver.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/postgres.sh

while read -r name version _; do
  PATH="$PWD/.tools/$name-$version:$PATH"
done < scripts/tools.txt

# packages lists ours without the stories; a package with tests alone is one too.
packages() { go list ./... | grep -v '/test\(/\|$\)'; }

format() {
  local unformatted
  unformatted=$(find . -name '*.go' -not -path './.*' -print0 | xargs -0 -r gofmt -l) || return
  [ -z "$unformatted" ] || { echo "not as gofmt writes it:" $unformatted; return 1; }
}

vet() { go vet ./... && go vet -tags testclock ./...; }

lint() { golangci-lint run --allow-serial-runners; }

unit() { packages | xargs go test -p 2 -race -timeout 20m; }

stories() { go list ./... | sed -n '/\/test\(\/\|$\)/p' | xargs -r go test -p 2 -count=1 -timeout 40m; }

bench() { packages | xargs go test -p 1 -run '^$' -bench . -benchmem; }

soak() {
  go test -list Kill ./test/... | grep '^Test' || { echo "no story about kills"; return 1; }
  TALLY_TEST_KILLS=200 TALLY_TEST_SEEDS=20 TALLY_TEST_MEETINGS=10000 go test -count=1 -v -timeout 12h -run Kill ./test/...
  TALLY_TEST_KILLS=200 go test -count=1 -v -timeout 2h -run AnyOrder ./test -rapid.checks=1000
  local seed
  for seed in 1 2 3 4 5; do TALLY_TEST_SIM=1 TALLY_TEST_SIM_SEED=$seed go test -count=1 -v -timeout 1h ./test/sim; done
  TALLY_TEST_KILLS=200 go test -count=1 -v -timeout 2h -run 'NoHarmOnAnyWalk|ReservationsConserve' ./agent ./internal/authority -rapid.checks=5000
  TALLY_TEST_KILLS=200 TALLY_TEST_MUTANTS=1000000 go test -count=1 -v -timeout 12h -run 'AnyCourier|Mutants' ./internal/satellite -rapid.checks=100000
}

failed=()

# step NAME COMMAND…: quiet unless it fails. loud NAME COMMAND…: its output is worth reading.
step() {
  local name=$1 began=$SECONDS output
  shift
  if output=$("$@" 2>&1); then
    printf '== %-10s %4d s\n' "$name" $((SECONDS - began))
  else
    printf '%s\n== %-10s %4d s  failed\n' "$output" "$name" $((SECONDS - began))
    failed+=("$name")
  fi
}

loud() {
  local name=$1 began=$SECONDS result=""
  shift
  if [ -z "${TALLY_TEST_POSTGRES:-}" ]; then
    trap stop_postgres EXIT
    trap 'exit 130' INT TERM
    start_postgres
  fi
  printf '== %s\n' "$name"
  "$@" || { result=" failed"; failed+=("$name"); }
  printf '== %-10s %4d s %s\n' "$name" $((SECONDS - began)) "$result"
}

while [ $# -gt 0 ]; do
  name=$1
  shift
  case $name in
    install) scripts/install.sh; printf '== install    %4d s\n' "$SECONDS" ;;
    tools) scripts/install.sh tools ;;
    generate) go generate ./... ;;
    generated) step generated scripts/generated.sh ;;
    tidy) step tidy go mod tidy -diff ;;
    format | vet | lint) step "$name" "$name" ;;
    unit | stories | bench | soak) loud "$name" "$name" ;;
    load) loud load go run ./test/load "$@"; set -- ;;
    *) echo "no step $name" >&2; exit 2 ;;
  esac
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "== failed: ${failed[*]}"
  exit 1
fi
