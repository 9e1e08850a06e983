//! The tables of nodes and of what belongs to them.

/// Nodes, their tallies and readings, and the run that makes rows.
pub(super) const NODES: &str = "
CREATE TABLE time_kept (one SMALLINT PRIMARY KEY CHECK (one = 1), run BIGINT NOT NULL, mark BIGINT);
INSERT INTO time_kept VALUES (1, 0, NULL);
CREATE FUNCTION has_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.run := (SELECT run FROM time_kept); RETURN NEW; END $$;

CREATE TABLE node (
    seq               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id           BYTEA NOT NULL UNIQUE CHECK (length(node_id) = 16),
    name              TEXT COLLATE \"C\" NOT NULL,
    room              TEXT NOT NULL,
    address           TEXT NOT NULL,
    asked_at          BIGINT NOT NULL,
    standing          TEXT NOT NULL CHECK (standing IN ('pending', 'unapproved', 'paired', 'muted', 'revoked')),
    expires           BIGINT CHECK ((expires IS NOT NULL) = (standing = 'pending')),
    token_hash        BYTEA CHECK (CASE WHEN standing = 'unapproved' THEN token_hash IS NOT NULL
                                        WHEN standing IN ('paired', 'muted') THEN token_hash IS NOT NULL OR static_key IS NOT NULL
                                        ELSE token_hash IS NULL END),
    mode              TEXT CHECK ((mode IS NOT NULL) = (standing IN ('paired', 'muted'))),
    cause             TEXT CHECK ((cause IS NOT NULL) = (standing = 'revoked')),
    version           BIGINT NOT NULL,
    changed_at        BIGINT NOT NULL,
    source            BYTEA NOT NULL CHECK (length(source) = 16),
    request_key       BYTEA CHECK (request_key IS NULL OR (length(request_key) = 32 AND standing = 'pending')),
    static_key        BYTEA CHECK (static_key IS NULL OR length(static_key) = 32),
    signing_key       BYTEA CHECK ((signing_key IS NULL) = (static_key IS NULL) AND (signing_key IS NULL OR length(signing_key) = 32)),
    approved_by       BYTEA CHECK (approved_by IS NULL OR length(approved_by) = 16),
    ceiling           TEXT,
    ceiling_expires   BIGINT,
    ceiling_by        BYTEA CHECK (ceiling_by IS NULL OR length(ceiling_by) = 16),
    ceiling_named     BOOLEAN NOT NULL DEFAULT FALSE,
    ceiling_at        BIGINT,
    ceiling_run       BIGINT NOT NULL DEFAULT 0,
    delivery_id       BYTEA CHECK (delivery_id IS NULL OR length(delivery_id) = 16),
    delivery_until    BIGINT CHECK ((delivery_until IS NULL) = (delivery_id IS NULL)),
    fallback          TEXT CHECK (fallback IN ('pending', 'unapproved', 'token')),
    fallback_expires  BIGINT,
    fallback_token    BYTEA,
    fallback_request  BYTEA CHECK (fallback_request IS NULL OR length(fallback_request) = 32),
    asked_permissions TEXT NOT NULL DEFAULT '',
    asked_csr_key     BYTEA CHECK (asked_csr_key IS NULL OR length(asked_csr_key) = 32),
    asked_method      TEXT,
    asks_more         TEXT NOT NULL DEFAULT '',
    epoch             BIGINT NOT NULL DEFAULT 0,
    run               BIGINT NOT NULL DEFAULT 0,
    profile           TEXT NOT NULL
);

CREATE UNIQUE INDEX node_by_request     ON node (request_key)     WHERE standing = 'pending';
CREATE UNIQUE INDEX node_by_key         ON node (static_key)      WHERE static_key IS NOT NULL;
CREATE INDEX node_by_expiry             ON node (expires)         WHERE standing = 'pending';
CREATE INDEX node_by_source             ON node (source, expires) WHERE standing = 'pending';
CREATE INDEX node_waiting               ON node (node_id)         WHERE standing IN ('pending', 'unapproved');
CREATE INDEX node_current               ON node (node_id)         WHERE standing <> 'revoked';
CREATE INDEX node_keyed                 ON node (node_id)         WHERE static_key IS NOT NULL AND standing <> 'revoked';
CREATE INDEX node_by_name               ON node (name, node_id)   WHERE standing <> 'revoked';
CREATE INDEX node_by_approver           ON node (approved_by)     WHERE approved_by IS NOT NULL;
CREATE INDEX node_by_fallback_request   ON node (fallback_request) WHERE fallback_request IS NOT NULL;
CREATE INDEX node_asking_more           ON node (node_id)         WHERE asks_more <> '' AND standing IN ('paired', 'muted');
CREATE INDEX node_by_delivery           ON node (delivery_id)     WHERE delivery_id IS NOT NULL;

