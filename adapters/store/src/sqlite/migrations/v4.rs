//! The fourth version: makers, time, generations, ceilings, deliveries, and the details of
//! requests.

/// The migration, in a section for each concern. A record that the checks would reject is copied as
/// it is and reported as damaged when it is read.
///
/// **Makers.** A thing that a companion's session made has its id; without one, an operator made
/// it. `own_end` is the end that a session would have had without the session that prolonged it.
///
/// **Time.** `run` is the number of the process that made a row, or set its end (`end_run`): the
/// times of what the current one made move with a step of the clock that is taken over. Triggers
/// write it, so that no statement can forget it. `over` is set on a row that was seen to be over;
/// `moved` is the amount by which the times of a grant were moved after its capability was made. A
/// record that the checks would reject is left as it is. A request that waits again because its
/// approval was undone still belongs to the run that admitted it; the end of a ceiling has a run of
/// its own (`ceiling_run`), because it is set later than its row, and `ceiling_at` is the time at
/// which it was set.
///
/// **Generation.** The number of the registry's last commit, and the id of the database. `base` is
/// the number up to which the file itself is known to hold everything; the log on top of it belongs
/// to no file that holds less.
///
/// **Ceilings.** Upper bounds of nodes' permissions. A registry of an older version has it as the
/// newest offer of the node that has not ended: the operator's latest decision holds from now on,
/// whether or not the node ever confirmed it.
///
/// **PINs.** The source that asked for a PIN, and the number of wrong guesses of each source at
/// PINs of the window.
///
/// **Senders on WhatsApp** are spelled with their plus, as in the original's database and lists.
/// Where both spellings exist (a channel of the operator's own may have kept the other one), the
/// revoked or blocked one counts.
///
/// **Deliveries.** A token under delivery stands in its node's row as the hash that counts, and
/// beside it the state to which the node falls back if nobody confirms or uses the token;
/// `fallback_request` finds a request that waits again. A delivery that ended is kept for a while,
/// so that a repeated question gets its outcome.
///
/// **Requests.** The number of times that a request was made, the time at which a rejected one may
/// be made again, and an index of nodes by name. A key whose request was rejected before stays out,
/// as it was decided then.
pub(super) const V4: &str = "
PRAGMA ignore_check_constraints = ON;

ALTER TABLE session ADD COLUMN maker BLOB CHECK (maker IS NULL OR length(maker) = 16);
ALTER TABLE session ADD COLUMN prolonged_by BLOB CHECK (prolonged_by IS NULL OR length(prolonged_by) = 16);
ALTER TABLE session ADD COLUMN own_end INTEGER CHECK ((own_end IS NULL) = (prolonged_by IS NULL));
ALTER TABLE code ADD COLUMN maker BLOB CHECK (maker IS NULL OR length(maker) = 16);
ALTER TABLE granted ADD COLUMN maker BLOB CHECK (maker IS NULL OR length(maker) = 16);
ALTER TABLE node ADD COLUMN approved_by BLOB CHECK (approved_by IS NULL OR length(approved_by) = 16);
ALTER TABLE pairing_window ADD COLUMN opened_by BLOB CHECK (opened_by IS NULL OR length(opened_by) = 16);

CREATE INDEX session_by_maker      ON session (maker)        WHERE maker IS NOT NULL;
CREATE INDEX session_by_prolonger  ON session (prolonged_by) WHERE prolonged_by IS NOT NULL;
CREATE INDEX code_by_maker         ON code (maker)           WHERE maker IS NOT NULL;
CREATE INDEX granted_by_maker      ON granted (maker)        WHERE maker IS NOT NULL;
CREATE INDEX node_by_approver      ON node (approved_by)     WHERE approved_by IS NOT NULL;
CREATE INDEX sender_allowed_by_via ON sender_allowed (via)   WHERE revoked_at IS NULL;

ALTER TABLE node ADD COLUMN ceiling         TEXT;
ALTER TABLE node ADD COLUMN ceiling_expires INTEGER;
ALTER TABLE node ADD COLUMN ceiling_by      BLOB CHECK (ceiling_by IS NULL OR length(ceiling_by) = 16);
ALTER TABLE node ADD COLUMN ceiling_named   INTEGER NOT NULL DEFAULT 0 CHECK (ceiling_named IN (0, 1));
ALTER TABLE node ADD COLUMN ceiling_at      INTEGER;
ALTER TABLE node ADD COLUMN ceiling_run     INTEGER NOT NULL DEFAULT 0;
UPDATE node SET ceiling = (SELECT scopes FROM granted INDEXED BY granted_open
                           WHERE granted.node_id = node.node_id AND state <> 'ended' ORDER BY granted.seq DESC LIMIT 1)
    WHERE static_key IS NOT NULL AND standing IN ('paired', 'muted');

