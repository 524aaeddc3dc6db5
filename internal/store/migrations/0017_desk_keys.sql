-- +goose Up
-- The issuing key of this desk that was in force last, as an account's books know it: at a satellite, the one that the account's
-- products know. Another one is recorded as an event; at a satellite, one that does not follow it does not speak for the account.
CREATE TABLE desk_key (
    account_id TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL,
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);

-- +goose Down
DROP TABLE desk_key;
