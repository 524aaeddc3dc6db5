-- name: ShortTakings :many
SELECT from_at, to_at, sixths, meeting_id, cluster_id, user_jid, class, tag FROM segment
WHERE account_id = sqlc.arg(account_id) AND lasting = FALSE AND to_at > sqlc.arg(from_at) AND to_at <= sqlc.arg(upto_at) AND from_at < sqlc.arg(to_at)
LIMIT sqlc.arg(page);

-- name: LastingTakings :many
SELECT from_at, to_at, sixths, meeting_id, cluster_id, user_jid, class, tag FROM segment
WHERE account_id = sqlc.arg(account_id) AND lasting = TRUE AND to_at > sqlc.arg(from_at) AND from_at < sqlc.arg(to_at) LIMIT sqlc.arg(page);

-- name: HourLevels :many
SELECT hour_at, peak, peak_at, sampled, levels FROM usage_hour
WHERE account_id = sqlc.arg(account_id) AND tag = sqlc.arg(tag) AND hour_at >= sqlc.arg(from_at) AND hour_at < sqlc.arg(to_at) AND peak > 0
ORDER BY hour_at;

-- name: StaleDays :many
SELECT tag, day_at, marks FROM usage_day
WHERE account_id = sqlc.arg(account_id) AND stale AND day_at >= sqlc.arg(from_at) AND day_at < sqlc.arg(to_at) ORDER BY day_at, tag LIMIT sqlc.arg(page);

-- name: SetDay :execrows
UPDATE usage_day SET peak = sqlc.arg(peak), peak_at = sqlc.arg(peak_at), meetings = sqlc.arg(meetings), used = sqlc.arg(used),
  sampled = sqlc.arg(sampled), levels = sqlc.arg(levels), stale = FALSE
WHERE account_id = sqlc.arg(account_id) AND tag = sqlc.arg(tag) AND day_at = sqlc.arg(day_at) AND marks = sqlc.arg(marks) AND stale;

-- name: UsageDays :many
SELECT tag, day_at, peak, peak_at, meetings, used, sampled, levels FROM usage_day
WHERE account_id = sqlc.arg(account_id) AND tag = sqlc.arg(tag) AND day_at >= sqlc.arg(from_at) AND day_at < sqlc.arg(to_at) AND peak > 0
ORDER BY day_at;

-- name: DropHostDay :exec
DELETE FROM usage_host_day WHERE account_id = $1 AND day_at = $2;

-- name: MarkMonth :exec
INSERT INTO usage_month_stale (account_id, month_at, marks) VALUES ($1, $2, 1)
ON CONFLICT (account_id, month_at) DO UPDATE SET marks = usage_month_stale.marks + 1;

-- name: StaleMonths :many
SELECT month_at FROM usage_month_stale WHERE account_id = $1 ORDER BY month_at;

-- name: TakeMonth :execrows
DELETE FROM usage_month_stale WHERE account_id = $1 AND month_at = $2;

-- name: DropHostMonth :exec
DELETE FROM usage_host_month WHERE account_id = $1 AND month_at = $2;

-- name: SumHostMonth :exec
INSERT INTO usage_host_month (account_id, month_at, host, meetings, personal, seconds, held, personal_held, participants_max)
SELECT d.account_id, CAST(sqlc.arg(month_at) AS BIGINT), d.host, sum(d.meetings), sum(d.personal), sum(d.seconds), sum(d.held),
  sum(d.personal_held), max(d.participants_max)
FROM usage_host_day d WHERE d.account_id = sqlc.arg(account_id) AND d.day_at >= sqlc.arg(month_at) AND d.day_at < sqlc.arg(end_at)
GROUP BY d.account_id, d.host;

-- name: HostDays :many
SELECT host, CAST(sum(meetings) AS BIGINT) AS meetings, CAST(sum(personal) AS BIGINT) AS personal, CAST(sum(seconds) AS BIGINT) AS seconds,
  CAST(sum(held) AS BIGINT) AS held, CAST(sum(personal_held) AS BIGINT) AS personal_held, CAST(max(participants_max) AS BIGINT) AS participants_max
FROM usage_host_day WHERE account_id = sqlc.arg(account_id) AND day_at >= sqlc.arg(from_at) AND day_at < sqlc.arg(to_at) GROUP BY host;

-- name: HostMonths :many
SELECT host, CAST(sum(meetings) AS BIGINT) AS meetings, CAST(sum(personal) AS BIGINT) AS personal, CAST(sum(seconds) AS BIGINT) AS seconds,
  CAST(sum(held) AS BIGINT) AS held, CAST(sum(personal_held) AS BIGINT) AS personal_held, CAST(max(participants_max) AS BIGINT) AS participants_max
FROM usage_host_month WHERE account_id = sqlc.arg(account_id) AND month_at >= sqlc.arg(from_at) AND month_at < sqlc.arg(to_at) GROUP BY host;

-- name: PersonalHolders :many
SELECT jid FROM directory_user WHERE account_id = $1 AND to_version = 0 AND personal ORDER BY jid;

-- name: DirectoryPersonal :many
SELECT imported_at, personal FROM directory_version WHERE account_id = $1 ORDER BY version;

-- name: PostingsOfPlace :many
SELECT p.tag, p.quantity, m.kind, m.moved_at, l.starts_at, l.ends_at FROM posting p
JOIN movement m ON m.account_id = p.account_id AND m.movement_id = p.movement_id
JOIN lot l ON l.account_id = p.account_id AND l.lot_id = p.lot_id
WHERE p.account_id = sqlc.arg(account_id) AND p.place = sqlc.arg(place) ORDER BY m.moved_at, p.movement_id, p.leg;

-- name: ConferencePlace :one
SELECT CAST(coalesce(i.va_id, c.va_id) AS TEXT) AS va_id FROM conference c
LEFT JOIN instance i ON i.account_id = c.account_id AND i.serial = c.serial AND i.state <> 'REMOVED'
WHERE c.account_id = $1;

-- name: PutThresholds :exec
INSERT INTO conference_threshold (account_id, level1, level2, level3) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id) DO UPDATE SET level1 = excluded.level1, level2 = excluded.level2, level3 = excluded.level3;

-- name: Thresholds :one
SELECT account_id, level1, level2, level3 FROM conference_threshold WHERE account_id = $1;

-- name: Allocations :many
SELECT account_id, cluster_id, tag, quantity FROM conference_allocation WHERE account_id = $1 ORDER BY cluster_id, tag;

-- name: PutAllocation :exec
INSERT INTO conference_allocation (account_id, cluster_id, tag, quantity) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, cluster_id, tag) DO UPDATE SET quantity = excluded.quantity;

-- name: ActivationKeys :many
SELECT account_id, cluster_id, callbridge, present, until_at FROM activation_key WHERE account_id = $1 ORDER BY cluster_id, callbridge;

-- name: PutActivationKey :exec
INSERT INTO activation_key (account_id, cluster_id, callbridge, present, until_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id, cluster_id, callbridge) DO UPDATE SET present = excluded.present, until_at = excluded.until_at;

-- name: CallBridgesOfAccount :many
SELECT DISTINCT cluster_id, callbridge FROM cdr_session WHERE account_id = $1 AND callbridge <> '' ORDER BY cluster_id, callbridge LIMIT 1000;
