//! The fourth version: other gateways hear of what waits, of codes, and of approvals in advance.

/// The migration. Nothing that a gateway remembers rests on a request that waits or on a code, but
/// their operators see both, and an approval in advance is for those who wait at any gateway. A guess
/// changes nothing that is shown to others, so none is told. Strangers make requests and PINs, so
/// of each there is one change a second at most: a page looks by itself soon after, too.
pub(super) const V4: &[&str] = &["
CREATE INDEX change_by_strangers ON change (kind, made_at) WHERE kind IN ('request', 'code');
CREATE FUNCTION strangers_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO change (kind) SELECT TG_ARGV[0] WHERE NOT EXISTS (
        SELECT FROM change WHERE kind = TG_ARGV[0] AND kind IN ('request', 'code')
            AND made_at > now() - interval '1 second' AND made_at <= now());
    RETURN NULL;
END $$;
CREATE TRIGGER request_is_new AFTER INSERT ON node FOR EACH ROW
    WHEN (NEW.standing = 'pending') EXECUTE FUNCTION strangers_change('request');
CREATE TRIGGER request_is_changed AFTER UPDATE ON node FOR EACH ROW
    WHEN (OLD.standing = 'pending' AND NEW.standing = 'pending' AND OLD.version IS DISTINCT FROM NEW.version)
    EXECUTE FUNCTION strangers_change('request');
CREATE TRIGGER request_is_gone AFTER DELETE ON node FOR EACH ROW
    WHEN (OLD.standing = 'pending') EXECUTE FUNCTION strangers_change('request');
CREATE TRIGGER code_is_new AFTER INSERT ON code FOR EACH ROW EXECUTE FUNCTION strangers_change('code');
CREATE TRIGGER code_is_changed AFTER UPDATE ON code FOR EACH ROW
    WHEN ((OLD.dead_since, OLD.uses_left) IS DISTINCT FROM (NEW.dead_since, NEW.uses_left))
    EXECUTE FUNCTION strangers_change('code');
CREATE TRIGGER policy_is_new AFTER INSERT ON approval_policy FOR EACH ROW EXECUTE FUNCTION changes_something('policy');
CREATE TRIGGER policy_is_changed AFTER UPDATE ON approval_policy FOR EACH ROW
    WHEN ((OLD.used, OLD.ended_at) IS DISTINCT FROM (NEW.used, NEW.ended_at))
    EXECUTE FUNCTION changes_something('policy');
"];
