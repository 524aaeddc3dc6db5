# Sourced, not run. A private PostgreSQL for the tests, in a temporary folder, on a free port
# of the loopback interface: start_postgres exports its address as TALLY_TEST_POSTGRES,
# stop_postgres ends it and removes the folder. A server that the caller named is used as it is.
# Settings are those of a careful operator (fsync stays on), for the tests kill what they test.

postgres_folder=""

# as_postgres runs a command as the user that may own a database: the server refuses root.
as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

start_postgres() {
  [ -n "${TALLY_TEST_POSTGRES:-}" ] && return
  local programs port
  programs=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1) || true
  if [ -z "$programs" ]; then
    echo "PostgreSQL is not installed: run make install" >&2
    return 1
  fi
  postgres_folder=$(mktemp -d)
  if [ "$(id -u)" -eq 0 ]; then chown postgres "$postgres_folder"; fi
  if ! as_postgres test -w "$postgres_folder"; then # a private TMPDIR of root
    rmdir "$postgres_folder"
    postgres_folder=$(mktemp -d -p /var/tmp)
    chown postgres "$postgres_folder"
  fi
  cd "$postgres_folder"
  as_postgres "$programs/initdb" -D "$postgres_folder/data" -U tally -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
  for _ in 1 2 3 4 5 6 7 8; do
    port=$((20000 + RANDOM % 12000)) # below the ports that the system gives to clients
    if as_postgres "$programs/pg_ctl" -D "$postgres_folder/data" -l "$postgres_folder/log" -w -s -o \
      "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200 -c fsync=on" start; then
      postgres_programs=$programs
      export TALLY_TEST_POSTGRES="postgres://tally@127.0.0.1:$port/postgres?sslmode=disable"
      cd "$OLDPWD"
      return
    fi
  done
  cat "$postgres_folder/log" >&2
  return 1
}

stop_postgres() {
  [ -n "$postgres_folder" ] || return 0
  if [ -n "${postgres_programs:-}" ]; then
    (cd / && as_postgres "$postgres_programs/pg_ctl" -D "$postgres_folder/data" -m immediate -s stop) || true
  fi
  rm -rf "$postgres_folder"
}
