-- +goose Up
-- Every table of an account has account_id first in its primary key, in every unique index and in every foreign key, so
-- that the same schema can be distributed by account. Times are UTC milliseconds; 0 means never. Quantities are integers.

-- Names of accounts are the one thing that is unique over all accounts.
CREATE TABLE account_name (
    name_key   TEXT PRIMARY KEY,
    account_id TEXT NOT NULL
);

CREATE TABLE account (
    account_id    TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    last_at       BIGINT NOT NULL,
    event_seq     BIGINT NOT NULL,
    event_hash    BYTEA NOT NULL,
    default_va    TEXT NOT NULL
);

CREATE TABLE virtual_account (
    account_id TEXT NOT NULL,
    va_id      TEXT NOT NULL,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, va_id),
    UNIQUE (account_id, name_key),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);

CREATE TABLE event (
    account_id TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    happened_at BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body       BYTEA NOT NULL,
    hash       BYTEA NOT NULL,
    PRIMARY KEY (account_id, seq),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);

-- Answers of writing verbs, by the caller's idempotency key.
CREATE TABLE idempotency (
    account_id TEXT NOT NULL,
    idem_key   TEXT NOT NULL,
    digest     BYTEA NOT NULL,
    answer     BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, idem_key)
);

-- API keys, console sessions and one-time sign-in codes; account_id 'site' for those that see every account.
CREATE TABLE credential (
    account_id    TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    kind          TEXT NOT NULL,
    digest        BYTEA NOT NULL,
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL,
    PRIMARY KEY (account_id, credential_id)
);

CREATE TABLE purchase (
    account_id  TEXT NOT NULL,
    purchase_id TEXT NOT NULL,
    number      TEXT NOT NULL,
    content     BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    received_by TEXT NOT NULL,
    PRIMARY KEY (account_id, purchase_id),
    UNIQUE (account_id, number),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);

CREATE TABLE lot (
    account_id   TEXT NOT NULL,
    lot_id       TEXT NOT NULL,
    purchase_id  TEXT NOT NULL,
    line         BIGINT NOT NULL,
    va_id        TEXT NOT NULL,
    sku          TEXT NOT NULL,
    tag          TEXT NOT NULL,
    lot_type     TEXT NOT NULL,
    quantity     BIGINT NOT NULL CHECK (quantity > 0),
    starts_at    BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,
    subscription TEXT NOT NULL,
    PRIMARY KEY (account_id, lot_id),
    UNIQUE (account_id, purchase_id, line),
    FOREIGN KEY (account_id, purchase_id) REFERENCES purchase (account_id, purchase_id)
);

-- The supply book. A movement has legs whose quantities sum to zero for each lot; holdings are their sums. Only the
-- issuer's side may be negative: it is what was ever bought.
CREATE TABLE movement (
    account_id  TEXT NOT NULL,
    movement_id TEXT NOT NULL,
    moved_at    BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    actor       TEXT NOT NULL,
    event_seq   BIGINT NOT NULL,
    PRIMARY KEY (account_id, movement_id),
    FOREIGN KEY (account_id, event_seq) REFERENCES event (account_id, seq)
);

CREATE TABLE posting (
    account_id  TEXT NOT NULL,
    movement_id TEXT NOT NULL,
    leg         BIGINT NOT NULL,
    place       TEXT NOT NULL,
    lot_id      TEXT NOT NULL,
    tag         TEXT NOT NULL,
    quantity    BIGINT NOT NULL CHECK (quantity <> 0),
    PRIMARY KEY (account_id, movement_id, leg),
    FOREIGN KEY (account_id, movement_id) REFERENCES movement (account_id, movement_id),
    FOREIGN KEY (account_id, lot_id) REFERENCES lot (account_id, lot_id)
);

CREATE TABLE holding (
    account_id TEXT NOT NULL,
    place      TEXT NOT NULL,
    lot_id     TEXT NOT NULL,
    tag        TEXT NOT NULL,
    quantity   BIGINT NOT NULL CHECK (quantity >= 0 OR place = 'issuer'),
    PRIMARY KEY (account_id, place, lot_id),
    FOREIGN KEY (account_id, lot_id) REFERENCES lot (account_id, lot_id)
);

