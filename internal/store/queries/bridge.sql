-- name: RunningFace :many
SELECT m.meeting_id, m.cluster_id, m.meeting_key, m.name, m.space, m.call_type, m.bridges, m.started_at, m.participants_max, m.segments, m.records FROM meeting m
WHERE m.account_id = sqlc.arg(account_id) AND m.ended_at = 0 AND m.started_at > 0
  AND (m.started_at > sqlc.arg(after_at) OR (m.started_at = sqlc.arg(after_at) AND m.meeting_id > sqlc.arg(after_id)))
  AND (m.started_at >= sqlc.arg(counted_from) OR m.meeting_id IN (SELECT s.meeting_id FROM segment s
    WHERE s.account_id = sqlc.arg(account_id) AND s.lasting = TRUE AND s.to_at = sqlc.arg(far) AND s.from_at >= sqlc.arg(counted_from)))
ORDER BY m.started_at, m.meeting_id LIMIT sqlc.arg(page);

-- name: PutBridgeAPI :exec
INSERT INTO bridge_api (account_id, api_id, cluster_id, url, user_name, secret, ca, fingerprint, callbridge, every_ms, set_at, set_by, next_at, directory_next_at, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, '{}')
ON CONFLICT (account_id, cluster_id, url) DO UPDATE SET user_name = excluded.user_name, secret = excluded.secret, ca = excluded.ca,
  fingerprint = excluded.fingerprint, callbridge = excluded.callbridge, every_ms = excluded.every_ms, set_at = excluded.set_at,
  set_by = excluded.set_by, next_at = 0, directory_next_at = 0;

-- name: BridgeAPIs :many
SELECT account_id, api_id, cluster_id, url, user_name, secret, ca, fingerprint, callbridge, every_ms, set_at, set_by, next_at, directory_next_at, state
FROM bridge_api WHERE account_id = $1 ORDER BY api_id;

-- name: DeleteBridgeAPI :execrows
DELETE FROM bridge_api WHERE account_id = $1 AND api_id = $2;

-- name: SetBridgeAPINext :exec
UPDATE bridge_api SET next_at = sqlc.arg(next_at) WHERE account_id = sqlc.arg(account_id) AND api_id = sqlc.arg(api_id);

-- name: SetBridgeAPIState :execrows
UPDATE bridge_api SET state = sqlc.arg(state) WHERE account_id = sqlc.arg(account_id) AND api_id = sqlc.arg(api_id) AND set_at = sqlc.arg(set_at);

-- name: SetBridgeDirectoryNext :exec
UPDATE bridge_api SET directory_next_at = sqlc.arg(next_at) WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id);

-- name: NewestSession :one
SELECT session, ranges, last_at FROM cdr_session
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND callbridge = sqlc.arg(callbridge) AND records > 0
ORDER BY last_at DESC, session LIMIT 1;

-- name: NewestSnapshot :one
SELECT taken_at FROM bridge_snapshot WHERE account_id = $1 AND cluster_id = $2 AND host_id = $3 ORDER BY taken_at DESC LIMIT 1;

-- name: BridgeSnapshots :many
SELECT host_id, taken_at, pmp, pmp_assigned, smp_aud, smp_ptp, smp_full, rec, str FROM bridge_snapshot
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND taken_at >= sqlc.arg(from_at) AND taken_at < sqlc.arg(to_at)
ORDER BY taken_at, host_id LIMIT sqlc.arg(page);

-- name: DropBridgeSnapshots :exec
DELETE FROM bridge_snapshot WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND taken_at < sqlc.arg(before_at);
