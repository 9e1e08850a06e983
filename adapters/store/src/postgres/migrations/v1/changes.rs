//! The log of changes that other gateways must hear of.

/// Triggers write the log, so that no statement can forget it. A request that waits is not in it:
/// nothing that a gateway remembers rests on one, and anybody can make many. Nor are approvals in
/// advance, which are read for each request, nor tasks that go over to a node with a place: they have
/// ended with the node before.
pub(super) const CHANGES: &str = "
CREATE TABLE change (
    seq     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid     XID8 NOT NULL DEFAULT pg_current_xact_id(),
    kind    TEXT NOT NULL,
    node    BYTEA CHECK (node IS NULL OR length(node) = 16),
    gateway TEXT NOT NULL DEFAULT coalesce(current_setting('handfast.gateway', true), ''),
    version BIGINT,
    made_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX change_in_order ON change (xid, seq);
CREATE INDEX change_by_age   ON change (made_at);

CREATE TABLE change_pruned (one SMALLINT PRIMARY KEY CHECK (one = 1), xid XID8 NOT NULL, seq BIGINT NOT NULL);
INSERT INTO change_pruned VALUES (1, '0', 0);

CREATE FUNCTION node_is_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO change (kind, node) VALUES ('node', OLD.node_id);
    ELSE
        INSERT INTO change (kind, node, version) VALUES ('node', NEW.node_id, NEW.version);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER node_is_new AFTER INSERT ON node FOR EACH ROW
    WHEN (NEW.standing <> 'pending') EXECUTE FUNCTION node_is_changed();
CREATE TRIGGER node_is_changed AFTER UPDATE ON node FOR EACH ROW
    WHEN ((OLD.standing <> 'pending' OR NEW.standing <> 'pending')
        AND (OLD.version, OLD.epoch, OLD.ceiling, OLD.ceiling_expires) IS DISTINCT FROM (NEW.version, NEW.epoch, NEW.ceiling, NEW.ceiling_expires))
    EXECUTE FUNCTION node_is_changed();
CREATE TRIGGER node_is_gone AFTER DELETE ON node FOR EACH ROW
    WHEN (OLD.standing <> 'pending') EXECUTE FUNCTION node_is_changed();

CREATE FUNCTION changes_a_node() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO change (kind, node) VALUES (TG_ARGV[0], NEW.node_id); RETURN NULL; END $$;
CREATE TRIGGER grant_is_changed AFTER INSERT OR UPDATE OF state ON granted FOR EACH ROW EXECUTE FUNCTION changes_a_node('grant');
CREATE TRIGGER certificate_is_changed AFTER INSERT OR UPDATE OF state ON certificate FOR EACH ROW EXECUTE FUNCTION changes_a_node('certificate');
CREATE TRIGGER counter_is_changed AFTER INSERT OR UPDATE OF condition ON clone_counter FOR EACH ROW EXECUTE FUNCTION changes_a_node('clone');
CREATE TRIGGER dispatch_is_queued AFTER INSERT ON dispatch FOR EACH ROW EXECUTE FUNCTION changes_a_node('dispatch');

CREATE FUNCTION changes_something() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO change (kind) VALUES (TG_ARGV[0]); RETURN NULL; END $$;
CREATE TRIGGER something_is_revoked AFTER INSERT ON revocation FOR EACH ROW EXECUTE FUNCTION changes_something('revocation');
CREATE TRIGGER certificate_key_is_revoked AFTER INSERT ON revoked_certificate_key FOR EACH ROW EXECUTE FUNCTION changes_something('certificate');
CREATE TRIGGER session_is_changed AFTER UPDATE ON session FOR EACH ROW
    WHEN ((OLD.ended_at, OLD.over) IS DISTINCT FROM (NEW.ended_at, NEW.over)) EXECUTE FUNCTION changes_something('session');
CREATE TRIGGER login_is_changed AFTER UPDATE ON login FOR EACH ROW
    WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at) EXECUTE FUNCTION changes_something('login');
CREATE TRIGGER sender_allowed_is_changed AFTER INSERT OR UPDATE OR DELETE ON sender_allowed FOR EACH ROW EXECUTE FUNCTION changes_something('sender');
CREATE TRIGGER sender_blocked_is_changed AFTER INSERT OR UPDATE OR DELETE ON sender_blocked FOR EACH ROW EXECUTE FUNCTION changes_something('sender');
CREATE TRIGGER key_is_changed AFTER UPDATE ON vault FOR EACH ROW EXECUTE FUNCTION changes_something('key');
";
