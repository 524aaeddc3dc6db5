-- name: PutConference :exec
INSERT INTO conference (account_id, va_id, serial, enabled_at, directory_version, swept_at) VALUES ($1, $2, $3, $4, 0, 0)
ON CONFLICT (account_id) DO UPDATE SET va_id = excluded.va_id;

-- name: Conference :one
SELECT account_id, va_id, serial, enabled_at, directory_version, swept_at FROM conference WHERE account_id = $1;

-- name: Conferences :many
SELECT account_id, va_id, serial, enabled_at, directory_version, swept_at FROM conference ORDER BY account_id;

-- name: LockConference :one
UPDATE conference SET directory_version = directory_version WHERE account_id = $1
RETURNING account_id, va_id, serial, enabled_at, directory_version, swept_at;

-- name: SetDirectoryVersion :execrows
UPDATE conference SET directory_version = sqlc.arg(version) WHERE account_id = sqlc.arg(account_id) AND directory_version = sqlc.arg(before);

-- name: SetSwept :exec
UPDATE conference SET swept_at = sqlc.arg(swept_at) WHERE account_id = sqlc.arg(account_id) AND swept_at < sqlc.arg(swept_at);

-- name: InsertCluster :execrows
INSERT INTO cluster (account_id, cluster_id, name, name_key, digest, allowed, created_at, last_seq, projected_seq, flushed_seq)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0)
ON CONFLICT (account_id, name_key) DO NOTHING;

-- name: Cluster :one
SELECT account_id, cluster_id, name, name_key, digest, allowed, created_at, last_seq, projected_seq, flushed_seq, shape FROM cluster
WHERE account_id = $1 AND cluster_id = $2;

-- name: Clusters :many
SELECT account_id, cluster_id, name, name_key, digest, allowed, created_at, last_seq, projected_seq, flushed_seq, shape FROM cluster
WHERE account_id = sqlc.arg(account_id) AND cluster_id > sqlc.arg(after) ORDER BY cluster_id LIMIT sqlc.arg(page);

-- name: BehindClusters :many
SELECT cluster_id FROM cluster WHERE account_id = $1 AND projected_seq < last_seq ORDER BY cluster_id;

-- name: TakeSeqs :one
UPDATE cluster SET last_seq = last_seq + sqlc.arg(posts) WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id)
RETURNING last_seq;

-- name: DirectoryInForce :one
SELECT directory_version FROM conference WHERE account_id = $1;

-- name: LockCluster :one
UPDATE cluster SET flushed_seq = flushed_seq WHERE account_id = $1 AND cluster_id = $2
RETURNING flushed_seq, projected_seq, shape;

-- name: SetFlushed :exec
UPDATE cluster SET flushed_seq = sqlc.arg(flushed_seq), projected_seq = sqlc.arg(projected_seq), shape = sqlc.arg(shape)
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id);

-- name: PostsAfter :many
SELECT seq, received_at, session, directory_version, ignored, receiver, body FROM cdr_post
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND seq > sqlc.arg(after) AND seq <= sqlc.arg(through)
ORDER BY seq LIMIT sqlc.arg(page);

-- name: RangesAround :many
SELECT low, first_seq, posts FROM cdr_range
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND session = sqlc.arg(session)
  AND low <= sqlc.arg(correlator) AND high >= sqlc.arg(correlator)
ORDER BY low DESC, first_seq LIMIT sqlc.arg(page);

-- name: Post :one
SELECT seq, received_at, directory_version, ignored, receiver, body FROM cdr_post WHERE account_id = $1 AND cluster_id = $2 AND seq = $3;

-- name: PostReceivedAt :one
SELECT received_at FROM cdr_post WHERE account_id = $1 AND cluster_id = $2 AND seq = $3;

-- name: Sessions :many
SELECT account_id, cluster_id, session, callbridge, ranges, losses, records, missing, repeats, first_at, last_at, announced, behind, numbering, numbers FROM cdr_session
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND session > sqlc.arg(after) ORDER BY session LIMIT sqlc.arg(page);

