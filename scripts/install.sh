#!/usr/bin/env bash
# Installs what the tests need: Debian packages when one is missing, and the pinned Go tools
# into .tools/. With "tools" as argument only the latter. Both halves run at the same time.
set -euo pipefail
cd "$(dirname "$0")/.."

# tool NAME VERSION MODULE: builds one tool into a folder that carries its version.
tool() {
  local folder="$PWD/.tools/$1-$2"
  [ -x "$folder/$1" ] && return
  echo "building $1 $2"
  CGO_ENABLED=0 GOBIN="$folder" go install "$3@$2"
}

tools() {
  local name version module
  while read -r name version module; do tool "$name" "$version" "$module"; done < scripts/tools.txt
}

# wanted prints the packages that are not here yet. gcc is for the race detector, chromium for
# the tests of the console's pages, openssl reads the certificates as a stranger would, and centreon-plugins, with the
# modules that it only recommends, has the check of call bridges. squid and apache2-bin are the proxy and the gateway
# that products stand behind, slapd is the directory server that LDAP sources read,
# zbar-tools reads QR codes as a camera would.
wanted() {
  local package
  for package in gcc libc6-dev openssl chromium centreon-plugins libxml-simple-perl libjson-perl libdatetime-perl \
    libwww-perl liblwp-protocol-https-perl slapd zbar-tools squid apache2-bin; do
    [[ "$(dpkg -s "$package" 2>/dev/null)" == *"Status: install ok installed"* ]] || echo "$package"
  done
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
}

packages() {
  local -a missing root=()
  mapfile -t missing < <(wanted)
  [ ${#missing[@]} -eq 0 ] && return
  echo "installing ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "missing packages: ${missing[*]}; install them as root, or install sudo" >&2
      return 1
    fi
    root=(sudo)
  fi
  local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq)
  "${root[@]}" "${apt[@]}" update
  # The tests start directory servers of their own; the package is not to set up one for this machine.
  echo 'slapd slapd/no_configuration boolean true' | "${root[@]}" debconf-set-selections
  # Nor is squid to start one: Debian asks this program, where there is one, before it starts anything.
  local policy=/usr/sbin/policy-rc.d made="" result=0
  if [ ! -e "$policy" ]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod 0755 "$policy"
  fi
  "${root[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}" || result=1
  [ -z "$made" ] || "${root[@]}" rm -f "$policy"
  return "$result"
}

if [ "${1:-}" = tools ]; then
  tools
  exit
fi
packages &
installing=$!
tools &
building=$!
result=0
wait "$installing" || result=1
wait "$building" || result=1
exit "$result"
