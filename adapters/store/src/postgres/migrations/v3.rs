//! The third version: the gateway's addresses as each node is to know them, and as it has confirmed
//! them.

/// The steps of the migration.
pub(super) const V3: &[&str] = &["
CREATE TABLE node_address (
    node_id   BYTEA PRIMARY KEY CHECK (length(node_id) = 16),
    told      TEXT,
    confirmed TEXT
);

CREATE FUNCTION node_address_goes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM node_address WHERE node_id = OLD.node_id;
    RETURN NULL;
END $$;
CREATE TRIGGER node_address_goes AFTER DELETE ON node FOR EACH ROW EXECUTE FUNCTION node_address_goes();
CREATE TRIGGER node_address_is_told AFTER INSERT OR UPDATE OF told ON node_address FOR EACH ROW
    WHEN (NEW.told IS NOT NULL) EXECUTE FUNCTION changes_a_node('addresses');
"];
