-- +goose Up
-- The API of a call bridge of a cluster. secret is the password, encrypted with the keys of the server; state is JSON, what the last
-- turn found.
CREATE TABLE bridge_api (
    account_id        TEXT NOT NULL,
    api_id            TEXT NOT NULL,
    cluster_id        TEXT NOT NULL,
    url               TEXT NOT NULL,
    user_name         TEXT NOT NULL,
    secret            BYTEA NOT NULL,
    ca                TEXT NOT NULL, -- PEM, '' for none
    fingerprint       TEXT NOT NULL, -- '' for none
    callbridge        TEXT NOT NULL, -- GUID that the call bridge posts its records with, '' for not given
    every_ms          BIGINT NOT NULL,
    set_at            BIGINT NOT NULL,
    set_by            TEXT NOT NULL,
    next_at           BIGINT NOT NULL,
    directory_next_at BIGINT NOT NULL,
    state             TEXT NOT NULL,
    PRIMARY KEY (account_id, api_id),
    UNIQUE (account_id, cluster_id, url),
    FOREIGN KEY (account_id, cluster_id) REFERENCES cluster (account_id, cluster_id)
);

-- What call bridges themselves counted every few minutes, in hundredths.
CREATE TABLE bridge_snapshot (
    account_id   TEXT NOT NULL,
    cluster_id   TEXT NOT NULL,
    taken_at     BIGINT NOT NULL,
    host_id      TEXT NOT NULL,
    pmp          BIGINT NOT NULL,
    pmp_assigned BIGINT NOT NULL,
    smp_aud      BIGINT NOT NULL,
    smp_ptp      BIGINT NOT NULL,
    smp_full     BIGINT NOT NULL,
    rec          BIGINT NOT NULL,
    str          BIGINT NOT NULL,
    PRIMARY KEY (account_id, cluster_id, host_id, taken_at)
);
CREATE INDEX bridge_snapshot_by_time ON bridge_snapshot (account_id, cluster_id, taken_at);

-- +goose Down
DROP TABLE bridge_snapshot;
DROP TABLE bridge_api;