CREATE TABLE observation (
    node_id      BYTEA PRIMARY KEY,
    last_seen    BIGINT NOT NULL,
    occupancy    BOOLEAN,
    noise_level  DOUBLE PRECISION,
    wake_word_fp BOOLEAN
);

CREATE TABLE tally (standing TEXT PRIMARY KEY, nodes BIGINT NOT NULL);
INSERT INTO tally VALUES ('pending', 0), ('unapproved', 0), ('paired', 0), ('muted', 0), ('revoked', 0), ('forgotten', 0);
CREATE TABLE pending_of_source (source BYTEA PRIMARY KEY, nodes BIGINT NOT NULL);

CREATE FUNCTION pending_is_counted(of BYTEA, by BIGINT) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pending_of_source AS counted VALUES (of, greatest(by, 0))
        ON CONFLICT (source) DO UPDATE SET nodes = counted.nodes + by;
    DELETE FROM pending_of_source WHERE source = of AND nodes <= 0;
END $$;
CREATE FUNCTION node_is_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE tally SET nodes = nodes - 1 WHERE standing = OLD.standing;
        IF OLD.standing = 'pending' THEN PERFORM pending_is_counted(OLD.source, -1); END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE tally SET nodes = nodes + 1 WHERE standing = NEW.standing;
        IF NEW.standing = 'pending' THEN PERFORM pending_is_counted(NEW.source, 1); END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER node_enters AFTER INSERT ON node FOR EACH ROW EXECUTE FUNCTION node_is_counted();
CREATE TRIGGER node_moves AFTER UPDATE ON node FOR EACH ROW WHEN (NEW.standing <> OLD.standing) EXECUTE FUNCTION node_is_counted();
CREATE TRIGGER node_goes AFTER DELETE ON node FOR EACH ROW EXECUTE FUNCTION node_is_counted();

CREATE TRIGGER node_has_run BEFORE INSERT ON node FOR EACH ROW EXECUTE FUNCTION has_run();
CREATE TRIGGER node_end_has_run BEFORE UPDATE OF expires ON node FOR EACH ROW
    WHEN (NEW.expires IS NOT NULL AND NEW.expires IS DISTINCT FROM OLD.expires AND NEW.expires IS DISTINCT FROM OLD.fallback_expires)
    EXECUTE FUNCTION has_run();
CREATE FUNCTION ceiling_has_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.ceiling_run := (SELECT run FROM time_kept); RETURN NEW; END $$;
CREATE TRIGGER ceiling_has_run BEFORE UPDATE OF ceiling_expires ON node FOR EACH ROW
    WHEN (NEW.ceiling_expires IS NOT NULL AND NEW.ceiling_expires IS DISTINCT FROM OLD.ceiling_expires)
    EXECUTE FUNCTION ceiling_has_run();

CREATE TABLE vault (name TEXT PRIMARY KEY, sealed BYTEA NOT NULL);
";

/// Requests, rejections, deliveries, and nodes that registered over HTTP.
pub(super) const REQUESTS: &str = "
CREATE TABLE asked (
    node_id BYTEA PRIMARY KEY CHECK (length(node_id) = 16),
    times   BIGINT NOT NULL,
    last    BIGINT NOT NULL,
    request BIGINT NOT NULL,
    run     BIGINT NOT NULL DEFAULT 0
);
CREATE TRIGGER asked_has_run BEFORE INSERT ON asked FOR EACH ROW EXECUTE FUNCTION has_run();