-- name: Session :one
SELECT account_id, cluster_id, session, callbridge, ranges, losses, records, missing, repeats, first_at, last_at, announced, behind, numbering, numbers FROM cdr_session
WHERE account_id = $1 AND cluster_id = $2 AND session = $3;

-- name: PutSession :exec
INSERT INTO cdr_session (account_id, cluster_id, session, callbridge, ranges, losses, records, missing, repeats, first_at, last_at, announced, behind, numbering, numbers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (account_id, cluster_id, session) DO UPDATE SET callbridge = excluded.callbridge, ranges = excluded.ranges, losses = excluded.losses,
  records = excluded.records, missing = excluded.missing, announced = excluded.announced, behind = excluded.behind, numbering = excluded.numbering, repeats = cdr_session.repeats + excluded.repeats,
  first_at = excluded.first_at, last_at = excluded.last_at, numbers = excluded.numbers;

-- name: BridgeTotals :one
SELECT CAST(coalesce(sum(records), 0) AS BIGINT) AS records, CAST(coalesce(sum(missing), 0) AS BIGINT) AS missing, CAST(coalesce(sum(announced), 0) AS BIGINT) AS announced, CAST(coalesce(sum(repeats), 0) AS BIGINT) AS repeats
FROM cdr_session WHERE account_id = $1 AND cluster_id = $2;

-- name: BridgesSeen :many
SELECT DISTINCT callbridge FROM cdr_session WHERE account_id = $1 AND cluster_id = $2 ORDER BY callbridge LIMIT 1000;

-- name: InsertConflict :execrows
INSERT INTO cdr_conflict (account_id, cluster_id, session, correlator, digest, ref, noted_at, body, receiver, record_index, against)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (account_id, cluster_id, session, correlator, digest) DO NOTHING;

-- name: CountConflicts :one
SELECT count(*) FROM cdr_conflict WHERE account_id = $1 AND cluster_id = $2;

-- name: ConflictsByMeeting :many
SELECT r.meeting_id, count(*) AS conflicts FROM cdr_conflict k
JOIN meeting_ref r ON r.account_id = k.account_id AND r.cluster_id = k.cluster_id AND r.ref = k.ref
WHERE k.account_id = $1 GROUP BY r.meeting_id;

-- name: PutRefused :exec
INSERT INTO cdr_refused (account_id, cluster_id, digest, reason, refused_at, body, size) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (account_id, cluster_id, digest) DO UPDATE SET refused_at = excluded.refused_at;

-- name: RefusedBeyond :many
SELECT digest FROM cdr_refused WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id)
ORDER BY refused_at DESC, digest LIMIT sqlc.arg(page) OFFSET sqlc.arg(keep);

-- name: DropRefused :exec
DELETE FROM cdr_refused WHERE account_id = $1 AND cluster_id = $2 AND digest = $3;

-- name: CountRefused :one
SELECT count(*) FROM cdr_refused WHERE account_id = $1 AND cluster_id = $2;

-- name: Meeting :one
SELECT account_id, meeting_id, cluster_id, meeting_key, name, space, call_type, bridges, started_at, ended_at, duration_s, participants_max,
  policy, directory_version, incomplete, lost, estimated, facts, segments, records FROM meeting
WHERE account_id = $1 AND meeting_id = $2;

-- name: MeetingsPage :many
SELECT meeting_id, cluster_id, name, space, call_type, bridges, started_at, ended_at, duration_s, participants_max,
  policy, directory_version, incomplete, lost, estimated, facts, segments FROM meeting
WHERE account_id = sqlc.arg(account_id) AND started_at >= sqlc.arg(from_at)
  AND (started_at < sqlc.arg(before_at) OR (started_at = sqlc.arg(before_at) AND meeting_id < sqlc.arg(before_id)))
  AND started_at > 0
ORDER BY started_at DESC, meeting_id DESC LIMIT sqlc.arg(page);

-- name: RunningPage :many
SELECT m.meeting_id, m.cluster_id, m.name, m.space, m.call_type, m.bridges, m.started_at, m.ended_at, m.duration_s, m.participants_max,
  m.policy, m.directory_version, m.incomplete, m.lost, m.estimated, m.facts, m.segments FROM meeting m
