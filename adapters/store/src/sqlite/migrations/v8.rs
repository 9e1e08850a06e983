//! The eighth version: the audit log.

/// The migration. The log of an older registry begins empty: nothing is known of who decided
/// before.
///
/// **Entries** are only appended, in the order of their numbers and without a gap; triggers refuse
/// everything else. They keep an error of ours from changing the log, not somebody who can write the
/// file: what a checkpoint elsewhere shows is what counts against that.
///
/// **Subtrees** have the hashes of the Merkle tree above the entries, without those of the entries
/// themselves. **Senders** have the names behind the references of entries, so that a name can be
/// removed.
pub(super) const V8: &str = "
CREATE TABLE audit (
    number INTEGER PRIMARY KEY CHECK (number >= 0),
    leaf   BLOB NOT NULL CHECK (length(leaf) = 32),
    line   TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_continues BEFORE INSERT ON audit
WHEN NEW.number <> (SELECT coalesce(max(number) + 1, 0) FROM audit) BEGIN
    SELECT RAISE(ABORT, 'the audit log has no such place');
END;
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is never cut');
END;

CREATE TABLE audit_subtree (
    level INTEGER NOT NULL CHECK (level > 0),
    place INTEGER NOT NULL CHECK (place >= 0),
    hash  BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_sender (
    reference BLOB NOT NULL PRIMARY KEY CHECK (length(reference) = 32),
    salt      BLOB NOT NULL CHECK (length(salt) = 16),
    channel   TEXT NOT NULL,
    account   TEXT NOT NULL,
    sender    TEXT NOT NULL,
    UNIQUE (channel, account, sender)
) STRICT, WITHOUT ROWID;
";
