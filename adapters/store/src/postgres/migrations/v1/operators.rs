//! The tables of codes, sessions, senders, and the audit log.

/// The pairing window, PINs and codes, and approvals in advance.
pub(super) const CODES: &str = "
CREATE TABLE pairing_window (
    one          SMALLINT PRIMARY KEY CHECK (one = 1),
    opened_at    BIGINT,
    closes       BIGINT CHECK (closes IS NULL OR opened_at IS NOT NULL),
    guesses      BIGINT NOT NULL,
    strays       BIGINT NOT NULL,
    opened_by    BYTEA CHECK (opened_by IS NULL OR length(opened_by) = 16),
    opened_login BYTEA CHECK (opened_login IS NULL OR (length(opened_login) = 16 AND opened_by IS NULL)),
    run          BIGINT NOT NULL DEFAULT 0
);
INSERT INTO pairing_window (one, guesses, strays) VALUES (1, 0, 0);
CREATE TRIGGER window_has_run BEFORE UPDATE OF opened_at ON pairing_window FOR EACH ROW
    WHEN (NEW.opened_at IS DISTINCT FROM OLD.opened_at OR NEW.closes IS DISTINCT FROM OLD.closes)
    EXECUTE FUNCTION has_run();

CREATE TABLE pin_guesses (
    source  BYTEA PRIMARY KEY CHECK (length(source) = 16),
    guesses BIGINT NOT NULL CHECK (guesses > 0)
);

