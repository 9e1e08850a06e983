//! The tenth version: nodes that took the place of others.

/// The migration.
///
/// A node has had one place, and one node took it. The row stays while the record
/// of the newer node is there, even if that of the older one was removed.
pub(super) const V10: &str = "
CREATE TABLE replacement (
    old_id BLOB NOT NULL PRIMARY KEY CHECK (length(old_id) = 16),
    new_id BLOB NOT NULL UNIQUE CHECK (length(new_id) = 16 AND new_id <> old_id),
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER replacement_goes AFTER DELETE ON node BEGIN
    DELETE FROM replacement WHERE new_id = OLD.node_id;
END;
";
