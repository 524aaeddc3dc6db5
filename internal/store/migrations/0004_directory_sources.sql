-- +goose Up
-- What each source of the directory (kind: file, ldap, callbridge) said last and was accepted, as gzipped JSON. The directory in
-- force is all of them together.
CREATE TABLE directory_source (
    account_id  TEXT NOT NULL,
    kind        TEXT NOT NULL,
    source_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    personal    TEXT NOT NULL, -- what it says of the license of all its users: yes, no, inherit
    users       BIGINT NOT NULL,
    spaces      BIGINT NOT NULL,
    clashes     TEXT NOT NULL, -- JSON, those within the source
    accepted_at BIGINT NOT NULL,
    accepted_by TEXT NOT NULL,
    state       BYTEA NOT NULL,
    PRIMARY KEY (account_id, kind, source_id)
);

-- A state that takes so much away that it waits for a person; put is gzipped JSON.
CREATE TABLE directory_held (
    account_id TEXT NOT NULL,
    kind       TEXT NOT NULL,
    source_id  TEXT NOT NULL,
    run_id     TEXT NOT NULL,
    digest     BYTEA NOT NULL,
    put        BYTEA NOT NULL,
    PRIMARY KEY (account_id, kind, source_id)
);

-- The history: every reading of a source and what became of it (state: complete, unchanged, held, accepted, superseded, failed).
CREATE TABLE directory_run (
    account_id  TEXT NOT NULL,
    run_id      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    source_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL,
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    run_by      TEXT NOT NULL,
    accepted_at BIGINT NOT NULL, -- 0 for not by a person
    accepted_by TEXT NOT NULL,
    version     BIGINT NOT NULL, -- of the directory that came into force, 0 for none
    entries     BIGINT NOT NULL,
    users       BIGINT NOT NULL,
    skipped     BIGINT NOT NULL,
    clashes     BIGINT NOT NULL,
    added       BIGINT NOT NULL,
    removed     BIGINT NOT NULL,
    gained      BIGINT NOT NULL,
    lost        BIGINT NOT NULL,
    details     TEXT NOT NULL, -- JSON: reasons to hold, the refusal, examples of what was left out
    PRIMARY KEY (account_id, run_id)
);

-- What holds for the personal license where a source says nothing: of a tenant, or of the system (tenant '').
CREATE TABLE directory_default (
    account_id TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    personal   TEXT NOT NULL,
    set_at     BIGINT NOT NULL,
    set_by     TEXT NOT NULL,
    PRIMARY KEY (account_id, tenant)
);

-- Directory servers, and what is read of them. settings are JSON; secret is the password, encrypted with the keys of the server.
CREATE TABLE ldap_server (
    account_id TEXT NOT NULL,
    server_id  TEXT NOT NULL,
    settings   TEXT NOT NULL,
    secret     BYTEA NOT NULL,
    PRIMARY KEY (account_id, server_id)
);
CREATE TABLE ldap_source (
    account_id TEXT NOT NULL,
    source_id  TEXT NOT NULL,
    server_id  TEXT NOT NULL,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    settings   TEXT NOT NULL,
    added_at   BIGINT NOT NULL,
    every_ms   BIGINT NOT NULL, -- 0 for on demand only
    next_at    BIGINT NOT NULL,
    PRIMARY KEY (account_id, source_id)
);
CREATE UNIQUE INDEX ldap_source_name ON ldap_source (account_id, name_key);
CREATE INDEX directory_user_to ON directory_user (account_id, to_version);
CREATE INDEX directory_user_from ON directory_user (account_id, from_version);

-- +goose Down
DROP INDEX directory_user_from;
DROP INDEX directory_user_to;
DROP TABLE ldap_source;
DROP TABLE ldap_server;
DROP TABLE directory_default;
DROP TABLE directory_run;
DROP TABLE directory_held;
DROP TABLE directory_source;