CREATE TABLE token (
    account_id        TEXT NOT NULL,
    token_id          TEXT NOT NULL,
    va_id             TEXT NOT NULL,
    digest            BYTEA NOT NULL,
    description       TEXT NOT NULL,
    created_at        BIGINT NOT NULL,
    created_by        TEXT NOT NULL,
    expires_at        BIGINT NOT NULL,
    max_uses          BIGINT NOT NULL,
    uses              BIGINT NOT NULL CHECK (uses >= 0 AND (max_uses = 0 OR uses <= max_uses)),
    revoked_at        BIGINT NOT NULL,
    export_controlled BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, token_id),
    FOREIGN KEY (account_id, va_id) REFERENCES virtual_account (account_id, va_id)
);

CREATE TABLE instance (
    account_id        TEXT NOT NULL,
    instance_id       TEXT NOT NULL,
    va_id             TEXT NOT NULL,
    udi               TEXT NOT NULL,
    pid               TEXT NOT NULL,
    serial            TEXT NOT NULL,
    product           TEXT NOT NULL,
    version           TEXT NOT NULL,
    hostname          TEXT NOT NULL,
    state             TEXT NOT NULL,
    incarnation       BIGINT NOT NULL,
    token_id          TEXT NOT NULL,
    export_controlled BOOLEAN NOT NULL,
    registered_at     BIGINT NOT NULL,
    renewed_at        BIGINT NOT NULL,
    nonce             TEXT NOT NULL,
    key_thumbprint    TEXT NOT NULL,
    public_key        BYTEA NOT NULL,
    prepared          BYTEA NOT NULL,
    certificate       BYTEA NOT NULL,
    expires_at        BIGINT NOT NULL,
    status            TEXT NOT NULL,
    status_at         BIGINT NOT NULL,
    forked_at         BIGINT NOT NULL,
    removed_at        BIGINT NOT NULL,
    removed_by        TEXT NOT NULL,
    removed_why       TEXT NOT NULL,
    PRIMARY KEY (account_id, instance_id),
    UNIQUE (account_id, udi),
    FOREIGN KEY (account_id, va_id) REFERENCES virtual_account (account_id, va_id)
);
CREATE INDEX instance_by_va ON instance (account_id, va_id, instance_id);

-- The last exchange of an instance: asking again with the same number gets the same answer.
CREATE TABLE exchange (
    account_id  TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    number      BIGINT NOT NULL,
    digest      BYTEA NOT NULL,
    kind        TEXT NOT NULL,
    answer      BYTEA NOT NULL,
    answered_at BIGINT NOT NULL,
    next_at     BIGINT NOT NULL,
    deadline_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, instance_id)
);

-- The demand book: what each instance uses now, and the sum per virtual account and tag, moved by the same deltas.
CREATE TABLE instance_usage (
    account_id  TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    tag         TEXT NOT NULL,
    va_id       TEXT NOT NULL,
    quantity    BIGINT NOT NULL CHECK (quantity >= 0),
    since_at    BIGINT NOT NULL,
    PRIMARY KEY (account_id, instance_id, tag)
);
CREATE INDEX instance_usage_by_va ON instance_usage (account_id, va_id, tag);

CREATE TABLE demand (
    account_id TEXT NOT NULL,
    va_id      TEXT NOT NULL,
    tag        TEXT NOT NULL,
    quantity   BIGINT NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (account_id, va_id, tag)
);

-- Peaks of closed intervals as products report them; a report already given is never changed.
CREATE TABLE usage_peak (
    account_id  TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    tag         TEXT NOT NULL,
    from_at     BIGINT NOT NULL,
    to_at       BIGINT NOT NULL,
    va_id       TEXT NOT NULL,
    peak        BIGINT NOT NULL,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, instance_id, tag, from_at)
);
CREATE INDEX usage_peak_by_time ON usage_peak (account_id, from_at);

