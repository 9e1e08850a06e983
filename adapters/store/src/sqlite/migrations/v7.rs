//! The seventh version: provisioning tokens, and the nodes that registered by them.

/// The migration.
///
/// **Tokens** are codes: they are counted, listed, withdrawn and moved with the clock as such.
/// `provisions` is the name of the node that a token is bound to, and `sealed` has its hash. A token
/// has the empty selector, which no code of another kind has.
///
/// **Nodes.** The row of a node that registered lives as long as the node's own.
pub(super) const V7: &str = "
PRAGMA ignore_check_constraints = ON;
ALTER TABLE code ADD COLUMN provisions TEXT CHECK (provisions IS NULL OR selector = '');
PRAGMA ignore_check_constraints = OFF;

CREATE TABLE provisioned (
    node_id  BLOB NOT NULL PRIMARY KEY CHECK (length(node_id) = 16),
    external TEXT NOT NULL,
    key_id   BLOB NOT NULL UNIQUE CHECK (length(key_id) = 16),
    key_hash BLOB NOT NULL CHECK (length(key_hash) = 32)
) STRICT, WITHOUT ROWID;

CREATE INDEX provisioned_as ON provisioned (external);
CREATE TRIGGER provisioned_goes AFTER DELETE ON node BEGIN
    DELETE FROM provisioned WHERE node_id = OLD.node_id;
END;
";
