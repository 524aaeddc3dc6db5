-- name: InsertReservation :exec
INSERT INTO reservation (account_id, reservation_id, va_id, instance_id, udi, kind, state, request, sequence, version, confirmed, secret,
  created_at, created_by, confirmed_at, ended_at, ended_by, return_code, predecessor, successor, wrong_codes, wrong_since, revived, revived_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, $12, $13, 0, 0, '', '', $14, '', 0, 0, 0, 0);

-- name: UpdateReservation :exec
UPDATE reservation SET state = $3, version = $4, confirmed = $5, confirmed_at = $6, ended_at = $7, ended_by = $8, return_code = $9,
  successor = $10, wrong_codes = $11, wrong_since = $12, revived = $13, revived_at = $14
WHERE account_id = $1 AND reservation_id = $2;

-- name: MoveReservationsOfInstance :exec
UPDATE reservation SET va_id = $3 WHERE account_id = $1 AND instance_id = $2 AND state IN ('ISSUED', 'CONFIRMED', 'IN_TRANSIT');

-- name: Reservation :one
SELECT account_id, reservation_id, va_id, instance_id, udi, kind, state, request, sequence, version, confirmed, secret, created_at, created_by,
  confirmed_at, ended_at, ended_by, return_code, predecessor, successor, wrong_codes, wrong_since, revived, revived_at
FROM reservation WHERE account_id = $1 AND reservation_id = $2;

-- name: ReservationByRequest :one
SELECT account_id, reservation_id, va_id, instance_id, udi, kind, state, request, sequence, version, confirmed, secret, created_at, created_by,
  confirmed_at, ended_at, ended_by, return_code, predecessor, successor, wrong_codes, wrong_since, revived, revived_at
FROM reservation WHERE account_id = $1 AND request = $2;

-- name: ReservationsOfUDI :many
SELECT account_id, reservation_id, va_id, instance_id, udi, kind, state, request, sequence, version, confirmed, secret, created_at, created_by,
  confirmed_at, ended_at, ended_by, return_code, predecessor, successor, wrong_codes, wrong_since, revived, revived_at
FROM reservation WHERE account_id = $1 AND udi = $2 ORDER BY sequence DESC, reservation_id DESC LIMIT 100;

-- name: Reservations :many
SELECT account_id, reservation_id, va_id, instance_id, udi, kind, state, request, sequence, version, confirmed, secret, created_at, created_by,
  confirmed_at, ended_at, ended_by, return_code, predecessor, successor, wrong_codes, wrong_since, revived, revived_at
FROM reservation WHERE account_id = sqlc.arg(account_id) AND reservation_id > sqlc.arg(after) ORDER BY reservation_id LIMIT sqlc.arg(page);

-- name: LiveReservations :many
SELECT reservation_id, va_id, instance_id, udi FROM reservation
WHERE account_id = $1 AND state IN ('ISSUED', 'CONFIRMED', 'IN_TRANSIT') ORDER BY reservation_id;

-- name: CountQuarantined :one
SELECT count(*) FROM reservation WHERE account_id = $1 AND va_id = $2 AND state = 'QUARANTINED';

-- name: InsertReservationVersion :exec
INSERT INTO reservation_version (account_id, reservation_id, version, body, issued_at, issued_by, confirmed_at) VALUES ($1, $2, $3, $4, $5, $6, 0);

-- name: ConfirmReservationVersion :exec
UPDATE reservation_version SET confirmed_at = $4 WHERE account_id = $1 AND reservation_id = $2 AND version = $3;

-- name: ReservationVersions :many
SELECT account_id, reservation_id, version, body, issued_at, issued_by, confirmed_at FROM reservation_version
WHERE account_id = $1 AND reservation_id = $2 AND version >= $3 ORDER BY version;

-- name: ReserveInstance :exec
UPDATE instance SET va_id = $3, state = 'RESERVED', incarnation = incarnation + 1, registered_at = $4, renewed_at = $4, expires_at = 0, status = '',
  status_at = $4, removed_at = $4, removed_by = $5, removed_why = $6
WHERE account_id = $1 AND instance_id = $2;

-- name: InsertRehost :exec
INSERT INTO rehost (account_id, rehost_id, reservation_id, request, reason, state, asked_at, asked_by, asked_name, decided_at, decided_by, decided_name, successor)
VALUES ($1, $2, $3, $4, $5, 'WAITING', $6, $7, $8, 0, '', '', '');

-- name: DecideRehost :exec
UPDATE rehost SET state = $3, decided_at = $4, decided_by = $5, decided_name = $6, successor = $7 WHERE account_id = $1 AND rehost_id = $2;

-- name: Rehost :one
SELECT account_id, rehost_id, reservation_id, request, reason, state, asked_at, asked_by, asked_name, decided_at, decided_by, decided_name, successor
FROM rehost WHERE account_id = $1 AND rehost_id = $2;

-- name: Rehosts :many
SELECT account_id, rehost_id, reservation_id, request, reason, state, asked_at, asked_by, asked_name, decided_at, decided_by, decided_name, successor
FROM rehost WHERE account_id = sqlc.arg(account_id) AND rehost_id > sqlc.arg(after) ORDER BY rehost_id LIMIT sqlc.arg(page);

-- name: RehostsOfReservation :many
SELECT account_id, rehost_id, reservation_id, request, reason, state, asked_at, asked_by, asked_name, decided_at, decided_by, decided_name, successor
FROM rehost WHERE account_id = $1 AND reservation_id = $2 ORDER BY rehost_id;

-- name: ReservationLeave :one
SELECT specific, universal FROM reservation_leave WHERE account_id = $1;

-- name: PutReservationLeave :exec
INSERT INTO reservation_leave (account_id, specific, universal) VALUES ($1, $2, $3)
ON CONFLICT (account_id) DO UPDATE SET specific = excluded.specific, universal = excluded.universal;
