-- +goose Up
-- Meetings that run are few among those of years, and some began long ago.
CREATE INDEX meeting_open ON meeting (account_id, started_at, meeting_id) WHERE ended_at = 0;

-- +goose Down
DROP INDEX meeting_open;
