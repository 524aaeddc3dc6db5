#!/usr/bin/env bash
# Compares the generated Go code with what the generators write now. The generators run in a
# copy from which all generated code was removed, so that a file without a source is noticed
# too, and nothing in the tree changes. A generator must therefore not need generated Go code.
set -euo pipefail
cd "$(dirname "$0")/.."

# Sources whose package forgot its go:generate line would pass unseen.
source_of() { # source_of FILE-PATTERN COMMAND
  local found
  found=$(find . -name "$1" -not -path './.*' -print -quit)
  if [ -n "$found" ] && ! grep -rqE --include='*.go' "^//go:generate .*$2" .; then
    echo "$found has no go:generate line that runs $2" >&2
    return 1
  fi
}
source_of 'sqlc.y*ml' sqlc
source_of '*.templ' templ

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
tar -c --exclude=./.git --exclude=./.tools --exclude=./bin . | tar -x -C "$copy"
cd "$copy"
grep -rlE --include='*.go' '^// Code generated .* DO NOT EDIT\.$' . | xargs -r rm
go generate ./...
if ! diff -r -q -x .git -x .tools -x bin "$OLDPWD" .; then
  echo "generated code differs from its sources: run make generate" >&2
  exit 1
fi
