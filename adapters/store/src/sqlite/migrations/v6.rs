//! The sixth version: revoked keys without a record, and what paired nodes ask for beyond what they
//! have.

/// The migration. The tally counts the revoked keys, as the other tallies count nodes; an older
/// version has counted none.
pub(super) const V6: &str = "
PRAGMA ignore_check_constraints = ON;
ALTER TABLE node ADD COLUMN asks_more TEXT NOT NULL DEFAULT '';
PRAGMA ignore_check_constraints = OFF;
CREATE INDEX node_asking_more ON node (node_id) WHERE asks_more <> '' AND standing IN ('paired', 'muted');

INSERT INTO tally SELECT 'forgotten', count(*) FROM revocation WHERE what = 'key';
CREATE TRIGGER key_is_revoked AFTER INSERT ON revocation WHEN NEW.what = 'key' BEGIN
    UPDATE tally SET nodes = nodes + 1 WHERE standing = 'forgotten';
END;
";