-- One holder at a time does what must be done once; the state an embedded agent keeps.
CREATE TABLE lease (
    account_id TEXT NOT NULL,
    name       TEXT NOT NULL,
    holder     TEXT NOT NULL,
    until_at   BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

CREATE TABLE agent_state (
    account_id TEXT NOT NULL,
    agent_id   TEXT NOT NULL,
    state      BYTEA NOT NULL,
    saved_at   BIGINT NOT NULL,
    PRIMARY KEY (account_id, agent_id)
);

-- The conference engine.
CREATE TABLE conference (
    account_id        TEXT PRIMARY KEY,
    va_id             TEXT NOT NULL,
    serial            TEXT NOT NULL,
    enabled_at        BIGINT NOT NULL,
    directory_version BIGINT NOT NULL,
    swept_at          BIGINT NOT NULL, -- the hours up to this one are marked for meetings that run on
    FOREIGN KEY (account_id, va_id) REFERENCES virtual_account (account_id, va_id)
);

-- A cluster of call bridges that post to one secret receiver name. last_seq numbers the stored posts without gaps; every
-- meeting shows the posts up to projected_seq, and none is older than what was written of it when flushed_seq was set.
CREATE TABLE cluster (
    account_id    TEXT NOT NULL,
    cluster_id    TEXT NOT NULL,
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL,
    digest        BYTEA NOT NULL,
    allowed       TEXT NOT NULL, -- JSON list of call bridges; others are kept and not counted; empty for any
    created_at    BIGINT NOT NULL,
    last_seq      BIGINT NOT NULL,
    projected_seq BIGINT NOT NULL,
    flushed_seq   BIGINT NOT NULL,
    PRIMARY KEY (account_id, cluster_id),
    UNIQUE (account_id, name_key),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);

-- The journal. directory_version is the one in force when the post was stored.
CREATE TABLE cdr_post (
    account_id  TEXT NOT NULL,
    cluster_id  TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    session     TEXT NOT NULL,
    callbridge  TEXT NOT NULL,
    directory_version BIGINT NOT NULL,
    ignored     TEXT NOT NULL, -- JSON list of the positions of records that were known before; mostly empty
    body        BYTEA NOT NULL,
    PRIMARY KEY (account_id, cluster_id, seq)
);

-- Which posts up to the cluster's projected_seq hold which correlator indexes of a session: some posts a row, as a JSON list of
-- three numbers each, the step from the post before (first_seq), the step from low, and how many indexes follow that one.
CREATE TABLE cdr_range (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    session    TEXT NOT NULL,
    low        BIGINT NOT NULL,
    first_seq  BIGINT NOT NULL,
    high       BIGINT NOT NULL,
    posts      TEXT NOT NULL,
    PRIMARY KEY (account_id, cluster_id, session, low, first_seq)
);

-- What was heard of one run of one call bridge up to the cluster's projected_seq: the correlator indexes as JSON ranges
-- [[from,to],…], and the announced losses as JSON [[at,records],…].
CREATE TABLE cdr_session (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    session    TEXT NOT NULL,
    callbridge TEXT NOT NULL,
    ranges     TEXT NOT NULL,
    losses     TEXT NOT NULL,
    records    BIGINT NOT NULL,
    missing    BIGINT NOT NULL,
    repeats    BIGINT NOT NULL,
    first_at   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    PRIMARY KEY (account_id, cluster_id, session)
);

-- A record that contradicts a stored one, and a body that could not be read: kept and shown, never counted.
CREATE TABLE cdr_conflict (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    session    TEXT NOT NULL,
    correlator BIGINT NOT NULL,
    digest     BYTEA NOT NULL,
    ref        TEXT NOT NULL,
    noted_at   BIGINT NOT NULL,
    body       BYTEA NOT NULL,
    PRIMARY KEY (account_id, cluster_id, session, correlator, digest)
);

CREATE TABLE cdr_refused (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    digest     BYTEA NOT NULL,
    reason     TEXT NOT NULL,
    refused_at BIGINT NOT NULL,
    body       BYTEA NOT NULL,
    PRIMARY KEY (account_id, cluster_id, digest)
);

-- started_at is 0 for legs that have not been in a call so far: kept with their records, never shown. segments is a JSON list.
CREATE TABLE meeting (
    account_id        TEXT NOT NULL,
    meeting_id        TEXT NOT NULL,
    cluster_id        TEXT NOT NULL,
    meeting_key       TEXT NOT NULL,
    name              TEXT NOT NULL,
    space             TEXT NOT NULL,
    call_type         TEXT NOT NULL,
    bridges           TEXT NOT NULL,
    started_at        BIGINT NOT NULL,
    ended_at          BIGINT NOT NULL,
    duration_s        BIGINT NOT NULL,
    participants_max  BIGINT NOT NULL,
    policy            TEXT NOT NULL,
    directory_version BIGINT NOT NULL,
    incomplete        BOOLEAN NOT NULL,
    lost              BOOLEAN NOT NULL,
    estimated         BOOLEAN NOT NULL,
    facts             TEXT NOT NULL,
    segments          TEXT NOT NULL,
    records           BYTEA NOT NULL,
    PRIMARY KEY (account_id, meeting_id)
);
CREATE INDEX meeting_by_start ON meeting (account_id, started_at, meeting_id);
CREATE INDEX meeting_running ON meeting (account_id, cluster_id, meeting_id) WHERE ended_at = 0;

-- Which meetings a call, a leg or a correlator belongs to, for records that come late. A correlator that is a meeting's key
-- has no row: the meeting's id is made from it.
CREATE TABLE meeting_ref (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    ref        TEXT NOT NULL,
    meeting_id TEXT NOT NULL,
    PRIMARY KEY (account_id, cluster_id, ref, meeting_id)
);

-- What meetings take, for counting, by time: rows that are written together stand together. A running segment ends in the far
-- future (9999-12-31). It, and any other of more than a day, is lasting; so those that overlap an hour are found without
-- reading all that came later.
CREATE TABLE segment (
    account_id TEXT NOT NULL,
    lasting    BOOLEAN NOT NULL,
    to_at      BIGINT NOT NULL,
    from_at    BIGINT NOT NULL,
    tag        TEXT NOT NULL,
    sixths     BIGINT NOT NULL,
    meeting_id TEXT NOT NULL,
    PRIMARY KEY (account_id, lasting, to_at, from_at, tag, sixths, meeting_id)
);

-- Highest use per hour and tag in sixths of a license; a stale hour is computed anew before it is read. A reported hour
-- went to the authority and goes there no more.
CREATE TABLE usage_hour (
    account_id TEXT NOT NULL,
    tag        TEXT NOT NULL,
    hour_at    BIGINT NOT NULL,
    peak       BIGINT NOT NULL,
    peak_at    BIGINT NOT NULL,
    meetings   BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    stale      BOOLEAN NOT NULL,
    reported   BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, tag, hour_at)
);
CREATE INDEX usage_hour_stale ON usage_hour (account_id, stale, hour_at);
CREATE INDEX usage_hour_reported ON usage_hour (account_id, reported, hour_at);

