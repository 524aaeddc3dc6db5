-- +goose Up
-- How call control, schedulers and devices name a user: user_id is the sign-in name in lower case without its domain, '' for not known.
ALTER TABLE directory_user ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE directory_user ADD COLUMN name TEXT NOT NULL DEFAULT '';

-- Whose device calls: a SIP address or number, as meeting.Party writes it, and the JID of its owner.
CREATE TABLE directory_device (
    account_id   TEXT NOT NULL,
    device       TEXT NOT NULL,
    from_version BIGINT NOT NULL,
    to_version   BIGINT NOT NULL,
    owner        TEXT NOT NULL,
    PRIMARY KEY (account_id, device, from_version)
);
ALTER TABLE directory_version ADD COLUMN devices BIGINT NOT NULL DEFAULT 0;

-- Which policy decides for a cluster, in the versions that number the states of directory and policies of an account. Without a
-- row it is the default one.
CREATE TABLE policy_version (
    account_id   TEXT NOT NULL,
    cluster_id   TEXT NOT NULL,
    from_version BIGINT NOT NULL,
    to_version   BIGINT NOT NULL, -- 0 while in force
    policy       TEXT NOT NULL,   -- JSON
    set_at       BIGINT NOT NULL,
    set_by       TEXT NOT NULL,
    PRIMARY KEY (account_id, cluster_id, from_version)
);

-- +goose Down
DROP TABLE policy_version;
DROP TABLE directory_device;
ALTER TABLE directory_version DROP COLUMN devices;
ALTER TABLE directory_user DROP COLUMN name;
ALTER TABLE directory_user DROP COLUMN user_id;
