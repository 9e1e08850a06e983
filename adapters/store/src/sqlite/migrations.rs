//! The schema's migrations.

mod backup;
mod v10;
mod v11;
mod v12;
mod v3;
mod v4;
mod v5;
mod v6;
mod v7;
mod v8;
mod v9;

pub use backup::Migrated;
pub(super) use backup::make as make_backup;

/// The migrations in order: each brings the schema from the version that is its index to the next
/// one. A released migration is never changed.
pub(super) const MIGRATIONS: &[&str] =
    &[V1, V2, v3::V3, v4::V4, v5::V5, v6::V6, v7::V7, v8::V8, v9::V9, v10::V10, v11::V11, v12::V12];

/// The first version. The rows of `node` are in the order in which they came, so that the
/// admissions of one group share pages; ids are random, and only the small entries of their index
/// are scattered. The profile is the last column, so that reading a record never walks past it.
///
/// Triggers keep the tallies: inside the transaction of each change, and in one place for all of
/// them. The tallies of pending nodes include expired ones until they are purged.
pub(super) const V1: &str = "
CREATE TABLE node (
    seq         INTEGER PRIMARY KEY,
    node_id     BLOB NOT NULL UNIQUE CHECK (length(node_id) = 16),
    name        TEXT NOT NULL,
    room        TEXT NOT NULL,
    address     TEXT NOT NULL,
    asked_at    INTEGER NOT NULL,
    standing    TEXT NOT NULL CHECK (standing IN ('pending', 'unapproved', 'paired', 'muted', 'revoked')),
    expires     INTEGER CHECK ((expires IS NOT NULL) = (standing = 'pending')),
    token_hash  BLOB CHECK ((token_hash IS NOT NULL) = (standing IN ('unapproved', 'paired', 'muted'))),
    mode        TEXT CHECK ((mode IS NOT NULL) = (standing IN ('paired', 'muted'))),
    cause       TEXT CHECK ((cause IS NOT NULL) = (standing = 'revoked')),
    version     INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    source      BLOB NOT NULL CHECK (length(source) = 16),
    request_key BLOB CHECK (request_key IS NULL OR (length(request_key) = 32 AND standing = 'pending')),
    profile     TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX node_by_request ON node (request_key)     WHERE standing = 'pending';
CREATE INDEX node_by_expiry         ON node (expires)         WHERE standing = 'pending';
CREATE INDEX node_by_source         ON node (source, expires) WHERE standing = 'pending';
CREATE INDEX node_waiting           ON node (node_id)         WHERE standing IN ('pending', 'unapproved');
CREATE INDEX node_current           ON node (node_id)         WHERE standing <> 'revoked';

CREATE TABLE observation (
    node_id      BLOB NOT NULL PRIMARY KEY,
    last_seen    INTEGER NOT NULL,
    occupancy    INTEGER,
    noise_level  REAL,
    wake_word_fp INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE tally (standing TEXT NOT NULL PRIMARY KEY, nodes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO tally VALUES ('pending', 0), ('unapproved', 0), ('paired', 0), ('muted', 0), ('revoked', 0);
CREATE TABLE pending_of_source (source BLOB NOT NULL PRIMARY KEY, nodes INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TRIGGER node_enters AFTER INSERT ON node BEGIN
    UPDATE tally SET nodes = nodes + 1 WHERE standing = NEW.standing;
END;
CREATE TRIGGER node_moves AFTER UPDATE OF standing ON node WHEN NEW.standing <> OLD.standing BEGIN
    UPDATE tally SET nodes = nodes - 1 WHERE standing = OLD.standing;
    UPDATE tally SET nodes = nodes + 1 WHERE standing = NEW.standing;
END;
CREATE TRIGGER node_goes AFTER DELETE ON node BEGIN
    UPDATE tally SET nodes = nodes - 1 WHERE standing = OLD.standing;
    DELETE FROM observation WHERE node_id = OLD.node_id;
END;

CREATE TRIGGER pending_enters AFTER INSERT ON node WHEN NEW.standing = 'pending' BEGIN
    INSERT INTO pending_of_source VALUES (NEW.source, 1) ON CONFLICT (source) DO UPDATE SET nodes = nodes + 1;
END;
CREATE TRIGGER pending_returns AFTER UPDATE OF standing ON node WHEN NEW.standing = 'pending' AND OLD.standing <> 'pending' BEGIN
    INSERT INTO pending_of_source VALUES (NEW.source, 1) ON CONFLICT (source) DO UPDATE SET nodes = nodes + 1;
END;
CREATE TRIGGER pending_leaves AFTER UPDATE OF standing ON node WHEN OLD.standing = 'pending' AND NEW.standing <> 'pending' BEGIN
    UPDATE pending_of_source SET nodes = nodes - 1 WHERE source = OLD.source;
    DELETE FROM pending_of_source WHERE source = OLD.source AND nodes <= 0;
END;
CREATE TRIGGER pending_goes AFTER DELETE ON node WHEN OLD.standing = 'pending' BEGIN
    UPDATE pending_of_source SET nodes = nodes - 1 WHERE source = OLD.source;
    DELETE FROM pending_of_source WHERE source = OLD.source AND nodes <= 0;
END;
";

/// The second version: nodes may have keys and be paired by them. SQLite cannot change a table's
/// checks, so the table is made anew. The tallies stay. A record that the checks would reject is
/// copied as it is and reported as damaged when it is read.
///
/// A code is dead from the earlier of its expiry and its last use or withdrawal, so one range of an
/// index holds the live ones.
const V2: &str = "
CREATE TABLE node_with_keys (
    seq         INTEGER PRIMARY KEY,
    node_id     BLOB NOT NULL UNIQUE CHECK (length(node_id) = 16),
    name        TEXT NOT NULL,
    room        TEXT NOT NULL,
    address     TEXT NOT NULL,
    asked_at    INTEGER NOT NULL,
    standing    TEXT NOT NULL CHECK (standing IN ('pending', 'unapproved', 'paired', 'muted', 'revoked')),
    expires     INTEGER CHECK ((expires IS NOT NULL) = (standing = 'pending')),
    token_hash  BLOB CHECK (CASE WHEN standing = 'unapproved' THEN token_hash IS NOT NULL
                                 WHEN standing IN ('paired', 'muted') THEN token_hash IS NOT NULL OR static_key IS NOT NULL
                                 ELSE token_hash IS NULL END),
    mode        TEXT CHECK ((mode IS NOT NULL) = (standing IN ('paired', 'muted'))),
    cause       TEXT CHECK ((cause IS NOT NULL) = (standing = 'revoked')),
    version     INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    source      BLOB NOT NULL CHECK (length(source) = 16),
    request_key BLOB CHECK (request_key IS NULL OR (length(request_key) = 32 AND standing = 'pending')),
    static_key  BLOB CHECK (static_key IS NULL OR length(static_key) = 32),
    signing_key BLOB CHECK ((signing_key IS NULL) = (static_key IS NULL) AND (signing_key IS NULL OR length(signing_key) = 32)),
    profile     TEXT NOT NULL
) STRICT;
PRAGMA ignore_check_constraints = ON;
INSERT INTO node_with_keys (seq, node_id, name, room, address, asked_at, standing, expires, token_hash, mode, cause, version,
                            changed_at, source, request_key, profile)
    SELECT seq, node_id, name, room, address, asked_at, standing, expires, token_hash, mode, cause, version,
           changed_at, source, request_key, profile FROM node ORDER BY seq;
PRAGMA ignore_check_constraints = OFF;
DROP TABLE node;
ALTER TABLE node_with_keys RENAME TO node;

CREATE UNIQUE INDEX node_by_request ON node (request_key)     WHERE standing = 'pending';
CREATE UNIQUE INDEX node_by_key     ON node (static_key)      WHERE static_key IS NOT NULL;
CREATE INDEX node_by_expiry         ON node (expires)         WHERE standing = 'pending';
CREATE INDEX node_by_source         ON node (source, expires) WHERE standing = 'pending';
CREATE INDEX node_waiting           ON node (node_id)         WHERE standing IN ('pending', 'unapproved');
CREATE INDEX node_current           ON node (node_id)         WHERE standing <> 'revoked';
CREATE INDEX node_keyed             ON node (node_id)         WHERE static_key IS NOT NULL AND standing <> 'revoked';

CREATE TRIGGER node_enters AFTER INSERT ON node BEGIN
    UPDATE tally SET nodes = nodes + 1 WHERE standing = NEW.standing;
END;
CREATE TRIGGER node_moves AFTER UPDATE OF standing ON node WHEN NEW.standing <> OLD.standing BEGIN
    UPDATE tally SET nodes = nodes - 1 WHERE standing = OLD.standing;
    UPDATE tally SET nodes = nodes + 1 WHERE standing = NEW.standing;
END;
CREATE TRIGGER node_goes AFTER DELETE ON node BEGIN
    UPDATE tally SET nodes = nodes - 1 WHERE standing = OLD.standing;
    DELETE FROM observation WHERE node_id = OLD.node_id;
END;

CREATE TRIGGER pending_enters AFTER INSERT ON node WHEN NEW.standing = 'pending' BEGIN
    INSERT INTO pending_of_source VALUES (NEW.source, 1) ON CONFLICT (source) DO UPDATE SET nodes = nodes + 1;
END;
CREATE TRIGGER pending_returns AFTER UPDATE OF standing ON node WHEN NEW.standing = 'pending' AND OLD.standing <> 'pending' BEGIN
    INSERT INTO pending_of_source VALUES (NEW.source, 1) ON CONFLICT (source) DO UPDATE SET nodes = nodes + 1;
END;
CREATE TRIGGER pending_leaves AFTER UPDATE OF standing ON node WHEN OLD.standing = 'pending' AND NEW.standing <> 'pending' BEGIN
    UPDATE pending_of_source SET nodes = nodes - 1 WHERE source = OLD.source;
    DELETE FROM pending_of_source WHERE source = OLD.source AND nodes <= 0;
END;
CREATE TRIGGER pending_goes AFTER DELETE ON node WHEN OLD.standing = 'pending' BEGIN
    UPDATE pending_of_source SET nodes = nodes - 1 WHERE source = OLD.source;
    DELETE FROM pending_of_source WHERE source = OLD.source AND nodes <= 0;
END;

CREATE TABLE granted (
    seq        INTEGER PRIMARY KEY,
    grant_id   BLOB NOT NULL UNIQUE CHECK (length(grant_id) = 16),
    node_id    BLOB NOT NULL CHECK (length(node_id) = 16),
    state      TEXT NOT NULL CHECK (state IN ('offered', 'active', 'ended')),
    until      INTEGER CHECK ((until IS NOT NULL) = (state = 'offered')),
    ended_at   INTEGER CHECK ((ended_at IS NOT NULL) = (state = 'ended')),
    capability BLOB CHECK (capability IS NULL OR length(capability) = 32),
    not_before INTEGER NOT NULL,
    expires    INTEGER,
    scopes     TEXT NOT NULL
) STRICT;

CREATE INDEX granted_by_node       ON granted (node_id, seq);
CREATE INDEX granted_open          ON granted (node_id, seq) WHERE state <> 'ended';
CREATE INDEX granted_by_capability ON granted (capability, state) WHERE capability IS NOT NULL;
CREATE INDEX granted_by_end        ON granted (ended_at) WHERE state = 'ended';

CREATE TABLE revocation (
    what       TEXT NOT NULL CHECK (what IN ('block', 'key')),
    id         BLOB NOT NULL CHECK (length(id) = 32),
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (what, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE pairing_window (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    opened_at INTEGER,
    closes    INTEGER CHECK (closes IS NULL OR opened_at IS NOT NULL),
    guesses   INTEGER NOT NULL,
    strays    INTEGER NOT NULL
) STRICT;
INSERT INTO pairing_window VALUES (1, NULL, NULL, 0, 0);

CREATE TABLE code (
    seq        INTEGER PRIMARY KEY,
    code_id    BLOB NOT NULL UNIQUE CHECK (length(code_id) = 16),
    pin_for    BLOB CHECK (pin_for IS NULL OR length(pin_for) = 32),
    selector   TEXT CHECK ((selector IS NULL) = (pin_for IS NOT NULL)),
    expires    INTEGER NOT NULL,
    dead_since INTEGER NOT NULL,
    guesses    INTEGER NOT NULL,
    uses_left  INTEGER NOT NULL,
    grant_for  INTEGER,
    created_at INTEGER NOT NULL,
    label      TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    sealed     BLOB CHECK (sealed IS NULL OR uses_left > 0)
) STRICT;

CREATE INDEX code_by_death    ON code (dead_since);
CREATE INDEX code_unerased    ON code (dead_since)           WHERE sealed IS NOT NULL;
CREATE INDEX code_pins        ON code (dead_since)           WHERE pin_for IS NOT NULL;
CREATE INDEX code_by_pin      ON code (pin_for, dead_since)  WHERE pin_for IS NOT NULL;
CREATE INDEX code_by_selector ON code (selector, dead_since) WHERE selector IS NOT NULL;

CREATE TABLE vault (name TEXT NOT NULL PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

#[cfg(test)]
mod tests;
