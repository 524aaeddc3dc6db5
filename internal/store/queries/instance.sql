-- name: InsertInstance :exec
INSERT INTO instance (account_id, instance_id, va_id, udi, pid, serial, product, version, hostname, state, incarnation, token_id,
  export_controlled, registered_at, renewed_at, nonce, key_thumbprint, public_key, prepared, certificate, expires_at, status, status_at,
  forked_at, removed_at, removed_by, removed_why)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, 0, 0, '', '');

-- name: ReregisterInstance :exec
UPDATE instance SET va_id = $3, product = $4, version = $5, hostname = $6, state = $7, incarnation = $8, token_id = $9,
  export_controlled = $10, registered_at = $11, renewed_at = $12, nonce = $13, key_thumbprint = $14, public_key = $15, prepared = $16,
  certificate = $17, expires_at = $18, status = $19, status_at = $20, forked_at = 0, removed_at = 0, removed_by = '', removed_why = ''
WHERE account_id = $1 AND instance_id = $2;

-- name: Instance :one
SELECT account_id, instance_id, va_id, udi, pid, serial, product, version, hostname, state, incarnation, token_id, export_controlled,
  registered_at, renewed_at, nonce, key_thumbprint, public_key, prepared, certificate, expires_at, status, status_at, forked_at,
  removed_at, removed_by, removed_why
FROM instance WHERE account_id = $1 AND instance_id = $2;

-- name: InstanceByUDI :one
SELECT account_id, instance_id, va_id, udi, pid, serial, product, version, hostname, state, incarnation, token_id, export_controlled,
  registered_at, renewed_at, nonce, key_thumbprint, public_key, prepared, certificate, expires_at, status, status_at, forked_at,
  removed_at, removed_by, removed_why
FROM instance WHERE account_id = $1 AND udi = $2;

-- name: Instances :many
SELECT i.account_id, i.instance_id, i.va_id, i.udi, i.pid, i.serial, i.product, i.version, i.hostname, i.state, i.registered_at, i.renewed_at,
  i.expires_at, i.status, i.status_at, i.forked_at, i.removed_at, i.removed_by, i.removed_why, i.export_controlled,
  CAST(coalesce(e.number, 0) AS BIGINT) AS number, CAST(coalesce(e.answered_at, 0) AS BIGINT) AS answered_at,
  CAST(coalesce(e.next_at, 0) AS BIGINT) AS next_at, CAST(coalesce(e.deadline_at, 0) AS BIGINT) AS deadline_at
FROM instance i LEFT JOIN exchange e ON e.account_id = i.account_id AND e.instance_id = i.instance_id
WHERE i.account_id = sqlc.arg(account_id) AND i.instance_id > sqlc.arg(after) ORDER BY i.instance_id LIMIT sqlc.arg(page);

-- name: SetCertificate :exec
UPDATE instance SET certificate = $3 WHERE account_id = $1 AND instance_id = $2;

-- name: RenewInstance :exec
UPDATE instance SET renewed_at = $3, prepared = $4, certificate = $5, expires_at = $6 WHERE account_id = $1 AND instance_id = $2;

-- name: SetInstanceStatus :exec
UPDATE instance SET status = $3, status_at = $4 WHERE account_id = $1 AND instance_id = $2;

-- name: SetInstanceSelf :exec
UPDATE instance SET version = $3, hostname = $4 WHERE account_id = $1 AND instance_id = $2;

-- name: SetInstanceForked :exec
UPDATE instance SET forked_at = $3 WHERE account_id = $1 AND instance_id = $2;

-- name: RemoveInstance :exec
UPDATE instance SET state = 'REMOVED', removed_at = $3, removed_by = $4, removed_why = $5, status = '', status_at = $3
WHERE account_id = $1 AND instance_id = $2;

-- name: MoveInstance :exec
UPDATE instance SET va_id = $3 WHERE account_id = $1 AND instance_id = $2;

-- name: Exchange :one
SELECT account_id, instance_id, number, digest, kind, answer, answered_at, next_at, deadline_at FROM exchange
WHERE account_id = $1 AND instance_id = $2;

-- name: PutExchange :exec
INSERT INTO exchange (account_id, instance_id, number, digest, kind, answer, answered_at, next_at, deadline_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (account_id, instance_id) DO UPDATE SET number = excluded.number, digest = excluded.digest, kind = excluded.kind,
  answer = excluded.answer, answered_at = excluded.answered_at, next_at = excluded.next_at, deadline_at = excluded.deadline_at;

-- name: UsageOfInstance :many
SELECT tag, va_id, quantity, since_at FROM instance_usage WHERE account_id = $1 AND instance_id = $2 ORDER BY tag;

-- name: DeleteUsageOfInstance :exec
DELETE FROM instance_usage WHERE account_id = $1 AND instance_id = $2;

-- name: MoveUsageOfInstance :exec
UPDATE instance_usage SET va_id = $3 WHERE account_id = $1 AND instance_id = $2;

-- name: UsageOfAccount :many
SELECT u.instance_id, u.tag, u.va_id, u.quantity, u.since_at, i.product, i.hostname
FROM instance_usage u JOIN instance i ON i.account_id = u.account_id AND i.instance_id = u.instance_id
WHERE u.account_id = $1 AND u.quantity > 0 ORDER BY u.instance_id, u.tag;

-- name: UsageSums :many
SELECT va_id, tag, CAST(sum(quantity) AS BIGINT) AS quantity FROM instance_usage WHERE account_id = $1 GROUP BY va_id, tag ORDER BY va_id, tag;

-- name: DemandOfVA :many
SELECT tag, quantity FROM demand WHERE account_id = $1 AND va_id = $2 ORDER BY tag;

-- name: DemandOfAccount :many
SELECT va_id, tag, quantity FROM demand WHERE account_id = $1 ORDER BY va_id, tag;

-- name: PutDemand :exec
INSERT INTO demand (account_id, va_id, tag, quantity) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, va_id, tag) DO UPDATE SET quantity = excluded.quantity;

-- name: InsertUsagePeak :execrows
INSERT INTO usage_peak (account_id, instance_id, tag, from_at, to_at, va_id, peak, reported_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (account_id, instance_id, tag, from_at) DO NOTHING;

-- name: UsagePeaks :many
SELECT u.instance_id, u.tag, u.from_at, u.to_at, u.va_id, u.peak, u.reported_at, i.product, i.hostname
FROM usage_peak u JOIN instance i ON i.account_id = u.account_id AND i.instance_id = u.instance_id
WHERE u.account_id = sqlc.arg(account_id) AND u.from_at >= sqlc.arg(from_at) AND u.from_at < sqlc.arg(to_at)
ORDER BY u.from_at, u.instance_id, u.tag LIMIT sqlc.arg(page);

-- name: TakeLease :execrows
INSERT INTO lease (account_id, name, holder, until_at) VALUES (sqlc.arg(account_id), sqlc.arg(name), sqlc.arg(holder), sqlc.arg(until_at))
ON CONFLICT (account_id, name) DO UPDATE SET holder = excluded.holder, until_at = excluded.until_at
WHERE lease.holder = excluded.holder OR lease.until_at < sqlc.arg(now);

-- name: AgentState :one
SELECT state FROM agent_state WHERE account_id = $1 AND agent_id = $2;

-- name: PutAgentState :exec
INSERT INTO agent_state (account_id, agent_id, state, saved_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, agent_id) DO UPDATE SET state = excluded.state, saved_at = excluded.saved_at;
