//! The third version: companions' sessions, and senders on messaging channels.

/// The migration. The end of a session is computed from its other columns, so that no row can
/// contradict itself; one range of its index holds the live ones. Removing a spent code by any
/// statement raises the mark.
///
/// Triggers count the pending senders of each account and in all. The counts include expired ones,
/// which are few; readers subtract them by an index.
pub(super) const V3: &str = "
CREATE TABLE session (
    seq          INTEGER PRIMARY KEY,
    session_id   BLOB NOT NULL UNIQUE CHECK (length(session_id) = 16),
    hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    profile      TEXT NOT NULL,
    device_label TEXT,
    issued_at    INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    ended_at     INTEGER NOT NULL GENERATED ALWAYS AS (min(expires_at, coalesce(revoked_at, expires_at))) VIRTUAL
) STRICT;

CREATE INDEX session_by_end ON session (ended_at, revoked_at);

CREATE TABLE spent_setup_code (
    nonce   BLOB NOT NULL PRIMARY KEY CHECK (length(nonce) = 16),
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_setup_code_by_end ON spent_setup_code (expires);

CREATE TABLE setup_mark (one INTEGER PRIMARY KEY CHECK (one = 1), mark INTEGER NOT NULL) STRICT;
INSERT INTO setup_mark VALUES (1, 0);

CREATE TRIGGER spent_setup_code_goes AFTER DELETE ON spent_setup_code BEGIN
    UPDATE setup_mark SET mark = OLD.expires WHERE mark < OLD.expires;
END;

CREATE TABLE sender_pending (
    seq        INTEGER PRIMARY KEY,
    channel    TEXT NOT NULL CHECK (length(channel) BETWEEN 1 AND 128),
    account    TEXT NOT NULL CHECK (length(account) BETWEEN 1 AND 128),
    sender     TEXT NOT NULL CHECK (length(sender) BETWEEN 1 AND 128),
    code       TEXT NOT NULL UNIQUE CHECK (length(code) = 8),
    created_at INTEGER NOT NULL,
    told_at    INTEGER NOT NULL,
    meta       TEXT NOT NULL,
    UNIQUE (channel, account, sender)
) STRICT;

CREATE INDEX sender_pending_by_age     ON sender_pending (created_at);
CREATE INDEX sender_pending_of_account ON sender_pending (channel, account, created_at);

CREATE TABLE sender_tally (
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    PRIMARY KEY (channel, account)
) STRICT, WITHOUT ROWID;
CREATE TABLE sender_total (one INTEGER PRIMARY KEY CHECK (one = 1), waiting INTEGER NOT NULL) STRICT;
INSERT INTO sender_total VALUES (1, 0);

CREATE TRIGGER sender_pending_enters AFTER INSERT ON sender_pending BEGIN
    INSERT INTO sender_tally VALUES (NEW.channel, NEW.account, 1)
        ON CONFLICT (channel, account) DO UPDATE SET waiting = waiting + 1;
    UPDATE sender_total SET waiting = waiting + 1;
END;
CREATE TRIGGER sender_pending_goes AFTER DELETE ON sender_pending BEGIN
    UPDATE sender_tally SET waiting = waiting - 1 WHERE channel = OLD.channel AND account = OLD.account;
    DELETE FROM sender_tally WHERE channel = OLD.channel AND account = OLD.account AND waiting <= 0;
    UPDATE sender_total SET waiting = waiting - 1;
END;

CREATE TABLE sender_allowed (
    channel     TEXT NOT NULL CHECK (length(channel) BETWEEN 1 AND 128),
    account     TEXT NOT NULL CHECK (length(account) BETWEEN 1 AND 128),
    sender      TEXT NOT NULL CHECK (length(sender) BETWEEN 1 AND 128),
    approved_at INTEGER NOT NULL,
    via         TEXT NOT NULL,
    until       INTEGER,
    revoked_at  INTEGER,
    PRIMARY KEY (channel, account, sender)
) STRICT, WITHOUT ROWID;

CREATE INDEX sender_allowed_by_sender ON sender_allowed (channel, sender);

CREATE TABLE sender_blocked (
    channel    TEXT NOT NULL CHECK (length(channel) BETWEEN 1 AND 128),
    account    TEXT NOT NULL CHECK (length(account) <= 128),
    sender     TEXT NOT NULL CHECK (length(sender) BETWEEN 1 AND 128),
    blocked_at INTEGER NOT NULL,
    PRIMARY KEY (channel, account, sender)
) STRICT, WITHOUT ROWID;

CREATE INDEX sender_blocked_by_sender ON sender_blocked (channel, sender);

CREATE TABLE poller (name TEXT NOT NULL PRIMARY KEY, cursor TEXT NOT NULL) STRICT, WITHOUT ROWID;
";
