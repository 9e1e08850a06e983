//! The fifth version: certificates, clone counters, dispatches, and what a request asked for.

/// The migration, in a section for each concern. A record that the checks would reject is left as
/// it is and reported as damaged when it is read.
///
/// **Requests.** The permissions that a node asks for, the key of its certificate request, and the
/// method of its proof. A request of an older version asked for none of these.
///
/// **Certificates.** `ended_at` is computed, so that no row can contradict itself: the earlier of
/// the expiry and of `out_at`, the time at which a certificate was superseded or revoked. The times
/// of a certificate are signed, so they never move with the clock; `run` is the process that issued
/// it, so that a step back ends what lies ahead of the clock. A node's epoch stands in its own row:
/// certificates of an earlier epoch are not valid.
///
/// **Clone counters.** `address` and `linked_at` are those of the last link before an alarm.
///
/// **Dispatches.** `run` is the process that set the deadline, which moves with the clock of that
/// one. `is_open` and `ends_by_time` follow from the state and stand in columns of their own for
/// the indexes of the few dispatches that are not over.
pub(super) const V5: &str = "
PRAGMA ignore_check_constraints = ON;
ALTER TABLE node ADD COLUMN asked_permissions TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN asked_csr_key     BLOB CHECK (asked_csr_key IS NULL OR length(asked_csr_key) = 32);
ALTER TABLE node ADD COLUMN asked_method      TEXT;
ALTER TABLE node ADD COLUMN epoch             INTEGER NOT NULL DEFAULT 0;
PRAGMA ignore_check_constraints = OFF;

CREATE TABLE certificate (
    seq         INTEGER PRIMARY KEY,
    serial      BLOB NOT NULL UNIQUE CHECK (length(serial) = 20),
    node_id     BLOB NOT NULL CHECK (length(node_id) = 16),
    number      INTEGER NOT NULL,
    key         BLOB NOT NULL CHECK (length(key) = 32),
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    epoch       INTEGER NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    issued_at   INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('issued', 'delivered', 'superseded', 'revoked')),
    out_at      INTEGER CHECK ((out_at IS NOT NULL) = (state IN ('superseded', 'revoked'))),
    run         INTEGER NOT NULL DEFAULT 0,
    ended_at    INTEGER NOT NULL GENERATED ALWAYS AS (min(not_after, coalesce(out_at, not_after))) VIRTUAL,
    der         BLOB NOT NULL,
    UNIQUE (node_id, number)
) STRICT;

CREATE INDEX certificate_current        ON certificate (serial)          WHERE state IN ('issued', 'delivered');
CREATE INDEX certificate_current_of     ON certificate (node_id, number) WHERE state IN ('issued', 'delivered');
CREATE INDEX certificate_by_key         ON certificate (key)             WHERE state IN ('issued', 'delivered');
CREATE INDEX certificate_by_fingerprint ON certificate (fingerprint);
CREATE INDEX certificate_by_end         ON certificate (ended_at);
CREATE TRIGGER certificate_has_run AFTER INSERT ON certificate BEGIN
    UPDATE certificate SET run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;

CREATE TABLE revoked_certificate_key (
    key        BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    revoked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clone_counter (
    node_id       BLOB NOT NULL PRIMARY KEY CHECK (length(node_id) = 16),
    confirmed     INTEGER,
    confirmed_at  INTEGER,
    offered       INTEGER,
    offered_at    INTEGER,
    condition     TEXT NOT NULL CHECK (condition IN ('normal', 'quarantined', 'released')),
    address       TEXT,
    linked_at     INTEGER CHECK ((linked_at IS NULL) = (address IS NULL)),
    alarm_address TEXT,
    alarmed_at    INTEGER CHECK ((alarmed_at IS NULL) = (alarm_address IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX clone_quarantined ON clone_counter (node_id) WHERE condition = 'quarantined';
CREATE TRIGGER clone_counter_goes AFTER DELETE ON node BEGIN
    DELETE FROM clone_counter WHERE node_id = OLD.node_id;
END;

CREATE TABLE dispatch (
    seq          INTEGER PRIMARY KEY,
    dispatch_id  BLOB NOT NULL UNIQUE CHECK (length(dispatch_id) = 16),
    node_id      BLOB NOT NULL CHECK (length(node_id) = 16),
    number       INTEGER NOT NULL,
    state        TEXT NOT NULL,
    for_good     INTEGER NOT NULL CHECK (for_good IN (0, 1)),
    is_open      INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    ends_by_time INTEGER NOT NULL CHECK (ends_by_time <= is_open),
    deadline     INTEGER NOT NULL,
    idempotent   INTEGER NOT NULL CHECK (idempotent IN (0, 1)),
    cancelling   INTEGER NOT NULL CHECK (cancelling IN (0, 1)),
    late         TEXT,
    maker        BLOB CHECK (maker IS NULL OR length(maker) = 16),
    made_at      INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL,
    run          INTEGER NOT NULL DEFAULT 0,
    max_payload  INTEGER NOT NULL,
    capability   TEXT NOT NULL,
    told_as      TEXT CHECK (told_as IN ('result', 'reason')),
    told         BLOB CHECK ((told IS NULL) = (told_as IS NULL)),
    input        BLOB NOT NULL
) STRICT;

CREATE INDEX dispatch_of        ON dispatch (node_id, number);
CREATE INDEX dispatch_open      ON dispatch (node_id, number) WHERE is_open = 1;
CREATE INDEX dispatch_over_of   ON dispatch (node_id, number) WHERE is_open = 0;
CREATE INDEX dispatch_due       ON dispatch (deadline, seq)   WHERE ends_by_time = 1;
CREATE INDEX dispatch_by_change ON dispatch (changed_at, seq);
CREATE TRIGGER dispatch_has_run AFTER INSERT ON dispatch BEGIN
    UPDATE dispatch SET run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER dispatch_anew_has_run AFTER UPDATE OF deadline ON dispatch WHEN NEW.deadline <> OLD.deadline BEGIN
    UPDATE dispatch SET run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;

CREATE TABLE capability (
    node_id    BLOB NOT NULL CHECK (length(node_id) = 16),
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    available  INTEGER NOT NULL CHECK (available IN (0, 1)),
    idempotent INTEGER NOT NULL CHECK (idempotent IN (0, 1)),
    PRIMARY KEY (node_id, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER tasks_go AFTER DELETE ON node BEGIN
    DELETE FROM dispatch WHERE node_id = OLD.node_id;
    DELETE FROM capability WHERE node_id = OLD.node_id;
END;
";
