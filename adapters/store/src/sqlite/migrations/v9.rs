//! The ninth version: operators' sessions and tokens, and what they made.

/// The migration.
///
/// **Logins.** `expires_at` is the end in force, which each use moves, and `ends_at` the latest
/// end. `run` is the process that made the row, `use_run` the one that set the end in force.
/// `ended_at` is computed, so that no row can contradict itself.
///
/// **Makers.** Codes and the open window name the login that made them, in a column of their own:
/// what a companion's session made ends in other ways.
pub(super) const V9: &str = "
CREATE TABLE login (
    login_id   BLOB NOT NULL PRIMARY KEY CHECK (length(login_id) = 16),
    kind       TEXT NOT NULL CHECK (kind IN ('session', 'token')),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'owner')),
    made_at    INTEGER NOT NULL,
    used_at    INTEGER,
    used_from  TEXT,
    expires_at INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    revoked_at INTEGER,
    run        INTEGER NOT NULL DEFAULT 0,
    use_run    INTEGER NOT NULL DEFAULT 0,
    ended_at   INTEGER NOT NULL GENERATED ALWAYS AS (min(expires_at, ends_at, coalesce(revoked_at, expires_at))) VIRTUAL
) STRICT;

CREATE INDEX login_by_end ON login (ended_at);
CREATE TRIGGER login_has_run AFTER INSERT ON login BEGIN
    UPDATE login SET run = (SELECT run FROM time_kept), use_run = (SELECT run FROM time_kept)
    WHERE login_id = NEW.login_id;
END;

PRAGMA ignore_check_constraints = ON;
ALTER TABLE code ADD COLUMN login BLOB CHECK (login IS NULL OR (length(login) = 16 AND maker IS NULL));
ALTER TABLE pairing_window ADD COLUMN opened_login BLOB CHECK (opened_login IS NULL OR (length(opened_login) = 16 AND opened_by IS NULL));
PRAGMA ignore_check_constraints = OFF;

CREATE INDEX code_by_login ON code (login) WHERE login IS NOT NULL;
";