CREATE TABLE rejection (
    request_key BYTEA PRIMARY KEY CHECK (length(request_key) = 32),
    node_id     BYTEA NOT NULL CHECK (length(node_id) = 16),
    times       BIGINT NOT NULL,
    until       BIGINT,
    rejected_at BIGINT NOT NULL,
    run         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX rejection_by_end  ON rejection (until)   WHERE until IS NOT NULL;
CREATE INDEX rejection_of_node ON rejection (node_id);
CREATE TRIGGER rejection_has_run BEFORE INSERT ON rejection FOR EACH ROW EXECUTE FUNCTION has_run();

CREATE TABLE delivery (
    delivery_id BYTEA PRIMARY KEY CHECK (length(delivery_id) = 16),
    until       BIGINT NOT NULL,
    what        TEXT NOT NULL CHECK (what IN ('token', 'code', 'setup')),
    subject     BYTEA NOT NULL CHECK (length(subject) = 16),
    expires     BIGINT CHECK ((expires IS NOT NULL) = (what = 'setup')),
    settled     TEXT CHECK (settled IN ('delivered', 'undone')),
    run         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX delivery_under_way ON delivery (until)   WHERE settled IS NULL;
CREATE INDEX delivery_of        ON delivery (subject) WHERE settled IS NULL;
CREATE INDEX delivery_settled   ON delivery (until)   WHERE settled IS NOT NULL;
CREATE TRIGGER delivery_has_run BEFORE INSERT ON delivery FOR EACH ROW EXECUTE FUNCTION has_run();

CREATE TABLE provisioned (
    node_id  BYTEA PRIMARY KEY CHECK (length(node_id) = 16),
    external TEXT NOT NULL,
    key_id   BYTEA NOT NULL UNIQUE CHECK (length(key_id) = 16),
    key_hash BYTEA NOT NULL CHECK (length(key_hash) = 32)
);
CREATE INDEX provisioned_as ON provisioned (external);
";

/// Grants, revocations, certificates and clone counters.
pub(super) const GRANTS: &str = "
CREATE TABLE granted (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    grant_id   BYTEA NOT NULL UNIQUE CHECK (length(grant_id) = 16),
    node_id    BYTEA NOT NULL CHECK (length(node_id) = 16),
    state      TEXT NOT NULL CHECK (state IN ('offered', 'active', 'ended')),
    until      BIGINT CHECK ((until IS NOT NULL) = (state = 'offered')),
    ended_at   BIGINT CHECK ((ended_at IS NOT NULL) = (state = 'ended')),
    capability BYTEA CHECK (capability IS NULL OR length(capability) = 32),
    not_before BIGINT NOT NULL,
    expires    BIGINT,
    scopes     TEXT NOT NULL,
    maker      BYTEA CHECK (maker IS NULL OR length(maker) = 16),
    moved      BIGINT NOT NULL DEFAULT 0,
    run        BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX granted_by_node       ON granted (node_id, seq);
CREATE INDEX granted_open          ON granted (node_id, seq) WHERE state <> 'ended';
CREATE INDEX granted_by_capability ON granted (capability, state) WHERE capability IS NOT NULL;
CREATE INDEX granted_by_end        ON granted (ended_at) WHERE state = 'ended';
CREATE INDEX granted_by_maker      ON granted (maker) WHERE maker IS NOT NULL;
CREATE TRIGGER granted_has_run BEFORE INSERT ON granted FOR EACH ROW EXECUTE FUNCTION has_run();

CREATE TABLE revocation (
    what       TEXT NOT NULL CHECK (what IN ('block', 'key')),
    id         BYTEA NOT NULL CHECK (length(id) = 32),
    revoked_at BIGINT NOT NULL,
    PRIMARY KEY (what, id)
);
CREATE FUNCTION key_is_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE tally SET nodes = nodes + 1 WHERE standing = 'forgotten'; RETURN NULL; END $$;
CREATE TRIGGER key_is_revoked AFTER INSERT ON revocation FOR EACH ROW WHEN (NEW.what = 'key') EXECUTE FUNCTION key_is_revoked();

CREATE TABLE certificate (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial      BYTEA NOT NULL UNIQUE CHECK (length(serial) = 20),
    node_id     BYTEA NOT NULL CHECK (length(node_id) = 16),
    number      BIGINT NOT NULL,
    key         BYTEA NOT NULL CHECK (length(key) = 32),
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    epoch       BIGINT NOT NULL,
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    issued_at   BIGINT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('issued', 'delivered', 'superseded', 'revoked')),
    out_at      BIGINT CHECK ((out_at IS NOT NULL) = (state IN ('superseded', 'revoked'))),
    run         BIGINT NOT NULL DEFAULT 0,
    ended_at    BIGINT NOT NULL GENERATED ALWAYS AS (least(not_after, coalesce(out_at, not_after))) STORED,
    der         BYTEA NOT NULL,
    UNIQUE (node_id, number)
);
CREATE INDEX certificate_current        ON certificate (serial)          WHERE state IN ('issued', 'delivered');
CREATE INDEX certificate_current_of     ON certificate (node_id, number) WHERE state IN ('issued', 'delivered');
CREATE INDEX certificate_by_key         ON certificate (key)             WHERE state IN ('issued', 'delivered');
CREATE INDEX certificate_by_fingerprint ON certificate (fingerprint);
CREATE INDEX certificate_by_end         ON certificate (ended_at);
CREATE TRIGGER certificate_has_run BEFORE INSERT ON certificate FOR EACH ROW EXECUTE FUNCTION has_run();

CREATE TABLE revoked_certificate_key (
    key        BYTEA PRIMARY KEY CHECK (length(key) = 32),
    revoked_at BIGINT NOT NULL
);

CREATE TABLE clone_counter (
    node_id       BYTEA PRIMARY KEY CHECK (length(node_id) = 16),
    confirmed     BIGINT,
    confirmed_at  BIGINT,
    offered       BIGINT,
    offered_at    BIGINT,
    condition     TEXT NOT NULL CHECK (condition IN ('normal', 'quarantined', 'released')),
    address       TEXT,
    linked_at     BIGINT CHECK ((linked_at IS NULL) = (address IS NULL)),
    alarm_address TEXT,
    alarmed_at    BIGINT CHECK ((alarmed_at IS NULL) = (alarm_address IS NULL))
);
CREATE INDEX clone_quarantined ON clone_counter (node_id) WHERE condition = 'quarantined';
";

/// Tasks and capabilities, nodes that took the place of others, the gateway's key as nodes know it,
/// and the end of all that belongs to a node.
pub(super) const TASKS: &str = "
CREATE TABLE dispatch (
    seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dispatch_id  BYTEA NOT NULL UNIQUE CHECK (length(dispatch_id) = 16),
    node_id      BYTEA NOT NULL CHECK (length(node_id) = 16),
    number       BIGINT NOT NULL,
    state        TEXT NOT NULL,
    for_good     BOOLEAN NOT NULL,
    is_open      BOOLEAN NOT NULL,
    ends_by_time BOOLEAN NOT NULL CHECK (ends_by_time <= is_open),
    deadline     BIGINT NOT NULL,
    idempotent   BOOLEAN NOT NULL,
    cancelling   BOOLEAN NOT NULL,
    late         TEXT,
    maker        BYTEA CHECK (maker IS NULL OR length(maker) = 16),
    made_at      BIGINT NOT NULL,
    changed_at   BIGINT NOT NULL,
    run          BIGINT NOT NULL DEFAULT 0,
    max_payload  BIGINT NOT NULL,
    capability   TEXT NOT NULL,
    told_as      TEXT CHECK (told_as IN ('result', 'reason')),
    told         BYTEA CHECK ((told IS NULL) = (told_as IS NULL)),
    input        BYTEA NOT NULL
);
CREATE INDEX dispatch_of        ON dispatch (node_id, number);
CREATE INDEX dispatch_open      ON dispatch (node_id, number) WHERE is_open;
CREATE INDEX dispatch_over_of   ON dispatch (node_id, number) WHERE NOT is_open;
CREATE INDEX dispatch_due       ON dispatch (deadline, seq)   WHERE ends_by_time;
CREATE INDEX dispatch_by_change ON dispatch (changed_at, seq);
CREATE TRIGGER dispatch_has_run BEFORE INSERT ON dispatch FOR EACH ROW EXECUTE FUNCTION has_run();
CREATE TRIGGER dispatch_anew_has_run BEFORE UPDATE OF deadline ON dispatch FOR EACH ROW
    WHEN (NEW.deadline <> OLD.deadline) EXECUTE FUNCTION has_run();

CREATE TABLE capability (
    node_id    BYTEA NOT NULL CHECK (length(node_id) = 16),
    name       TEXT COLLATE \"C\" NOT NULL,
    version    TEXT NOT NULL,
    available  BOOLEAN NOT NULL,
    idempotent BOOLEAN NOT NULL,
    PRIMARY KEY (node_id, name)
);

CREATE TABLE replacement (
    old_id BYTEA PRIMARY KEY CHECK (length(old_id) = 16),
    new_id BYTEA NOT NULL UNIQUE CHECK (length(new_id) = 16 AND new_id <> old_id),
    at     BIGINT NOT NULL
);

CREATE TABLE known_key (
    node_id BYTEA PRIMARY KEY CHECK (length(node_id) = 16),
    key     BYTEA NOT NULL CHECK (length(key) = 32)
);

CREATE FUNCTION node_takes_along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM observation WHERE node_id = OLD.node_id;
    DELETE FROM asked WHERE node_id = OLD.node_id;
    DELETE FROM clone_counter WHERE node_id = OLD.node_id;
    DELETE FROM dispatch WHERE node_id = OLD.node_id;
    DELETE FROM capability WHERE node_id = OLD.node_id;
    DELETE FROM provisioned WHERE node_id = OLD.node_id;
    DELETE FROM replacement WHERE new_id = OLD.node_id;
    DELETE FROM known_key WHERE node_id = OLD.node_id;
    RETURN NULL;
END $$;
CREATE TRIGGER node_takes_along AFTER DELETE ON node FOR EACH ROW EXECUTE FUNCTION node_takes_along();
";
