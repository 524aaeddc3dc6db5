-- +goose Up
-- Ending the row of one person looked at the rows of all, as the index before had nothing to find one by.
DROP INDEX directory_user_to;
CREATE INDEX directory_user_to ON directory_user (account_id, to_version, jid);

-- +goose Down
DROP INDEX directory_user_to;
CREATE INDEX directory_user_to ON directory_user (account_id, to_version);
