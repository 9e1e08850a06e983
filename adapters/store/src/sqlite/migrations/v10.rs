//! The tenth version: nodes that took the place of others, and approvals in advance.

/// The migration.
///
/// **Replacements.** A node has had one place, and one node took it. The row stays while the record
/// of the newer node is there, even if that of the older one was removed.
///
/// **Approval policies.** `used` only rises. `run` is the process that made the row.
pub(super) const V10: &str = "
CREATE TABLE replacement (
    old_id BLOB NOT NULL PRIMARY KEY CHECK (length(old_id) = 16),
    new_id BLOB NOT NULL UNIQUE CHECK (length(new_id) = 16 AND new_id <> old_id),
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER replacement_goes AFTER DELETE ON node BEGIN
    DELETE FROM replacement WHERE new_id = OLD.node_id;
END;

CREATE TABLE approval_policy (
    policy_id BLOB NOT NULL PRIMARY KEY CHECK (length(policy_id) = 16),
    net       TEXT NOT NULL,
    made_at   INTEGER NOT NULL,
    ends_at   INTEGER NOT NULL,
    most      INTEGER NOT NULL CHECK (most > 0),
    used      INTEGER NOT NULL CHECK (used BETWEEN 0 AND most),
    scopes    TEXT,
    grant_for INTEGER,
    maker     BLOB CHECK (maker IS NULL OR length(maker) = 16),
    login     BLOB CHECK (login IS NULL OR (length(login) = 16 AND maker IS NULL)),
    ended_at  INTEGER,
    run       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TRIGGER approval_policy_has_run AFTER INSERT ON approval_policy BEGIN
    UPDATE approval_policy SET run = (SELECT run FROM time_kept) WHERE policy_id = NEW.policy_id;
END;
";