WHERE m.account_id = sqlc.arg(account_id) AND m.ended_at = 0 AND m.started_at > 0 AND m.started_at >= sqlc.arg(from_at)
  AND (m.started_at < sqlc.arg(before_at) OR (m.started_at = sqlc.arg(before_at) AND m.meeting_id < sqlc.arg(before_id)))
  AND (m.started_at >= sqlc.arg(counted_from) OR m.meeting_id IN (SELECT s.meeting_id FROM segment s
    WHERE s.account_id = sqlc.arg(account_id) AND s.lasting = TRUE AND s.to_at = sqlc.arg(far) AND s.from_at >= sqlc.arg(counted_from)))
ORDER BY m.started_at DESC, m.meeting_id DESC LIMIT sqlc.arg(page);

-- name: FirstMeeting :one
SELECT started_at FROM meeting WHERE account_id = $1 AND started_at > 0 ORDER BY started_at, meeting_id LIMIT 1;

-- name: RunningMeetings :many
SELECT meeting_id, meeting_key, directory_version, records FROM meeting
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND ended_at = 0 AND meeting_id > sqlc.arg(after)
ORDER BY meeting_id LIMIT sqlc.arg(page);

-- name: MeetingsToReplay :many
SELECT account_id, meeting_id, cluster_id, meeting_key, name, space, call_type, bridges, started_at, ended_at, duration_s, participants_max,
  policy, directory_version, incomplete, lost, estimated, facts, segments, records FROM meeting
WHERE account_id = sqlc.arg(account_id) AND started_at >= sqlc.arg(from_at) AND started_at < sqlc.arg(to_at)
  AND (started_at > sqlc.arg(after_at) OR (started_at = sqlc.arg(after_at) AND meeting_id > sqlc.arg(after_id)))
  AND (CAST(sqlc.arg(cluster_id) AS TEXT) = '' OR cluster_id = sqlc.arg(cluster_id))
ORDER BY started_at, meeting_id LIMIT sqlc.arg(page);

-- name: LostMeetings :many
SELECT meeting_id FROM meeting
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND lost = TRUE AND started_at >= sqlc.arg(from_at) AND started_at <= sqlc.arg(through)
ORDER BY started_at DESC, meeting_id LIMIT sqlc.arg(page);

-- name: MeetingsOpenAt :many
SELECT meeting_id FROM meeting
WHERE account_id = sqlc.arg(account_id) AND started_at >= sqlc.arg(from_at) AND started_at <= sqlc.arg(through)
  AND ended_at >= sqlc.arg(ended_from) AND cluster_id = sqlc.arg(cluster_id)
ORDER BY started_at DESC, meeting_id LIMIT sqlc.arg(page);

-- name: DeleteMeeting :exec
DELETE FROM meeting WHERE account_id = $1 AND meeting_id = $2;

-- name: DeleteRef :exec
DELETE FROM meeting_ref WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND ref = sqlc.arg(ref) AND meeting_id = sqlc.arg(meeting_id);

-- name: DeleteSegment :exec
DELETE FROM segment WHERE account_id = $1 AND lasting = $2 AND to_at = $3 AND from_at = $4 AND tag = $5 AND sixths = $6 AND meeting_id = $7;

-- name: MeetingSegments :one
SELECT segments FROM meeting WHERE account_id = $1 AND meeting_id = $2;

-- name: MeetingsFrom :many
SELECT meeting_id, name, space, started_at, ended_at, participants_max, facts, segments FROM meeting
WHERE account_id = sqlc.arg(account_id) AND started_at >= sqlc.arg(from_at) AND started_at < sqlc.arg(to_at)
ORDER BY started_at, meeting_id LIMIT sqlc.arg(page);

-- name: RunningFrom :many
SELECT tag, CAST(min(from_at) AS BIGINT) AS from_at FROM segment
WHERE account_id = sqlc.arg(account_id) AND lasting = TRUE AND to_at = sqlc.arg(far) AND from_at >= sqlc.arg(from_at) GROUP BY tag ORDER BY tag;

