-- name: ClaimAccountName :execrows
INSERT INTO account_name (name_key, account_id) VALUES ($1, $2) ON CONFLICT (name_key) DO NOTHING;

-- name: AccountIDByName :one
SELECT account_id FROM account_name WHERE name_key = $1;

-- name: InsertAccount :exec
INSERT INTO account (account_id, name, created_at, last_at, event_seq, event_hash, default_va)
VALUES ($1, $2, $3, $4, 0, $5, $6);

-- name: LockAccount :one
UPDATE account SET last_at = CASE WHEN last_at > sqlc.arg(now) THEN last_at ELSE sqlc.arg(now) END
WHERE account_id = sqlc.arg(account_id)
RETURNING account_id, name, created_at, last_at, event_seq, event_hash, default_va;

-- name: Account :one
SELECT account_id, name, created_at, last_at, event_seq, event_hash, default_va FROM account WHERE account_id = $1;

-- name: Accounts :many
SELECT account_id, name, created_at, last_at, event_seq, event_hash, default_va FROM account
WHERE account_id > sqlc.arg(after) ORDER BY account_id LIMIT sqlc.arg(page);

-- name: SetDefaultVA :exec
UPDATE account SET default_va = $2 WHERE account_id = $1;

-- name: InsertVA :execrows
INSERT INTO virtual_account (account_id, va_id, name, name_key, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id, name_key) DO NOTHING;

-- name: VA :one
SELECT account_id, va_id, name, name_key, created_at, satellite_id FROM virtual_account WHERE account_id = $1 AND va_id = $2;

-- name: VAByName :one
SELECT account_id, va_id, name, name_key, created_at, satellite_id FROM virtual_account WHERE account_id = $1 AND name_key = $2;

-- name: VAs :many
SELECT account_id, va_id, name, name_key, created_at, satellite_id FROM virtual_account
WHERE account_id = sqlc.arg(account_id) AND va_id > sqlc.arg(after) ORDER BY va_id LIMIT sqlc.arg(page);

-- name: RenameVA :exec
UPDATE virtual_account SET name = $3, name_key = $4 WHERE account_id = $1 AND va_id = $2;

-- name: DeleteVA :exec
DELETE FROM virtual_account WHERE account_id = $1 AND va_id = $2;

-- name: VAContents :one
SELECT
  (SELECT count(*) FROM holding h WHERE h.account_id = sqlc.arg(account_id) AND h.place = sqlc.arg(place) AND h.quantity > 0) AS holdings,
  (SELECT count(*) FROM instance i WHERE i.account_id = sqlc.arg(account_id) AND i.va_id = sqlc.arg(va_id)) AS instances,
  (SELECT count(*) FROM token t WHERE t.account_id = sqlc.arg(account_id) AND t.va_id = sqlc.arg(va_id)) AS tokens,
  (SELECT count(*) FROM satellite_stock s WHERE s.account_id = sqlc.arg(account_id) AND s.va_id = sqlc.arg(va_id) AND s.granted > s.burnt) AS consigned,
  (SELECT count(*) FROM conference c WHERE c.account_id = sqlc.arg(account_id) AND c.va_id = sqlc.arg(va_id)) AS conferences;

-- name: InsertEvent :exec
INSERT INTO event (account_id, seq, happened_at, kind, actor, subject, body, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: AdvanceEvents :execrows
UPDATE account SET event_seq = sqlc.arg(seq), event_hash = sqlc.arg(hash)
WHERE account_id = sqlc.arg(account_id) AND event_seq = sqlc.arg(before);

-- name: Events :many
SELECT account_id, seq, happened_at, kind, actor, subject, body, hash FROM event
WHERE account_id = sqlc.arg(account_id) AND seq > sqlc.arg(after) ORDER BY seq LIMIT sqlc.arg(page);

-- name: IdempotentAnswer :one
SELECT digest, answer FROM idempotency WHERE account_id = $1 AND idem_key = $2;

-- name: InsertIdempotentAnswer :exec
INSERT INTO idempotency (account_id, idem_key, digest, answer, created_at) VALUES ($1, $2, $3, $4, $5);

-- name: InsertCredential :exec
INSERT INTO credential (account_id, credential_id, kind, digest, name, role, created_at, expires_at, ended_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0);

-- name: Credential :one
SELECT account_id, credential_id, kind, digest, name, role, created_at, expires_at, ended_at FROM credential
WHERE account_id = $1 AND credential_id = $2;

-- name: EndCredential :execrows
UPDATE credential SET ended_at = sqlc.arg(now) WHERE account_id = sqlc.arg(account_id) AND credential_id = sqlc.arg(credential_id) AND ended_at = 0;

-- name: CountCredentials :one
SELECT count(*) FROM credential WHERE account_id = sqlc.arg(account_id) AND kind = sqlc.arg(kind) AND ended_at = 0;
