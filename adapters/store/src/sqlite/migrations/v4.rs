//! What the fourth version adds.

/// All of it, a section for each concern. A record that the checks would not let in is taken over as it is: that it is spoiled is said where it is read.
///
/// **Makers.** What a companion's session made has its id; nothing there means an operator made it. `own_end` is when a session would have ended that
/// another has prolonged.
///
/// **Generation.** The number of the registry's last commit, and the id of the database. `base` is the number up to which the file itself is known to
/// hold everything; what the log holds on top of it belongs to no file that holds less.
///
/// **PINs.** Who asked for a PIN, and how often each source guessed PINs of the window wrong.
///
/// **Senders on WhatsApp** are spelled with their plus, as the original's database and lists have them. Where both spellings stand (a channel of the operator's
/// own may have kept the other one), what was taken back or blocked counts.
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

ALTER TABLE code ADD COLUMN source BLOB CHECK (source IS NULL OR length(source) = 16);

CREATE TABLE pin_guesses (
    source  BLOB    NOT NULL PRIMARY KEY CHECK (length(source) = 16),
    guesses INTEGER NOT NULL CHECK (guesses > 0)
) STRICT, WITHOUT ROWID;

PRAGMA ignore_check_constraints = OFF;

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
";
