-- +goose Up
-- Whose segments are: the cluster, the charged user ('' for a shared license), and the class of the vendor's snapshots (pmp, smpFull,
-- smpPtP, smpAud). What was written before gets what its row and its meeting tell.
ALTER TABLE segment ADD COLUMN cluster_id TEXT NOT NULL DEFAULT '';
ALTER TABLE segment ADD COLUMN user_jid TEXT NOT NULL DEFAULT '';
ALTER TABLE segment ADD COLUMN class TEXT NOT NULL DEFAULT '';
UPDATE segment SET
  class = CASE WHEN tag = 'cms-pmp-plus' THEN 'pmp' WHEN sixths = 1 THEN 'smpPtP' ELSE 'smpFull' END,
  cluster_id = coalesce((SELECT cluster_id FROM meeting m WHERE m.account_id = segment.account_id AND m.meeting_id = segment.meeting_id), '');

-- For how long each number of sixths was taken within the hour: JSON [[sixths,milliseconds],…], ascending. Hours counted before
-- are counted anew.
ALTER TABLE usage_hour ADD COLUMN levels TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_hour ADD COLUMN sampled BIGINT NOT NULL DEFAULT 0; -- the most at a multiple of five minutes
UPDATE usage_hour SET stale = TRUE;

-- The same for UTC days that are over, from their hours, with the area in milliseconds of one sixth. marks counts how often an
-- hour of the day was counted; a stale day is computed anew before it is read.
CREATE TABLE usage_day (
    account_id TEXT NOT NULL,
    tag        TEXT NOT NULL,
    day_at     BIGINT NOT NULL,
    peak       BIGINT NOT NULL,
    peak_at    BIGINT NOT NULL,
    meetings   BIGINT NOT NULL,
    used       BIGINT NOT NULL,
    sampled    BIGINT NOT NULL,
    levels     TEXT NOT NULL,
    marks      BIGINT NOT NULL,
    stale      BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, tag, day_at)
);
CREATE INDEX usage_day_stale ON usage_day (account_id, day_at) WHERE stale;

-- Who hosts how much: per UTC day, and summed per month. held is how long the meetings took a license within the day, in
-- milliseconds; meetings are counted on the day on which they took one first. '' stands for meetings without a known host.
CREATE TABLE usage_host_day (
    account_id TEXT NOT NULL,
    day_at     BIGINT NOT NULL,
    host       TEXT NOT NULL,
    meetings   BIGINT NOT NULL,
    personal   BIGINT NOT NULL, -- meetings charged to the host's personal license
    seconds    BIGINT NOT NULL, -- meetings that began while another one of the host ran
    held       BIGINT NOT NULL,
    personal_held    BIGINT NOT NULL,
    participants_max BIGINT NOT NULL,
    PRIMARY KEY (account_id, day_at, host)
);

CREATE TABLE usage_host_month (
    account_id TEXT NOT NULL,
    month_at   BIGINT NOT NULL,
    host       TEXT NOT NULL,
    meetings   BIGINT NOT NULL,
    personal   BIGINT NOT NULL,
    seconds    BIGINT NOT NULL,
    held       BIGINT NOT NULL,
    personal_held    BIGINT NOT NULL,
    participants_max BIGINT NOT NULL,
    PRIMARY KEY (account_id, month_at, host)
);

-- The months whose sums are behind their days.
CREATE TABLE usage_month_stale (
    account_id TEXT NOT NULL,
    month_at   BIGINT NOT NULL,
    marks      BIGINT NOT NULL,
    PRIMARY KEY (account_id, month_at)
);

-- What an administrator set: the days over entitlement at which levels begin, what clusters are allocated, which call bridges
-- have their activation key. until_at is 0 for no end; callbridge is '' for all of the cluster that have no row of their own.
CREATE TABLE conference_threshold (
    account_id TEXT PRIMARY KEY,
    level1     BIGINT NOT NULL,
    level2     BIGINT NOT NULL,
    level3     BIGINT NOT NULL
);

CREATE TABLE conference_allocation (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    tag        TEXT NOT NULL,
    quantity   BIGINT NOT NULL,
    PRIMARY KEY (account_id, cluster_id, tag),
    FOREIGN KEY (account_id, cluster_id) REFERENCES cluster (account_id, cluster_id)
);

CREATE TABLE activation_key (
    account_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    callbridge TEXT NOT NULL,
    present    BOOLEAN NOT NULL,
    until_at   BIGINT NOT NULL,
    PRIMARY KEY (account_id, cluster_id, callbridge),
    FOREIGN KEY (account_id, cluster_id) REFERENCES cluster (account_id, cluster_id)
);

-- +goose Down
DROP TABLE activation_key;
DROP TABLE conference_allocation;
DROP TABLE conference_threshold;
DROP TABLE usage_month_stale;
DROP TABLE usage_host_month;
DROP TABLE usage_host_day;
DROP TABLE usage_day;
ALTER TABLE usage_hour DROP COLUMN sampled;
ALTER TABLE usage_hour DROP COLUMN levels;
ALTER TABLE segment DROP COLUMN class;
ALTER TABLE segment DROP COLUMN user_jid;
ALTER TABLE segment DROP COLUMN cluster_id;
