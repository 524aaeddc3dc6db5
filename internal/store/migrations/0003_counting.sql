-- +goose Up
-- Whose segments are: the cluster, the charged user ('' for a shared license), and the class of the vendor's snapshots (pmp, smpFull,
-- smpPtP, smpAud). What was written before gets what its row and its meeting tell.
ALTER TABLE segment ADD COLUMN cluster_id TEXT NOT NULL DEFAULT '';
ALTER TABLE segment ADD COLUMN user_jid TEXT NOT NULL DEFAULT '';
ALTER TABLE segment ADD COLUMN class TEXT NOT NULL DEFAULT '';
UPDATE segment SET
  class = CASE WHEN tag = 'cms-pmp-plus' THEN 'pmp' WHEN sixths = 1 THEN 'smpPtP' ELSE 'smpFull' END,
  cluster_id = coalesce((SELECT cluster_id FROM meeting m WHERE m.account_id = segment.account_id AND m.meeting_id = segment.meeting_id), '');

-- +goose Down
ALTER TABLE segment DROP COLUMN class;
ALTER TABLE segment DROP COLUMN user_jid;
ALTER TABLE segment DROP COLUMN cluster_id;
