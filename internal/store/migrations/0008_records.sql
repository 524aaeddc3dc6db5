-- +goose Up
-- To which receiver a post came; empty for those from before, and for notes. numbers is JSON, by receiver: how the records of a
-- session were numbered for it (recordIndex).
ALTER TABLE cdr_post ADD COLUMN receiver TEXT NOT NULL DEFAULT '';
ALTER TABLE cdr_session ADD COLUMN numbers TEXT NOT NULL DEFAULT '{}';

-- A record that has the number, for a receiver, of another one: against is the correlator index of that one, -1 for a record that
-- contradicts the stored one of its own.
ALTER TABLE cdr_conflict ADD COLUMN receiver TEXT NOT NULL DEFAULT '';
ALTER TABLE cdr_conflict ADD COLUMN record_index BIGINT NOT NULL DEFAULT 0;
ALTER TABLE cdr_conflict ADD COLUMN against BIGINT NOT NULL DEFAULT -1;

-- shape grows when meetings are written otherwise than by what was posted: then what a server has in memory is old.
ALTER TABLE cluster ADD COLUMN shape BIGINT NOT NULL DEFAULT 0;

-- A call bridge that was allowed or denied, until all meetings show that: how far they do. Posts up to upto are looked at, those up
-- to seq are through; meetings up to the one that began at began_at with meeting_id are. found says that there may be more to find.
CREATE TABLE cdr_change (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    callbridge TEXT NOT NULL,
    shape      BIGINT NOT NULL,
    noted_at   BIGINT NOT NULL,
    upto       BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    began_at   BIGINT NOT NULL,
    meeting_id TEXT NOT NULL,
    found      BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, cluster_id, callbridge),
    FOREIGN KEY (account_id, cluster_id) REFERENCES cluster (account_id, cluster_id)
);

-- +goose Down
DROP TABLE cdr_change;
ALTER TABLE cluster DROP COLUMN shape;
ALTER TABLE cdr_conflict DROP COLUMN against;
ALTER TABLE cdr_conflict DROP COLUMN record_index;
ALTER TABLE cdr_conflict DROP COLUMN receiver;
ALTER TABLE cdr_session DROP COLUMN numbers;
ALTER TABLE cdr_post DROP COLUMN receiver;
