-- An HMAC by the pool's own HSM over an uploaded domain: nobody opens another pool's backups who can only write rows.
-- Null: from before there were such proofs. It isn't believed, and has to be uploaded again.
alter table uploaded_domain add column proof bytea check (octet_length(proof) = 32);