-- name: StaleHours :many
SELECT tag, hour_at FROM usage_hour
WHERE account_id = sqlc.arg(account_id) AND stale = TRUE AND hour_at >= sqlc.arg(from_at) AND hour_at < sqlc.arg(to_at)
  AND changed_at <= sqlc.arg(changed_by)
ORDER BY hour_at, tag LIMIT sqlc.arg(page);

-- name: TakeStale :many
UPDATE usage_hour SET stale = FALSE
WHERE account_id = sqlc.arg(account_id) AND stale = TRUE AND hour_at >= sqlc.arg(from_at) AND hour_at < sqlc.arg(to_at)
  AND changed_at <= sqlc.arg(changed_by)
RETURNING tag, hour_at;

-- name: UsageHours :many
SELECT tag, hour_at, peak, peak_at, meetings FROM usage_hour
WHERE account_id = sqlc.arg(account_id) AND hour_at >= sqlc.arg(from_at) AND hour_at < sqlc.arg(to_at) AND peak > 0
ORDER BY hour_at, tag LIMIT sqlc.arg(page);

-- name: UsageHour :one
SELECT peak FROM usage_hour WHERE account_id = $1 AND tag = $2 AND hour_at = $3;

-- name: UnreportedHours :many
SELECT tag, hour_at, peak FROM usage_hour
WHERE account_id = sqlc.arg(account_id) AND reported = FALSE AND tag = sqlc.arg(tag) AND hour_at <= sqlc.arg(hour_at) AND peak > 0 AND stale = FALSE AND changed_at <= sqlc.arg(changed_at)
ORDER BY hour_at, tag LIMIT sqlc.arg(page);

-- name: MarkReported :exec
UPDATE usage_hour SET reported = TRUE WHERE account_id = $1 AND tag = $2 AND hour_at = $3;

-- name: InsertDirectoryVersion :exec
INSERT INTO directory_version (account_id, version, imported_at, imported_by, users, spaces, personal, devices) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: DirectoryVersion :one
SELECT account_id, version, imported_at, imported_by, users, spaces, personal, devices FROM directory_version WHERE account_id = $1 AND version = $2;

-- name: DirectoryUsers :many
SELECT jid, guid, email, personal, user_id, name FROM directory_user
WHERE account_id = sqlc.arg(account_id) AND to_version = 0 AND jid > sqlc.arg(after) ORDER BY jid LIMIT sqlc.arg(page);

-- name: DirectorySpaces :many
SELECT space_id, name, owner FROM directory_space
WHERE account_id = sqlc.arg(account_id) AND to_version = 0 AND space_id > sqlc.arg(after) ORDER BY space_id LIMIT sqlc.arg(page);

-- name: DirectoryDevices :many
SELECT device, owner FROM directory_device
WHERE account_id = sqlc.arg(account_id) AND to_version = 0 AND device > sqlc.arg(after) ORDER BY device LIMIT sqlc.arg(page);

-- name: EndDirectoryUser :exec
UPDATE directory_user SET to_version = sqlc.arg(version) WHERE account_id = sqlc.arg(account_id) AND jid = sqlc.arg(jid) AND to_version = 0;

-- name: EndDirectorySpace :exec
UPDATE directory_space SET to_version = sqlc.arg(version) WHERE account_id = sqlc.arg(account_id) AND space_id = sqlc.arg(space_id) AND to_version = 0;

-- name: EndDirectoryDevice :exec
UPDATE directory_device SET to_version = sqlc.arg(version) WHERE account_id = sqlc.arg(account_id) AND device = sqlc.arg(device) AND to_version = 0;

-- name: UsersAt :many
SELECT jid, guid, email, personal, user_id, name FROM directory_user
WHERE account_id = sqlc.arg(account_id) AND from_version <= sqlc.arg(version) AND (to_version = 0 OR to_version > sqlc.arg(version))
  AND jid > sqlc.arg(after) ORDER BY jid LIMIT sqlc.arg(page);

-- name: SpacesAt :many
SELECT space_id, name, owner FROM directory_space
WHERE account_id = sqlc.arg(account_id) AND from_version <= sqlc.arg(version) AND (to_version = 0 OR to_version > sqlc.arg(version))
  AND space_id > sqlc.arg(after) ORDER BY space_id LIMIT sqlc.arg(page);

