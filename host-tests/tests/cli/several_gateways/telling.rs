//! What commands say where a registry is in a database, and what they leave alone.

use super::*;

#[test]
#[ignore = "needs PostgreSQL"]
fn a_restore_beside_a_gateway_of_a_database_is_refused_and_changes_nothing() {
    let mut alone = Gateway::start();
    let place = private_dir();
    let file = place.path().join("backup.db").display().to_string();
    assert_eq!(alone.verb(&["backup", &file]).0, 0);
    alone.running.kill();
    let registry = Registry::new();
    let gateway = registry.gateway("one");
    for (verb, tool) in [("restore", "pg_restore"), ("backup", "pg_dump")] {
        let (code, out, err) = gateway.verb(&[verb, &file]);
        assert!(code == 1 && out.is_empty() && err.contains(tool), "{verb}: {out}{err}");
    }
    assert!(!gateway.data.path().join("handfast.db").exists());
    assert_eq!(gateway.verb(&["doctor"]).0, 0);
    // A file that lies there all the same is not what the gateway serves.
    std::fs::copy(&file, gateway.data.path().join("handfast.db")).unwrap();
    let (code, out, _) = gateway.verb(&["doctor"]);
    assert!(code == 0 && !out.contains("store.key"), "{out}");
}
