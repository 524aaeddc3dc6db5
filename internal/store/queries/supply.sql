-- name: PurchaseByNumber :one
SELECT account_id, purchase_id, number, content, received_at, received_by FROM purchase WHERE account_id = $1 AND number = $2;

-- name: Purchase :one
SELECT account_id, purchase_id, number, content, received_at, received_by FROM purchase WHERE account_id = $1 AND purchase_id = $2;

-- name: Purchases :many
SELECT account_id, purchase_id, number, content, received_at, received_by FROM purchase
WHERE account_id = sqlc.arg(account_id) AND purchase_id > sqlc.arg(after) ORDER BY purchase_id LIMIT sqlc.arg(page);

-- name: InsertPurchase :exec
INSERT INTO purchase (account_id, purchase_id, number, content, received_at, received_by) VALUES ($1, $2, $3, $4, $5, $6);

-- name: InsertLot :exec
INSERT INTO lot (account_id, lot_id, purchase_id, line, va_id, sku, tag, lot_type, quantity, starts_at, ends_at, subscription)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: LotsOfPurchase :many
SELECT account_id, lot_id, purchase_id, line, va_id, sku, tag, lot_type, quantity, starts_at, ends_at, subscription FROM lot
WHERE account_id = $1 AND purchase_id = $2 ORDER BY line;

-- name: InsertMovement :exec
INSERT INTO movement (account_id, movement_id, moved_at, kind, actor, event_seq) VALUES ($1, $2, $3, $4, $5, $6);

-- name: InsertPosting :exec
INSERT INTO posting (account_id, movement_id, leg, place, lot_id, tag, quantity) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: MoveHolding :exec
INSERT INTO holding (account_id, place, lot_id, tag, quantity) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id, place, lot_id) DO UPDATE SET quantity = holding.quantity + excluded.quantity;

-- name: TakeHolding :execrows
UPDATE holding SET quantity = quantity - sqlc.arg(quantity)
WHERE account_id = sqlc.arg(account_id) AND place = sqlc.arg(place) AND lot_id = sqlc.arg(lot_id) AND quantity >= sqlc.arg(quantity);

-- name: HoldingsAt :many
SELECT h.place, h.lot_id, h.tag, h.quantity, l.lot_type, l.starts_at, l.ends_at, l.subscription, l.purchase_id
FROM holding h JOIN lot l ON l.account_id = h.account_id AND l.lot_id = h.lot_id
WHERE h.account_id = $1 AND h.place = $2 AND h.quantity > 0 ORDER BY h.lot_id;

-- name: Holdings :many
SELECT h.place, h.lot_id, h.tag, h.quantity, l.lot_type, l.starts_at, l.ends_at, l.subscription, l.purchase_id, p.number
FROM holding h
JOIN lot l ON l.account_id = h.account_id AND l.lot_id = h.lot_id
JOIN purchase p ON p.account_id = l.account_id AND p.purchase_id = l.purchase_id
WHERE h.account_id = $1 AND h.place <> 'issuer' AND h.quantity > 0 ORDER BY h.lot_id, h.place;

-- name: LedgerDifferences :many
SELECT s.place, s.lot_id, s.posted, h.quantity AS held
FROM (SELECT p.account_id, p.place, p.lot_id, CAST(sum(p.quantity) AS BIGINT) AS posted FROM posting p
      WHERE p.account_id = $1 GROUP BY p.account_id, p.place, p.lot_id) s
JOIN holding h ON h.account_id = s.account_id AND h.place = s.place AND h.lot_id = s.lot_id
WHERE s.posted <> h.quantity;

-- name: UnbalancedMovements :many
SELECT movement_id, lot_id, CAST(sum(quantity) AS BIGINT) AS rest FROM posting
WHERE account_id = $1 GROUP BY movement_id, lot_id HAVING sum(quantity) <> 0;

-- name: InsertToken :exec
INSERT INTO token (account_id, token_id, va_id, digest, description, created_at, created_by, expires_at, max_uses, uses, revoked_at, export_controlled)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10);

-- name: Token :one
SELECT account_id, token_id, va_id, digest, description, created_at, created_by, expires_at, max_uses, uses, revoked_at, export_controlled
FROM token WHERE account_id = $1 AND token_id = $2;

-- name: TokensOfVA :many
SELECT account_id, token_id, va_id, digest, description, created_at, created_by, expires_at, max_uses, uses, revoked_at, export_controlled
FROM token WHERE account_id = sqlc.arg(account_id) AND va_id = sqlc.arg(va_id) AND token_id > sqlc.arg(after)
ORDER BY token_id LIMIT sqlc.arg(page);

-- name: Tokens :many
SELECT account_id, token_id, va_id, digest, description, created_at, created_by, expires_at, max_uses, uses, revoked_at, export_controlled
FROM token WHERE account_id = sqlc.arg(account_id) AND token_id > sqlc.arg(after) ORDER BY token_id LIMIT sqlc.arg(page);

-- name: SpendToken :execrows
UPDATE token SET uses = uses + 1
WHERE account_id = sqlc.arg(account_id) AND token_id = sqlc.arg(token_id) AND revoked_at = 0 AND expires_at > sqlc.arg(now)
  AND (max_uses = 0 OR uses < max_uses);

-- name: RevokeToken :execrows
UPDATE token SET revoked_at = sqlc.arg(now) WHERE account_id = sqlc.arg(account_id) AND token_id = sqlc.arg(token_id) AND revoked_at = 0;

-- name: DeleteToken :execrows
DELETE FROM token WHERE account_id = $1 AND token_id = $2;
