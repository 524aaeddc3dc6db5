-- +goose Up
-- What is left of posts that are no longer kept: by session, the number and the first bytes of the digest of each of their records
-- that counted, so that a record which contradicts one of them is told from a repeat. A row is for the posts first_seq to last_seq.
CREATE TABLE cdr_digest (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    last_seq   BIGINT NOT NULL,
    first_seq  BIGINT NOT NULL,
    body       BYTEA NOT NULL,
    PRIMARY KEY (account_id, cluster_id, last_seq),
    FOREIGN KEY (account_id, cluster_id) REFERENCES cluster (account_id, cluster_id)
);

-- +goose Down
DROP TABLE cdr_digest;
