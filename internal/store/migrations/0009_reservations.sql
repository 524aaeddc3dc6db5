-- +goose Up
-- Reservations: licenses that a product holds by codes, without ever reporting. What it holds lies at the place res:ID in the
-- supply book. A reservation is never deleted: its request and its sequence are refused for ever.
CREATE TABLE reservation (
    account_id     TEXT NOT NULL,
    reservation_id TEXT NOT NULL,
    va_id          TEXT NOT NULL,
    instance_id    TEXT NOT NULL,
    udi            TEXT NOT NULL,
    kind           TEXT NOT NULL,
    state          TEXT NOT NULL,
    request        TEXT NOT NULL, -- the request code, without the UDI
    sequence       BIGINT NOT NULL,
    version        BIGINT NOT NULL, -- the newest that was issued
    confirmed      BIGINT NOT NULL, -- the newest whose confirmation code was entered; 0 for none
    secret         BYTEA NOT NULL, -- the key of its codes, hidden
    created_at     BIGINT NOT NULL,
    created_by     TEXT NOT NULL,
    confirmed_at   BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL, -- returned, quarantined or released
    ended_by       TEXT NOT NULL,
    return_code    TEXT NOT NULL,
    predecessor    TEXT NOT NULL, -- the quarantined reservation whose licenses it got
    successor      TEXT NOT NULL, -- the reservation that got its licenses
    wrong_codes    BIGINT NOT NULL, -- since wrong_since
    wrong_since    BIGINT NOT NULL,
    revived        BIGINT NOT NULL, -- codes that came although the licenses had been given up
    revived_at     BIGINT NOT NULL, -- the first of them
    PRIMARY KEY (account_id, reservation_id),
    UNIQUE (account_id, request),
    FOREIGN KEY (account_id, va_id) REFERENCES virtual_account (account_id, va_id),
    FOREIGN KEY (account_id, instance_id) REFERENCES instance (account_id, instance_id)
);
CREATE INDEX reservation_by_udi ON reservation (account_id, udi, sequence);

-- The authorizations of a reservation. What is signed is made from these bytes, so that the same file can be made again.
CREATE TABLE reservation_version (
    account_id     TEXT NOT NULL,
    reservation_id TEXT NOT NULL,
    version        BIGINT NOT NULL,
    body           BYTEA NOT NULL, -- JSON without the key of the codes
    issued_at      BIGINT NOT NULL,
    issued_by      TEXT NOT NULL,
    confirmed_at   BIGINT NOT NULL,
    PRIMARY KEY (account_id, reservation_id, version),
    FOREIGN KEY (account_id, reservation_id) REFERENCES reservation (account_id, reservation_id)
);

-- Wishes to give the licenses of a dead product to another one; a second person decides.
CREATE TABLE rehost (
    account_id     TEXT NOT NULL,
    rehost_id      TEXT NOT NULL,
    reservation_id TEXT NOT NULL,
    request        TEXT NOT NULL, -- the whole request code of the new product
    reason         TEXT NOT NULL,
    state          TEXT NOT NULL,
    asked_at       BIGINT NOT NULL,
    asked_by       TEXT NOT NULL,
    asked_name     TEXT NOT NULL,
    decided_at     BIGINT NOT NULL,
    decided_by     TEXT NOT NULL,
    decided_name   TEXT NOT NULL,
    successor      TEXT NOT NULL,
    PRIMARY KEY (account_id, rehost_id),
    FOREIGN KEY (account_id, reservation_id) REFERENCES reservation (account_id, reservation_id)
);

-- Which accounts may reserve; without a row, specific reservations are allowed and universal ones are not.
CREATE TABLE reservation_leave (
    account_id   TEXT PRIMARY KEY,
    specific     BOOLEAN NOT NULL,
    universal    BOOLEAN NOT NULL,
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);