-- name: DevicesAt :many
SELECT device, owner FROM directory_device
WHERE account_id = sqlc.arg(account_id) AND from_version <= sqlc.arg(version) AND (to_version = 0 OR to_version > sqlc.arg(version))
  AND device > sqlc.arg(after) ORDER BY device LIMIT sqlc.arg(page);

-- name: PoliciesAt :many
SELECT cluster_id, policy FROM policy_version
WHERE account_id = sqlc.arg(account_id) AND from_version <= sqlc.arg(version) AND (to_version = 0 OR to_version > sqlc.arg(version))
ORDER BY cluster_id;

-- name: PolicyInForce :one
SELECT from_version, policy, set_at, set_by FROM policy_version WHERE account_id = $1 AND cluster_id = $2 AND to_version = 0;

-- name: EndPolicy :exec
UPDATE policy_version SET to_version = sqlc.arg(version)
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND to_version = 0;

-- name: InsertPolicy :exec
INSERT INTO policy_version (account_id, cluster_id, from_version, to_version, policy, set_at, set_by) VALUES ($1, $2, $3, 0, $4, $5, $6);

-- name: PoliciesEver :many
SELECT policy FROM policy_version WHERE account_id = $1 ORDER BY cluster_id, from_version;

-- name: PersonalSegments :many
SELECT from_at, to_at, meeting_id, user_jid FROM segment
WHERE account_id = sqlc.arg(account_id) AND lasting = sqlc.arg(lasting) AND to_at > sqlc.arg(from_at) AND to_at <= sqlc.arg(upto_at)
  AND from_at < sqlc.arg(to_at) AND user_jid <> '' LIMIT sqlc.arg(page);

-- name: Streams :many
SELECT callbridge, count(*) AS sessions, CAST(sum(records) AS BIGINT) AS records, CAST(sum(missing) AS BIGINT) AS missing,
  CAST(sum(announced) AS BIGINT) AS announced, CAST(sum(repeats) AS BIGINT) AS repeats, CAST(min(first_at) AS BIGINT) AS first_at,
  CAST(max(last_at) AS BIGINT) AS last_at
FROM cdr_session WHERE account_id = $1 AND cluster_id = $2 GROUP BY callbridge ORDER BY callbridge LIMIT 1000;

-- name: Conflicts :many
SELECT session, correlator, digest, ref, noted_at, body, receiver, record_index, against FROM cdr_conflict
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id)
  AND (session > sqlc.arg(session) OR (session = sqlc.arg(session) AND (correlator > sqlc.arg(correlator)
    OR (correlator = sqlc.arg(correlator) AND digest > sqlc.arg(digest)))))
ORDER BY session, correlator, digest LIMIT sqlc.arg(page);

-- name: RefusedBodies :many
SELECT account_id, cluster_id, digest, reason, refused_at, body, size FROM cdr_refused
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id)
ORDER BY refused_at DESC, digest LIMIT sqlc.arg(page);

-- name: RefusedBody :one
SELECT account_id, cluster_id, digest, reason, refused_at, body, size FROM cdr_refused WHERE account_id = $1 AND cluster_id = $2 AND digest = $3;

-- name: AddReceiver :execrows
INSERT INTO cdr_receiver (account_id, receiver_id, cluster_id, digest, created_at, retire_at, used_at, used)
VALUES ($1, $2, $3, $4, $5, 0, 0, '{}') ON CONFLICT (account_id, receiver_id) DO NOTHING;

-- name: Receiver :one
SELECT account_id, receiver_id, cluster_id, digest, created_at, retire_at, used_at, used FROM cdr_receiver WHERE account_id = $1 AND receiver_id = $2;

-- name: Receivers :many
SELECT account_id, receiver_id, cluster_id, digest, created_at, retire_at, used_at, used FROM cdr_receiver
WHERE account_id = $1 AND cluster_id = $2 ORDER BY receiver_id LIMIT 100;

-- name: RetireReceiver :exec
UPDATE cdr_receiver SET retire_at = sqlc.arg(retire_at) WHERE account_id = sqlc.arg(account_id) AND receiver_id = sqlc.arg(receiver_id)
  AND (retire_at = 0 OR retire_at > sqlc.arg(retire_at));