CREATE TABLE code (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code_id    BYTEA NOT NULL UNIQUE CHECK (length(code_id) = 16),
    pin_for    BYTEA CHECK (pin_for IS NULL OR length(pin_for) = 32),
    selector   TEXT CHECK ((selector IS NULL) = (pin_for IS NOT NULL)),
    expires    BIGINT NOT NULL,
    dead_since BIGINT NOT NULL,
    guesses    BIGINT NOT NULL,
    uses_left  BIGINT NOT NULL,
    grant_for  BIGINT,
    created_at BIGINT NOT NULL,
    label      TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    sealed     BYTEA CHECK (sealed IS NULL OR uses_left > 0),
    maker      BYTEA CHECK (maker IS NULL OR length(maker) = 16),
    source     BYTEA CHECK (source IS NULL OR length(source) = 16),
    provisions TEXT CHECK (provisions IS NULL OR selector = ''),
    login      BYTEA CHECK (login IS NULL OR (length(login) = 16 AND maker IS NULL)),
    run        BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX code_by_death    ON code (dead_since);
CREATE INDEX code_unerased    ON code (dead_since)           WHERE sealed IS NOT NULL;
CREATE INDEX code_pins        ON code (dead_since)           WHERE pin_for IS NOT NULL;
CREATE INDEX code_by_pin      ON code (pin_for, dead_since)  WHERE pin_for IS NOT NULL;
CREATE INDEX code_by_selector ON code (selector, dead_since) WHERE selector IS NOT NULL;
CREATE INDEX code_by_maker    ON code (maker)                WHERE maker IS NOT NULL;
CREATE INDEX code_by_login    ON code (login)                WHERE login IS NOT NULL;
CREATE TRIGGER code_has_run BEFORE INSERT ON code FOR EACH ROW EXECUTE FUNCTION has_run();

CREATE TABLE approval_policy (
    policy_id BYTEA PRIMARY KEY CHECK (length(policy_id) = 16),
    net       TEXT NOT NULL,
    made_at   BIGINT NOT NULL,
    ends_at   BIGINT NOT NULL,
    most      BIGINT NOT NULL CHECK (most > 0),
    used      BIGINT NOT NULL CHECK (used BETWEEN 0 AND most),
    scopes    TEXT,
    grant_for BIGINT,
    maker     BYTEA CHECK (maker IS NULL OR length(maker) = 16),
    login     BYTEA CHECK (login IS NULL OR (length(login) = 16 AND maker IS NULL)),
    ended_at  BIGINT,
    run       BIGINT NOT NULL DEFAULT 0
);
CREATE TRIGGER approval_policy_has_run BEFORE INSERT ON approval_policy FOR EACH ROW EXECUTE FUNCTION has_run();
";

/// Companions' sessions, spent setup codes, and operators' logins.
pub(super) const SESSIONS: &str = "
CREATE FUNCTION has_both_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.run := (SELECT run FROM time_kept); NEW.end_run := NEW.run; RETURN NEW; END $$;
CREATE FUNCTION end_has_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.end_run := (SELECT run FROM time_kept); RETURN NEW; END $$;

CREATE TABLE session (
    seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id   BYTEA NOT NULL UNIQUE CHECK (length(session_id) = 16),
    hash         BYTEA NOT NULL UNIQUE CHECK (length(hash) = 32),
    profile      TEXT NOT NULL,
    device_label TEXT,
    issued_at    BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    revoked_at   BIGINT,
    over         BOOLEAN NOT NULL DEFAULT FALSE,
    maker        BYTEA CHECK (maker IS NULL OR length(maker) = 16),
    prolonged_by BYTEA CHECK (prolonged_by IS NULL OR length(prolonged_by) = 16),
    own_end      BIGINT CHECK ((own_end IS NULL) = (prolonged_by IS NULL)),
    renewed      BIGINT,
    run          BIGINT NOT NULL DEFAULT 0,
    end_run      BIGINT NOT NULL DEFAULT 0,
    ended_at     BIGINT NOT NULL GENERATED ALWAYS AS (least(expires_at, coalesce(revoked_at, expires_at))) STORED
);
CREATE INDEX session_by_end       ON session (ended_at, revoked_at, over, issued_at);
CREATE INDEX session_by_maker     ON session (maker)        WHERE maker IS NOT NULL;
CREATE INDEX session_by_prolonger ON session (prolonged_by) WHERE prolonged_by IS NOT NULL;
CREATE TRIGGER session_has_run BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION has_both_runs();
CREATE TRIGGER session_end_has_run BEFORE UPDATE OF expires_at ON session FOR EACH ROW
    WHEN (NEW.expires_at <> OLD.expires_at) EXECUTE FUNCTION end_has_run();

CREATE TABLE spent_setup_code (
    nonce   BYTEA PRIMARY KEY CHECK (length(nonce) = 16),
    expires BIGINT NOT NULL,
    run     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX spent_setup_code_by_end ON spent_setup_code (expires);
CREATE TRIGGER spent_setup_code_has_run BEFORE INSERT ON spent_setup_code FOR EACH ROW EXECUTE FUNCTION has_run();
CREATE TABLE setup_mark (one SMALLINT PRIMARY KEY CHECK (one = 1), mark BIGINT NOT NULL);
INSERT INTO setup_mark VALUES (1, 0);
CREATE FUNCTION spent_setup_code_goes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE setup_mark SET mark = OLD.expires WHERE mark < OLD.expires; RETURN NULL; END $$;
CREATE TRIGGER spent_setup_code_goes AFTER DELETE ON spent_setup_code FOR EACH ROW EXECUTE FUNCTION spent_setup_code_goes();

CREATE TABLE login (
    login_id   BYTEA PRIMARY KEY CHECK (length(login_id) = 16),
    kind       TEXT NOT NULL CHECK (kind IN ('session', 'token')),
    hash       BYTEA NOT NULL CHECK (length(hash) = 32),
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'owner')),
    made_at    BIGINT NOT NULL,
    used_at    BIGINT,
    used_from  TEXT,
    expires_at BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    revoked_at BIGINT,
    run        BIGINT NOT NULL DEFAULT 0,
    use_run    BIGINT NOT NULL DEFAULT 0,
    ended_at   BIGINT NOT NULL GENERATED ALWAYS AS (least(expires_at, ends_at, coalesce(revoked_at, expires_at))) STORED
);
CREATE INDEX login_by_end ON login (ended_at);
CREATE FUNCTION login_has_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.run := (SELECT run FROM time_kept); NEW.use_run := NEW.run; RETURN NEW; END $$;
CREATE TRIGGER login_has_run BEFORE INSERT ON login FOR EACH ROW EXECUTE FUNCTION login_has_run();
";

/// Senders on messaging channels.
pub(super) const SENDERS: &str = "
CREATE TABLE sender_pending (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel    TEXT COLLATE \"C\" NOT NULL CHECK (length(channel) BETWEEN 1 AND 128),
    account    TEXT COLLATE \"C\" NOT NULL CHECK (length(account) BETWEEN 1 AND 128),
    sender     TEXT COLLATE \"C\" NOT NULL CHECK (length(sender) BETWEEN 1 AND 128),
    code       TEXT NOT NULL UNIQUE CHECK (length(code) = 8),
    created_at BIGINT NOT NULL,
    told_at    BIGINT NOT NULL,
    meta       TEXT NOT NULL,
    run        BIGINT NOT NULL DEFAULT 0,
    UNIQUE (channel, account, sender)
);
CREATE INDEX sender_pending_by_age     ON sender_pending (created_at);
CREATE INDEX sender_pending_of_account ON sender_pending (channel, account, created_at);
CREATE TRIGGER sender_pending_has_run BEFORE INSERT ON sender_pending FOR EACH ROW EXECUTE FUNCTION has_run();

