-- name: InsertSatellite :execrows
INSERT INTO satellite (account_id, satellite_id, name, name_key, state, token_digest, token_ends_at, site, public_key, hosts, program, epoch, number,
  digest, answer, findings, every_s, created_at, created_by, joined_at, synced_at, synced_by, identity_ends_at, removed_at, removed_by, issuers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
ON CONFLICT (account_id, name_key) DO NOTHING;

-- name: UpdateSatellite :exec
UPDATE satellite SET name = $3, name_key = $4, state = $5, token_digest = $6, token_ends_at = $7, site = $8, public_key = $9, hosts = $10, program = $11,
  epoch = $12, number = $13, digest = $14, findings = $15, every_s = $16, joined_at = $17, synced_at = $18, synced_by = $19,
  identity_ends_at = $20, removed_at = $21, removed_by = $22, issuers = $23
WHERE account_id = $1 AND satellite_id = $2;

-- name: SetSatelliteAnswer :exec
UPDATE satellite SET answer = $3 WHERE account_id = $1 AND satellite_id = $2;

-- name: SatelliteAnswer :one
SELECT answer FROM satellite WHERE account_id = $1 AND satellite_id = $2;

-- name: Satellite :one
SELECT account_id, satellite_id, name, name_key, state, token_digest, token_ends_at, site, public_key, hosts, program, epoch, number, digest,
  findings, every_s, created_at, created_by, joined_at, synced_at, synced_by, identity_ends_at, removed_at, removed_by, issuers
FROM satellite WHERE account_id = $1 AND satellite_id = $2;

-- name: Satellites :many
SELECT account_id, satellite_id, name, name_key, state, token_digest, token_ends_at, site, public_key, hosts, program, epoch, number, digest,
  findings, every_s, created_at, created_by, joined_at, synced_at, synced_by, identity_ends_at, removed_at, removed_by, issuers
FROM satellite WHERE account_id = sqlc.arg(account_id) AND satellite_id > sqlc.arg(after) ORDER BY satellite_id LIMIT sqlc.arg(page);

-- name: SetVASatellite :exec
UPDATE virtual_account SET satellite_id = $3 WHERE account_id = $1 AND va_id = $2;

-- name: SatelliteStock :many
SELECT account_id, satellite_id, va_id, lot_id, granted, applied, asked, burnt, held FROM satellite_stock
WHERE account_id = $1 AND satellite_id = $2 ORDER BY va_id, lot_id;

-- name: PutSatelliteStock :exec
INSERT INTO satellite_stock (account_id, satellite_id, va_id, lot_id, granted, applied, asked, burnt, held) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (account_id, satellite_id, va_id, lot_id) DO UPDATE SET granted = excluded.granted, applied = excluded.applied, asked = excluded.asked,
  burnt = excluded.burnt, held = excluded.held;

-- name: InsertRecall :exec
INSERT INTO satellite_recall (account_id, recall_id, satellite_id, va_id, lot_id, tag, to_va, quantity, came, asked_at, asked_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10);

-- name: SetRecall :exec
UPDATE satellite_recall SET came = $3 WHERE account_id = $1 AND recall_id = $2;

-- name: Recalls :many
SELECT account_id, recall_id, satellite_id, va_id, lot_id, tag, to_va, quantity, came, asked_at, asked_by FROM satellite_recall
WHERE account_id = $1 AND satellite_id = $2 AND came < quantity ORDER BY recall_id;

-- name: SatelliteInstances :many
SELECT account_id, satellite_id, instance_id, va_id, body FROM satellite_instance
WHERE account_id = sqlc.arg(account_id) AND instance_id > sqlc.arg(after) AND (CAST(sqlc.arg(va_id) AS TEXT) = '' OR va_id = sqlc.arg(va_id))
ORDER BY instance_id, satellite_id LIMIT sqlc.arg(page);

-- name: InstancesOfSatellite :many
SELECT account_id, satellite_id, instance_id, va_id, body FROM satellite_instance
WHERE account_id = $1 AND satellite_id = $2 ORDER BY instance_id;

-- name: DeleteSatelliteInstance :exec
DELETE FROM satellite_instance WHERE account_id = $1 AND satellite_id = $2 AND instance_id = $3;

-- name: InstancesWhole :many
SELECT i.instance_id, i.va_id, i.pid, i.serial, i.product, i.version, i.hostname, i.state, i.incarnation, i.export_controlled, i.registered_at,
  i.renewed_at, i.expires_at, i.public_key, i.status, i.status_at, i.forked_at, i.removed_at,
  CAST(coalesce(e.number, 0) AS BIGINT) AS number, CAST(coalesce(e.answered_at, 0) AS BIGINT) AS answered_at,
  CAST(coalesce(e.next_at, 0) AS BIGINT) AS next_at, CAST(coalesce(e.deadline_at, 0) AS BIGINT) AS deadline_at
FROM instance i LEFT JOIN exchange e ON e.account_id = i.account_id AND e.instance_id = i.instance_id
WHERE i.account_id = sqlc.arg(account_id) AND i.instance_id > sqlc.arg(after) ORDER BY i.instance_id LIMIT sqlc.arg(page);

-- name: RestoredInstance :execrows
INSERT INTO instance (account_id, instance_id, va_id, udi, pid, serial, product, version, hostname, state, incarnation, token_id,
  export_controlled, registered_at, renewed_at, nonce, key_thumbprint, public_key, prepared, certificate, expires_at, status, status_at,
  forked_at, removed_at, removed_by, removed_why)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', $12, $13, $14, '', $15, $16, $17, $18, $19, $20, $21, $22, $23, '', '')
ON CONFLICT DO NOTHING;

-- name: Lot :one
SELECT account_id, lot_id, purchase_id, line, va_id, sku, tag, lot_type, quantity, starts_at, ends_at, subscription FROM lot
WHERE account_id = $1 AND lot_id = $2;

-- name: InsertUpstream :exec
INSERT INTO upstream (account_id, satellite_id, name, state, epoch, number, digest, answered, whole, leaving, privacy, every_s, joined_at, exported_at,
  synced_at, synced_by, tried_at, trouble, findings, signer, lost_sites)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21);