-- name: UseReceiver :exec
UPDATE cdr_receiver SET used_at = sqlc.arg(used_at), used = sqlc.arg(used) WHERE account_id = sqlc.arg(account_id) AND receiver_id = sqlc.arg(receiver_id);

-- name: Retention :one
SELECT keep_days FROM cdr_retention WHERE account_id = $1;

-- name: SetRetention :exec
INSERT INTO cdr_retention (account_id, keep_days) VALUES ($1, $2) ON CONFLICT (account_id) DO UPDATE SET keep_days = excluded.keep_days;

-- name: OldestPosts :many
SELECT seq, received_at FROM cdr_post WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND seq <= sqlc.arg(through)
ORDER BY seq LIMIT sqlc.arg(page);

-- name: DropPosts :execrows
DELETE FROM cdr_post WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND seq >= sqlc.arg(low) AND seq <= sqlc.arg(through);

-- name: PutDigests :exec
INSERT INTO cdr_digest (account_id, cluster_id, last_seq, first_seq, body)
VALUES (sqlc.arg(account_id), sqlc.arg(cluster_id), sqlc.arg(last_seq), sqlc.arg(first_seq), sqlc.arg(body))
ON CONFLICT (account_id, cluster_id, last_seq) DO NOTHING;

-- name: DigestsAt :one
SELECT first_seq, last_seq, body FROM cdr_digest
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND last_seq >= sqlc.arg(seq)
ORDER BY last_seq LIMIT 1;

-- name: CountPosts :one
SELECT count(*) AS posts, CAST(coalesce(sum(length(body)), 0) AS BIGINT) AS bytes, CAST(coalesce(min(received_at), 0) AS BIGINT) AS oldest_at
FROM cdr_post WHERE account_id = $1;

-- name: SetAllowed :one
UPDATE cluster SET allowed = sqlc.arg(allowed), shape = shape + 1 WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id)
RETURNING shape, last_seq;

-- name: PutChange :exec
INSERT INTO cdr_change (account_id, cluster_id, callbridge, shape, noted_at, upto, seq, began_at, meeting_id, found)
VALUES ($1, $2, $3, $4, $5, $6, 0, -1, '', FALSE)
ON CONFLICT (account_id, cluster_id, callbridge) DO UPDATE SET shape = excluded.shape, noted_at = excluded.noted_at, upto = excluded.upto,
  seq = 0, began_at = -1, meeting_id = '', found = FALSE;

-- name: Changes :many
SELECT account_id, cluster_id, callbridge, shape, noted_at, upto, seq, began_at, meeting_id, found FROM cdr_change
WHERE account_id = $1 ORDER BY cluster_id, callbridge LIMIT 1000;

-- name: MoveChange :exec
UPDATE cdr_change SET seq = sqlc.arg(seq), began_at = sqlc.arg(began_at), meeting_id = sqlc.arg(meeting_id), found = (found OR sqlc.arg(found))
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND callbridge = sqlc.arg(callbridge) AND shape = sqlc.arg(shape);

-- name: RestartChange :exec
UPDATE cdr_change SET seq = 0, began_at = -1, meeting_id = '', found = FALSE
WHERE account_id = $1 AND cluster_id = $2 AND callbridge = $3 AND shape = $4;

-- name: FindChanges :exec
UPDATE cdr_change SET found = TRUE WHERE account_id = $1 AND cluster_id = $2;

-- name: DropChange :exec
DELETE FROM cdr_change WHERE account_id = $1 AND cluster_id = $2 AND callbridge = $3 AND shape = $4 AND found = FALSE;

-- name: PostsOfBridge :many
SELECT seq, received_at, session, directory_version, ignored, receiver, body FROM cdr_post
WHERE account_id = sqlc.arg(account_id) AND cluster_id = sqlc.arg(cluster_id) AND seq > sqlc.arg(after) AND seq <= sqlc.arg(through)
  AND callbridge = sqlc.arg(callbridge)
ORDER BY seq LIMIT sqlc.arg(page);
