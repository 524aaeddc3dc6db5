-- name: RunningFace :many
SELECT meeting_id, meeting_key, name, space, call_type, bridges, started_at, participants_max, segments, records FROM meeting
WHERE account_id = sqlc.arg(account_id) AND ended_at = 0 AND started_at >= sqlc.arg(from_at) AND meeting_id > sqlc.arg(after)
ORDER BY meeting_id LIMIT sqlc.arg(page);
