-- name: DirectorySources :many
SELECT account_id, kind, source_id, name, tenant, personal, users, spaces, clashes, accepted_at, accepted_by, state FROM directory_source
WHERE account_id = $1 ORDER BY kind, source_id;

-- name: PutDirectorySource :exec
INSERT INTO directory_source (account_id, kind, source_id, name, tenant, personal, users, spaces, clashes, accepted_at, accepted_by, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (account_id, kind, source_id) DO UPDATE SET name = excluded.name, tenant = excluded.tenant, personal = excluded.personal,
  users = excluded.users, spaces = excluded.spaces, clashes = excluded.clashes, accepted_at = excluded.accepted_at,
  accepted_by = excluded.accepted_by, state = excluded.state;

-- name: DropDirectorySource :execrows
DELETE FROM directory_source WHERE account_id = $1 AND kind = $2 AND source_id = $3;

-- name: DirectoryHeld :one
SELECT run_id, digest, put FROM directory_held WHERE account_id = $1 AND kind = $2 AND source_id = $3;

-- name: PutDirectoryHeld :exec
INSERT INTO directory_held (account_id, kind, source_id, run_id, digest, put) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_id, kind, source_id) DO UPDATE SET run_id = excluded.run_id, digest = excluded.digest, put = excluded.put;

-- name: DropDirectoryHeld :exec
DELETE FROM directory_held WHERE account_id = $1 AND kind = $2 AND source_id = $3;

-- name: InsertDirectoryRun :exec
INSERT INTO directory_run (account_id, run_id, kind, source_id, name, state, started_at, ended_at, run_by, accepted_at, accepted_by, version,
  entries, users, skipped, clashes, added, removed, gained, lost, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21);

-- name: EndDirectoryRun :exec
UPDATE directory_run SET state = sqlc.arg(state), accepted_at = sqlc.arg(accepted_at), accepted_by = sqlc.arg(accepted_by), version = sqlc.arg(version)
WHERE account_id = sqlc.arg(account_id) AND run_id = sqlc.arg(run_id);

-- name: DirectoryRuns :many
SELECT account_id, run_id, kind, source_id, name, state, started_at, ended_at, run_by, accepted_at, accepted_by, version,
  entries, users, skipped, clashes, added, removed, gained, lost, details FROM directory_run
WHERE account_id = sqlc.arg(account_id) AND run_id < sqlc.arg(before) ORDER BY run_id DESC LIMIT sqlc.arg(page);

-- name: DirectoryDefaults :many
SELECT tenant, personal, set_at, set_by FROM directory_default WHERE account_id = $1 ORDER BY tenant;

-- name: PutDirectoryDefault :exec
INSERT INTO directory_default (account_id, tenant, personal, set_at, set_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id, tenant) DO UPDATE SET personal = excluded.personal, set_at = excluded.set_at, set_by = excluded.set_by;

-- name: DropDirectoryDefault :exec
DELETE FROM directory_default WHERE account_id = $1 AND tenant = $2;

-- name: VersionsBetween :many
SELECT version, imported_at, imported_by FROM directory_version
WHERE account_id = sqlc.arg(account_id) AND imported_at >= sqlc.arg(from_at) AND imported_at < sqlc.arg(to_at) ORDER BY version;

-- name: UsersBegun :many
SELECT jid, from_version, personal, name FROM directory_user
WHERE account_id = sqlc.arg(account_id) AND from_version >= sqlc.arg(low) AND from_version <= sqlc.arg(high) ORDER BY jid, from_version;

-- name: UsersEnded :many
SELECT jid, to_version, personal, name FROM directory_user
WHERE account_id = sqlc.arg(account_id) AND to_version >= sqlc.arg(low) AND to_version <= sqlc.arg(high) ORDER BY jid, to_version;

-- name: InsertLdapServer :exec
INSERT INTO ldap_server (account_id, server_id, settings, secret) VALUES ($1, $2, $3, $4);

-- name: LdapServer :one
SELECT settings, secret FROM ldap_server WHERE account_id = $1 AND server_id = $2;

-- name: SetLdapServer :exec
UPDATE ldap_server SET settings = $3, secret = $4 WHERE account_id = $1 AND server_id = $2;

-- name: DropUnusedLdapServers :exec
DELETE FROM ldap_server WHERE ldap_server.account_id = $1 AND NOT EXISTS
  (SELECT 1 FROM ldap_source s WHERE s.account_id = ldap_server.account_id AND s.server_id = ldap_server.server_id);

-- name: InsertLdapSource :execrows
INSERT INTO ldap_source (account_id, source_id, server_id, name, name_key, settings, added_at, every_ms, next_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (account_id, name_key) DO NOTHING;

-- name: SetLdapSource :exec
UPDATE ldap_source SET settings = sqlc.arg(settings), every_ms = sqlc.arg(every_ms), next_at = sqlc.arg(next_at)
WHERE account_id = sqlc.arg(account_id) AND source_id = sqlc.arg(source_id);

-- name: SetLdapNext :exec
UPDATE ldap_source SET next_at = sqlc.arg(next_at) WHERE account_id = sqlc.arg(account_id) AND source_id = sqlc.arg(source_id);

-- name: LdapSources :many
SELECT account_id, source_id, server_id, name, name_key, settings, added_at, every_ms, next_at FROM ldap_source
WHERE account_id = $1 ORDER BY source_id;

-- name: DropLdapSource :execrows
DELETE FROM ldap_source WHERE account_id = $1 AND source_id = $2;

-- name: DirectoryRun :one
SELECT account_id, run_id, kind, source_id, name, state, started_at, ended_at, run_by, accepted_at, accepted_by, version,
  entries, users, skipped, clashes, added, removed, gained, lost, details FROM directory_run
WHERE account_id = $1 AND run_id = $2;

-- name: LastDirectoryRun :one
SELECT account_id, run_id, kind, source_id, name, state, started_at, ended_at, run_by, accepted_at, accepted_by, version,
  entries, users, skipped, clashes, added, removed, gained, lost, details FROM directory_run
WHERE account_id = $1 AND kind = $2 AND source_id = $3 ORDER BY run_id DESC LIMIT 1;

-- name: RunsOfVersions :many
SELECT version, kind, name FROM directory_run
WHERE account_id = sqlc.arg(account_id) AND version >= sqlc.arg(low) AND version <= sqlc.arg(high) AND version > 0;

-- name: HeldSources :many
SELECT kind, source_id, run_id FROM directory_held WHERE account_id = $1;

-- name: DirectorySource :one
SELECT account_id, kind, source_id, name, tenant, personal, users, spaces, clashes, accepted_at, accepted_by, state FROM directory_source
WHERE account_id = $1 AND kind = $2 AND source_id = $3;
