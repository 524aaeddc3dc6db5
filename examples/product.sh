#!/bin/sh
# A product in shell: it registers, says what it uses, reports, asks before it adds a user, and shows how things stand.
#   AUTHORITY=https://licenses.example:8443 TOKEN=… USERS=3 examples/product.sh
set -eu
export TALLY_AGENT_STATE="${TALLY_AGENT_STATE:-product-state}"
tally-agent init --product "Example Script" --pid EX-2000 --sn "${SN:-B1}" --version 1.0
tally-agent transport direct "$AUTHORITY"
[ -z "${TOKEN:-}" ] || tally-agent license smart register idtoken "$TOKEN"
tally-agent usage set cms-pmp-plus "${USERS:-1}"
tally-agent report || echo "no report; the product goes on"
tally-agent decision provision || echo "no new user may be added"
tally-agent show license summary
