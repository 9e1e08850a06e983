//! The twelfth version: the gateway's addresses as each node is to know them, and as it has
//! confirmed them.

/// The migration.
pub(super) const V12: &str = "
CREATE TABLE node_address (
    node_id   BLOB NOT NULL PRIMARY KEY CHECK (length(node_id) = 16),
    told      TEXT,
    confirmed TEXT
) STRICT, WITHOUT ROWID;

CREATE TRIGGER node_address_goes AFTER DELETE ON node BEGIN
    DELETE FROM node_address WHERE node_id = OLD.node_id;
END;
";