ALTER TABLE code ADD COLUMN source BLOB CHECK (source IS NULL OR length(source) = 16);
ALTER TABLE node ADD COLUMN delivery_id      BLOB CHECK (delivery_id IS NULL OR length(delivery_id) = 16);
ALTER TABLE node ADD COLUMN delivery_until   INTEGER CHECK ((delivery_until IS NULL) = (delivery_id IS NULL));
ALTER TABLE node ADD COLUMN fallback         TEXT CHECK (fallback IN ('pending', 'unapproved', 'token'));
ALTER TABLE node ADD COLUMN fallback_expires INTEGER;
ALTER TABLE node ADD COLUMN fallback_token   BLOB;
ALTER TABLE node ADD COLUMN fallback_request BLOB CHECK (fallback_request IS NULL OR length(fallback_request) = 32);

CREATE TABLE pin_guesses (
    source  BLOB    NOT NULL PRIMARY KEY CHECK (length(source) = 16),
    guesses INTEGER NOT NULL CHECK (guesses > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE asked (
    node_id BLOB NOT NULL PRIMARY KEY CHECK (length(node_id) = 16),
    times   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    request INTEGER NOT NULL,
    run     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TRIGGER asked_goes AFTER DELETE ON node BEGIN
    DELETE FROM asked WHERE node_id = OLD.node_id;
END;

CREATE TABLE rejection (
    request_key BLOB NOT NULL PRIMARY KEY CHECK (length(request_key) = 32),
    node_id     BLOB NOT NULL CHECK (length(node_id) = 16),
    times       INTEGER NOT NULL,
    until       INTEGER,
    rejected_at INTEGER NOT NULL,
    run         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX rejection_by_end  ON rejection (until)   WHERE until IS NOT NULL;
CREATE INDEX rejection_of_node ON rejection (node_id);

UPDATE node SET cause = 'barred' WHERE cause = 'rejected' AND static_key IS NOT NULL;
CREATE INDEX node_by_name ON node (name, node_id) WHERE standing <> 'revoked';

PRAGMA ignore_check_constraints = OFF;

CREATE TABLE time_kept (one INTEGER PRIMARY KEY CHECK (one = 1), run INTEGER NOT NULL, mark INTEGER) STRICT;
INSERT INTO time_kept VALUES (1, 0, NULL);

PRAGMA ignore_check_constraints = ON;
ALTER TABLE node             ADD COLUMN run      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE granted          ADD COLUMN run      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE granted          ADD COLUMN moved    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE code             ADD COLUMN run      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pairing_window   ADD COLUMN run      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session          ADD COLUMN run      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session          ADD COLUMN end_run  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session          ADD COLUMN renewed  INTEGER;
ALTER TABLE session          ADD COLUMN over     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spent_setup_code ADD COLUMN run      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sender_pending   ADD COLUMN run      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sender_allowed   ADD COLUMN run      INTEGER NOT NULL DEFAULT 0;
PRAGMA ignore_check_constraints = OFF;

DROP INDEX session_by_end;
CREATE INDEX session_by_end ON session (ended_at, revoked_at, over, issued_at);

CREATE TRIGGER node_has_run AFTER INSERT ON node BEGIN
    UPDATE node SET run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER node_end_has_run AFTER UPDATE OF expires ON node
    WHEN NEW.expires IS NOT NULL AND NEW.expires IS NOT OLD.expires AND NEW.expires IS NOT OLD.fallback_expires BEGIN
    UPDATE node SET run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER ceiling_has_run AFTER UPDATE OF ceiling_expires ON node
    WHEN NEW.ceiling_expires IS NOT NULL AND NEW.ceiling_expires IS NOT OLD.ceiling_expires BEGIN
    UPDATE node SET ceiling_run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER asked_has_run AFTER INSERT ON asked BEGIN
    UPDATE asked SET run = (SELECT run FROM time_kept) WHERE node_id = NEW.node_id;
END;
CREATE TRIGGER rejection_has_run AFTER INSERT ON rejection BEGIN
    UPDATE rejection SET run = (SELECT run FROM time_kept) WHERE request_key = NEW.request_key;
END;
CREATE TRIGGER granted_has_run AFTER INSERT ON granted BEGIN
    UPDATE granted SET run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER code_has_run AFTER INSERT ON code BEGIN
    UPDATE code SET run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER window_has_run AFTER UPDATE OF opened_at ON pairing_window
    WHEN NEW.opened_at IS NOT OLD.opened_at OR NEW.closes IS NOT OLD.closes BEGIN
    UPDATE pairing_window SET run = (SELECT run FROM time_kept);
END;
CREATE TRIGGER session_has_run AFTER INSERT ON session BEGIN
    UPDATE session SET run = (SELECT run FROM time_kept), end_run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER session_end_has_run AFTER UPDATE OF expires_at ON session WHEN NEW.expires_at <> OLD.expires_at BEGIN
    UPDATE session SET end_run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER spent_setup_code_has_run AFTER INSERT ON spent_setup_code BEGIN
    UPDATE spent_setup_code SET run = (SELECT run FROM time_kept) WHERE nonce = NEW.nonce;
END;
CREATE TRIGGER sender_pending_has_run AFTER INSERT ON sender_pending BEGIN
    UPDATE sender_pending SET run = (SELECT run FROM time_kept) WHERE seq = NEW.seq;
END;
CREATE TRIGGER sender_allowed_has_run AFTER INSERT ON sender_allowed BEGIN
    UPDATE sender_allowed SET run = (SELECT run FROM time_kept)
    WHERE channel = NEW.channel AND account = NEW.account AND sender = NEW.sender;
END;
CREATE TRIGGER sender_allowed_anew_has_run AFTER UPDATE OF approved_at ON sender_allowed BEGIN
    UPDATE sender_allowed SET run = (SELECT run FROM time_kept)
    WHERE channel = NEW.channel AND account = NEW.account AND sender = NEW.sender;
END;
CREATE TABLE generation (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    number   INTEGER NOT NULL CHECK (number >= 0),
    base     INTEGER NOT NULL CHECK (base >= 0),
    database BLOB NOT NULL CHECK (length(database) = 16)
) STRICT;

UPDATE OR IGNORE sender_blocked SET sender = '+' || sender WHERE channel = 'whatsapp' AND sender NOT GLOB '*[^0-9]*';
DELETE FROM sender_blocked WHERE channel = 'whatsapp' AND sender NOT GLOB '*[^0-9]*';
UPDATE sender_allowed AS kept SET revoked_at = (
    SELECT bare.revoked_at FROM sender_allowed AS bare
    WHERE bare.channel = kept.channel AND bare.account = kept.account AND '+' || bare.sender = kept.sender)
    WHERE channel = 'whatsapp' AND revoked_at IS NULL AND EXISTS (
        SELECT 1 FROM sender_allowed AS bare WHERE bare.channel = kept.channel AND bare.account = kept.account
            AND '+' || bare.sender = kept.sender AND bare.revoked_at IS NOT NULL);
UPDATE OR IGNORE sender_allowed SET sender = '+' || sender WHERE channel = 'whatsapp' AND sender NOT GLOB '*[^0-9]*';
DELETE FROM sender_allowed WHERE channel = 'whatsapp' AND sender NOT GLOB '*[^0-9]*';
UPDATE OR IGNORE sender_pending SET sender = '+' || sender WHERE channel = 'whatsapp' AND sender NOT GLOB '*[^0-9]*';
DELETE FROM sender_pending WHERE channel = 'whatsapp' AND sender NOT GLOB '*[^0-9]*';

CREATE INDEX node_by_fallback_request ON node (fallback_request) WHERE fallback_request IS NOT NULL;

CREATE TABLE delivery (
    delivery_id BLOB NOT NULL PRIMARY KEY CHECK (length(delivery_id) = 16),
    until       INTEGER NOT NULL,
    what        TEXT NOT NULL CHECK (what IN ('token', 'code', 'setup')),
    subject     BLOB NOT NULL CHECK (length(subject) = 16),
    expires     INTEGER CHECK ((expires IS NOT NULL) = (what = 'setup')),
    settled     TEXT CHECK (settled IN ('delivered', 'undone')),
    run         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_under_way ON delivery (until)   WHERE settled IS NULL;
CREATE INDEX delivery_of        ON delivery (subject) WHERE settled IS NULL;
CREATE INDEX delivery_settled   ON delivery (until)   WHERE settled IS NOT NULL;
CREATE TRIGGER delivery_has_run AFTER INSERT ON delivery BEGIN
    UPDATE delivery SET run = (SELECT run FROM time_kept) WHERE delivery_id = NEW.delivery_id;
END;
";
