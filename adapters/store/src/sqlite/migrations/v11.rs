//! The eleventh version: the history of a node, from the audit log, and the gateway's key as each
//! node knows it.

/// The migration. The node of an entry is read out of its line, so that the log stays as it is and
/// no row can contradict it. A line that was damaged is about no node.
pub(super) const V11: &str = "
ALTER TABLE audit ADD COLUMN node TEXT GENERATED ALWAYS AS
    (CASE WHEN json_valid(line) THEN json_extract(line, '$.node') END) VIRTUAL;

CREATE INDEX audit_of_node ON audit (node, number) WHERE node IS NOT NULL;

CREATE TABLE known_key (
    node_id BLOB NOT NULL PRIMARY KEY CHECK (length(node_id) = 16),
    key     BLOB NOT NULL CHECK (length(key) = 32)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER known_key_goes AFTER DELETE ON node BEGIN
    DELETE FROM known_key WHERE node_id = OLD.node_id;
END;
";