CREATE TABLE sender_tally (
    channel TEXT COLLATE \"C\" NOT NULL,
    account TEXT COLLATE \"C\" NOT NULL,
    waiting BIGINT NOT NULL,
    PRIMARY KEY (channel, account)
);
CREATE TABLE sender_total (one SMALLINT PRIMARY KEY CHECK (one = 1), waiting BIGINT NOT NULL);
INSERT INTO sender_total VALUES (1, 0);
CREATE FUNCTION sender_pending_enters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sender_tally AS counted VALUES (NEW.channel, NEW.account, 1)
        ON CONFLICT (channel, account) DO UPDATE SET waiting = counted.waiting + 1;
    UPDATE sender_total SET waiting = waiting + 1;
    RETURN NULL;
END $$;
CREATE FUNCTION sender_pending_goes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sender_tally SET waiting = waiting - 1 WHERE channel = OLD.channel AND account = OLD.account;
    DELETE FROM sender_tally WHERE channel = OLD.channel AND account = OLD.account AND waiting <= 0;
    UPDATE sender_total SET waiting = waiting - 1;
    RETURN NULL;
END $$;
CREATE TRIGGER sender_pending_enters AFTER INSERT ON sender_pending FOR EACH ROW EXECUTE FUNCTION sender_pending_enters();
CREATE TRIGGER sender_pending_goes AFTER DELETE ON sender_pending FOR EACH ROW EXECUTE FUNCTION sender_pending_goes();

CREATE TABLE sender_allowed (
    channel     TEXT COLLATE \"C\" NOT NULL CHECK (length(channel) BETWEEN 1 AND 128),
    account     TEXT COLLATE \"C\" NOT NULL CHECK (length(account) BETWEEN 1 AND 128),
    sender      TEXT COLLATE \"C\" NOT NULL CHECK (length(sender) BETWEEN 1 AND 128),
    approved_at BIGINT NOT NULL,
    via         TEXT NOT NULL,
    until       BIGINT,
    revoked_at  BIGINT,
    run         BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, account, sender)
);
CREATE INDEX sender_allowed_by_sender ON sender_allowed (channel, sender);
CREATE INDEX sender_allowed_by_via    ON sender_allowed (via) WHERE revoked_at IS NULL;
CREATE TRIGGER sender_allowed_has_run BEFORE INSERT OR UPDATE OF approved_at ON sender_allowed FOR EACH ROW EXECUTE FUNCTION has_run();

CREATE TABLE sender_blocked (
    channel    TEXT COLLATE \"C\" NOT NULL CHECK (length(channel) BETWEEN 1 AND 128),
    account    TEXT COLLATE \"C\" NOT NULL CHECK (length(account) <= 128),
    sender     TEXT COLLATE \"C\" NOT NULL CHECK (length(sender) BETWEEN 1 AND 128),
    blocked_at BIGINT NOT NULL,
    PRIMARY KEY (channel, account, sender)
);
CREATE INDEX sender_blocked_by_sender ON sender_blocked (channel, sender);

CREATE TABLE poller (name TEXT PRIMARY KEY, cursor TEXT NOT NULL);
";

/// The audit log.
///
/// Entries are only appended, in the order of their numbers and without a gap. The triggers keep an
/// error of ours from changing the log, not the database's operator.
///
/// The node of an entry is read out of its line. A line holds no text of others, so the member
/// stands nowhere else in it.
pub(super) const AUDIT: &str = "
CREATE TABLE audit (
    number BIGINT PRIMARY KEY CHECK (number >= 0),
    leaf   BYTEA NOT NULL CHECK (length(leaf) = 32),
    line   TEXT NOT NULL,
    node   TEXT GENERATED ALWAYS AS (substring(line FROM '\"node\":\"([0-9a-f-]{36})\"')) STORED
);
CREATE INDEX audit_of_node ON audit (node, number) WHERE node IS NOT NULL;
CREATE FUNCTION audit_continues() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number <> (SELECT coalesce(max(number) + 1, 0) FROM audit) THEN
        RAISE EXCEPTION 'the audit log has no such place';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit log is never changed and never cut'; END $$;
CREATE TRIGGER audit_continues BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_continues();
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_stays();
CREATE TRIGGER audit_is_kept BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();

CREATE TABLE audit_subtree (
    level BIGINT NOT NULL CHECK (level > 0),
    place BIGINT NOT NULL CHECK (place >= 0),
    hash  BYTEA NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, place)
);

CREATE TABLE audit_sender (
    reference BYTEA PRIMARY KEY CHECK (length(reference) = 32),
    salt      BYTEA NOT NULL CHECK (length(salt) = 16),
    channel   TEXT COLLATE \"C\" NOT NULL,
    account   TEXT COLLATE \"C\" NOT NULL,
    sender    TEXT COLLATE \"C\" NOT NULL,
    UNIQUE (channel, account, sender)
);
";