-- The directory, with the versions in which each row was in force: [from_version, to_version), 0 for still.
CREATE TABLE directory_version (
    account_id  TEXT NOT NULL,
    version     BIGINT NOT NULL,
    imported_at BIGINT NOT NULL,
    imported_by TEXT NOT NULL,
    users       BIGINT NOT NULL,
    spaces      BIGINT NOT NULL,
    personal    BIGINT NOT NULL,
    PRIMARY KEY (account_id, version)
);

CREATE TABLE directory_user (
    account_id   TEXT NOT NULL,
    jid          TEXT NOT NULL,
    from_version BIGINT NOT NULL,
    to_version   BIGINT NOT NULL,
    guid         TEXT NOT NULL,
    email        TEXT NOT NULL,
    personal     BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, jid, from_version)
);

CREATE TABLE directory_space (
    account_id   TEXT NOT NULL,
    space_id     TEXT NOT NULL,
    from_version BIGINT NOT NULL,
    to_version   BIGINT NOT NULL,
    name         TEXT NOT NULL,
    owner        TEXT NOT NULL,
    PRIMARY KEY (account_id, space_id, from_version)
);

-- +goose Down
DROP TABLE directory_space;
DROP TABLE directory_user;
DROP TABLE directory_version;
DROP TABLE usage_hour;
DROP TABLE segment;
DROP TABLE meeting_ref;
DROP TABLE meeting;
DROP TABLE cdr_refused;
DROP TABLE cdr_conflict;
DROP TABLE cdr_session;
DROP TABLE cdr_range;
DROP TABLE cdr_post;
DROP TABLE cluster;
DROP TABLE conference;
DROP TABLE agent_state;
DROP TABLE lease;
DROP TABLE usage_peak;
DROP TABLE demand;
DROP TABLE instance_usage;
DROP TABLE exchange;
DROP TABLE instance;
DROP TABLE token;
DROP TABLE holding;
DROP TABLE posting;
DROP TABLE movement;
DROP TABLE lot;
DROP TABLE purchase;
DROP TABLE credential;
DROP TABLE idempotency;
DROP TABLE event;
DROP TABLE virtual_account;
DROP TABLE account;
DROP TABLE account_name;
