-- +goose Up
-- At the authority: every issuing key that a satellite was ever certified with, as a JSON list in their order: site, at, and lost for one
-- that was replaced by joining anew. Those before the one in column site count no more.
ALTER TABLE satellite ADD COLUMN issuers TEXT NOT NULL DEFAULT '[]';
-- At a satellite: the certificates of the authority's message key whose word was taken last (PEM); and, as a JSON list, the sites that
-- were lost and that this one took the place of: their products may bring their certificates.
ALTER TABLE upstream ADD COLUMN signer TEXT NOT NULL DEFAULT '';
ALTER TABLE upstream ADD COLUMN lost_sites TEXT NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE upstream DROP COLUMN lost_sites;
ALTER TABLE upstream DROP COLUMN signer;
ALTER TABLE satellite DROP COLUMN issuers;
