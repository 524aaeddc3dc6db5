-- +goose Up
-- How many records a call bridge announced as lost; missing is how many of the lost ones have not come by now, and losses is
-- JSON [[at,records,low,high,cause],…] with the range of correlator indexes. behind and numbering say by how much the record indexes
-- are behind the correlator indexes, and whether that is the same for all.
ALTER TABLE cdr_session ADD COLUMN announced BIGINT NOT NULL DEFAULT 0;
ALTER TABLE cdr_session ADD COLUMN behind BIGINT NOT NULL DEFAULT 0;
ALTER TABLE cdr_session ADD COLUMN numbering BIGINT NOT NULL DEFAULT 0;
UPDATE cdr_session SET announced = missing, losses = '[]', missing = 0;
CREATE INDEX meeting_lost ON meeting (account_id, cluster_id, started_at, meeting_id) WHERE lost;

-- The size of a refused body of which only the head is kept; 0 where all of it is.
ALTER TABLE cdr_refused ADD COLUMN size BIGINT NOT NULL DEFAULT 0;

-- The secret receiver addresses of a bridge. retire_at is 0 for one that works; used is JSON, when each call bridge posted last.
CREATE TABLE cdr_receiver (
    account_id  TEXT NOT NULL,
    receiver_id TEXT NOT NULL,
    cluster_id  TEXT NOT NULL,
    digest      BYTEA NOT NULL,
    created_at  BIGINT NOT NULL,
    retire_at   BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    used        TEXT NOT NULL,
    PRIMARY KEY (account_id, receiver_id),
    FOREIGN KEY (account_id, cluster_id) REFERENCES cluster (account_id, cluster_id)
);
CREATE INDEX cdr_receiver_by_cluster ON cdr_receiver (account_id, cluster_id, receiver_id);
INSERT INTO cdr_receiver (account_id, receiver_id, cluster_id, digest, created_at, retire_at, used_at, used)
SELECT account_id, 'rcv_' || substr(cluster_id, 5), cluster_id, digest, created_at, 0, 0, '{}' FROM cluster;

-- For how many days posts are kept; 0 for ever, no row for the default.
CREATE TABLE cdr_retention (
    account_id TEXT PRIMARY KEY,
    keep_days  BIGINT NOT NULL,
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);

-- +goose Down
DROP TABLE cdr_retention;
DROP TABLE cdr_receiver;
ALTER TABLE cdr_refused DROP COLUMN size;
DROP INDEX meeting_lost;
ALTER TABLE cdr_session DROP COLUMN numbering;
ALTER TABLE cdr_session DROP COLUMN behind;
ALTER TABLE cdr_session DROP COLUMN announced;
