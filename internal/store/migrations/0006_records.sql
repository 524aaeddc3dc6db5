-- +goose Up
-- How many records a call bridge announced as lost; missing is how many of the lost ones have not come by now, and losses is
-- JSON [[at,records,low,high,cause],…] with the range of correlator indexes. behind and numbering say by how much the record indexes
-- are behind the correlator indexes, and whether that is the same for all.
ALTER TABLE cdr_session ADD COLUMN announced BIGINT NOT NULL DEFAULT 0;
ALTER TABLE cdr_session ADD COLUMN behind BIGINT NOT NULL DEFAULT 0;
ALTER TABLE cdr_session ADD COLUMN numbering BIGINT NOT NULL DEFAULT 0;
UPDATE cdr_session SET announced = missing, losses = '[]', missing = 0;
CREATE INDEX meeting_lost ON meeting (account_id, cluster_id, started_at, meeting_id) WHERE lost;

-- +goose Down
DROP INDEX meeting_lost;
ALTER TABLE cdr_session DROP COLUMN numbering;
ALTER TABLE cdr_session DROP COLUMN behind;
ALTER TABLE cdr_session DROP COLUMN announced;