-- name: UpdateUpstream :exec
UPDATE upstream SET satellite_id = $2, name = $3, state = $4, epoch = $5, number = $6, digest = $7, answered = $8, whole = $9, leaving = $10, privacy = $11,
  every_s = $12, joined_at = $13, exported_at = $14, synced_at = $15, synced_by = $16, tried_at = $17, trouble = $18, findings = $19, signer = $20, lost_sites = $21
WHERE account_id = $1;

-- name: Upstream :one
SELECT account_id, satellite_id, name, state, epoch, number, digest, answered, whole, leaving, privacy, every_s, joined_at, exported_at, synced_at,
  synced_by, tried_at, trouble, findings, signer, lost_sites FROM upstream WHERE account_id = $1;

-- name: UpstreamStock :many
SELECT account_id, va_id, lot_id, applied, asked, burnt, taken FROM upstream_stock WHERE account_id = $1 ORDER BY va_id, lot_id;

-- name: PutUpstreamStock :exec
INSERT INTO upstream_stock (account_id, va_id, lot_id, applied, asked, burnt, taken) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (account_id, va_id, lot_id) DO UPDATE SET applied = excluded.applied, asked = excluded.asked, burnt = excluded.burnt, taken = excluded.taken;

-- name: RestoredPurchase :exec
INSERT INTO purchase (account_id, purchase_id, number, content, received_at, received_by) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_id, purchase_id) DO NOTHING;

-- name: RestoredLot :exec
INSERT INTO lot (account_id, lot_id, purchase_id, line, va_id, sku, tag, lot_type, quantity, starts_at, ends_at, subscription)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (account_id, lot_id) DO NOTHING;

-- name: DeskKey :one
SELECT issuer FROM desk_key WHERE account_id = $1;

-- name: PutDeskKey :exec
INSERT INTO desk_key (account_id, issuer) VALUES ($1, $2)
ON CONFLICT (account_id) DO UPDATE SET issuer = excluded.issuer;
