-- +goose Up
-- A satellite's virtual account; empty for those of the authority itself.
ALTER TABLE virtual_account ADD COLUMN satellite_id TEXT NOT NULL DEFAULT '';

-- At the authority: a satellite of an account. site is who it is by its key, empty before it registered; several accounts may have
-- the same one. epoch and number say which of its files was answered last, digest which bytes those were, and answer is the text of
-- the reply, so that it can be given again.
CREATE TABLE satellite (
    account_id    TEXT NOT NULL,
    satellite_id  TEXT NOT NULL,
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL,
    state         TEXT NOT NULL,
    token_digest  BYTEA NOT NULL,
    token_ends_at BIGINT NOT NULL,
    site          TEXT NOT NULL,
    public_key    BYTEA NOT NULL,
    hosts         TEXT NOT NULL, -- JSON list
    program       TEXT NOT NULL, -- version that it runs
    epoch         BIGINT NOT NULL,
    number        BIGINT NOT NULL,
    digest        BYTEA NOT NULL,
    answer        BYTEA NOT NULL,
    findings      TEXT NOT NULL, -- JSON list: what was odd about its last file
    every_s       BIGINT NOT NULL, -- how often it synchronizes by itself, in seconds; 0 for by hand
    created_at    BIGINT NOT NULL,
    created_by    TEXT NOT NULL,
    joined_at     BIGINT NOT NULL,
    synced_at     BIGINT NOT NULL,
    synced_by     TEXT NOT NULL, -- network or file
    identity_ends_at BIGINT NOT NULL,
    removed_at    BIGINT NOT NULL,
    removed_by    TEXT NOT NULL,
    PRIMARY KEY (account_id, satellite_id),
    UNIQUE (account_id, name_key),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);

-- Counts of units that crossed the gap, by virtual account and lot; they only grow. granted was sent, applied has arrived, asked is
-- wanted back, burnt was given back. At the authority granted and asked are its own and the others what the satellite said; at the
-- satellite it is the reverse. held is what the satellite said to have there.
CREATE TABLE satellite_stock (
    account_id   TEXT NOT NULL,
    satellite_id TEXT NOT NULL,
    va_id        TEXT NOT NULL,
    lot_id       TEXT NOT NULL,
    granted      BIGINT NOT NULL CHECK (granted >= 0),
    applied      BIGINT NOT NULL CHECK (applied >= 0 AND applied <= granted),
    asked        BIGINT NOT NULL CHECK (asked >= 0),
    burnt        BIGINT NOT NULL CHECK (burnt >= 0),
    held         BIGINT NOT NULL CHECK (held >= 0),
    PRIMARY KEY (account_id, satellite_id, va_id, lot_id),
    FOREIGN KEY (account_id, satellite_id) REFERENCES satellite (account_id, satellite_id),
    FOREIGN KEY (account_id, lot_id) REFERENCES lot (account_id, lot_id)
);

-- What was asked back for somebody, until it has come.
CREATE TABLE satellite_recall (
    account_id   TEXT NOT NULL,
    recall_id    TEXT NOT NULL,
    satellite_id TEXT NOT NULL,
    va_id        TEXT NOT NULL,
    lot_id       TEXT NOT NULL,
    tag          TEXT NOT NULL,
    to_va        TEXT NOT NULL,
    quantity     BIGINT NOT NULL CHECK (quantity > 0),
    came         BIGINT NOT NULL CHECK (came >= 0 AND came <= quantity),
    asked_at     BIGINT NOT NULL,
    asked_by     TEXT NOT NULL,
    PRIMARY KEY (account_id, recall_id),
    FOREIGN KEY (account_id, satellite_id) REFERENCES satellite (account_id, satellite_id)
);

-- The product instances of satellites as they said last: body is the line of the file.
CREATE TABLE satellite_instance (
    account_id   TEXT NOT NULL,
    satellite_id TEXT NOT NULL,
    instance_id  TEXT NOT NULL,
    va_id        TEXT NOT NULL,
    body         BYTEA NOT NULL,
    PRIMARY KEY (account_id, instance_id, satellite_id),
    FOREIGN KEY (account_id, satellite_id) REFERENCES satellite (account_id, satellite_id)
);

-- At a satellite: what it is to its authority. number is that of its last file, digest which bytes those were; answered is the
-- number of the newest answer that was applied.
CREATE TABLE upstream (
    account_id   TEXT PRIMARY KEY,
    satellite_id TEXT NOT NULL,
    name         TEXT NOT NULL,
    state        TEXT NOT NULL,
    epoch        BIGINT NOT NULL,
    number       BIGINT NOT NULL,
    digest       BYTEA NOT NULL,
    answered     BIGINT NOT NULL,
    whole        BOOLEAN NOT NULL, -- ask for everything that the authority knows
    leaving      BOOLEAN NOT NULL, -- the authority removes this satellite: everything is given back
    privacy      TEXT NOT NULL, -- JSON list of what does not leave the site
    every_s      BIGINT NOT NULL,
    joined_at    BIGINT NOT NULL,
    exported_at  BIGINT NOT NULL,
    synced_at    BIGINT NOT NULL,
    synced_by    TEXT NOT NULL,
    tried_at     BIGINT NOT NULL,
    trouble      TEXT NOT NULL, -- why the last attempt over the network came to nothing; empty when it did not
    findings     TEXT NOT NULL, -- JSON list: what the authority found
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);

CREATE TABLE upstream_stock (
    account_id TEXT NOT NULL,
    va_id      TEXT NOT NULL,
    lot_id     TEXT NOT NULL,
    applied    BIGINT NOT NULL CHECK (applied >= 0),
    asked      BIGINT NOT NULL CHECK (asked >= 0),
    burnt      BIGINT NOT NULL CHECK (burnt >= 0),
    taken      BIGINT NOT NULL CHECK (taken >= 0 AND taken <= burnt), -- of burnt, what the authority has acknowledged
    PRIMARY KEY (account_id, va_id, lot_id),
    FOREIGN KEY (account_id) REFERENCES upstream (account_id)
);

-- +goose Down
DROP TABLE upstream_stock;
DROP TABLE upstream;
DROP TABLE satellite_instance;
DROP TABLE satellite_recall;
DROP TABLE satellite_stock;
DROP TABLE satellite;
ALTER TABLE virtual_account DROP COLUMN satellite_id;
