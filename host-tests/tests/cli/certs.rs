//! The certificates of nodes and their authority, and the quarantine, as an operator sees them.

use super::gateway::Gateway;

#[test]
fn the_authority_is_listed_and_rotated_with_an_overlap_and_without_one() {
    let gateway = Gateway::start();
    let listed = |all: &[&str]| gateway.answer(&[&["certs", "list"], all].concat());
    let first = listed(&[]);
    assert_eq!(first["authority"]["roots"], 1, "{first}");
    assert_eq!(first["items"].as_array().unwrap().len(), 0);
    let (code, out, err) = gateway.verb(&["certs", "rotate"]);
    assert!(code == 0 && out.contains("there is a new root"), "{out}{err}");
    let second = listed(&["--all"]);
    assert_ne!(first["authority"]["fingerprint"], second["authority"]["fingerprint"]);
    assert_eq!(gateway.verb(&["certs", "rotate", "--at-once"]).0, 2, "it asks first");
    assert_eq!(gateway.verb(&["certs", "rotate", "--at-once", "--yes"]).0, 0);
    let third = listed(&[]);
    assert_eq!(third["authority"]["roots"], 1, "{third}");
    assert_ne!(second["authority"]["fingerprint"], third["authority"]["fingerprint"]);
}

#[test]
fn what_names_no_certificate_and_no_quarantine_is_refused_and_says_so() {
    let gateway = Gateway::start();
    let (code, out, _) = gateway.verb(&["certs", "revoke", "--all-before-now", "--yes"]);
    assert!(code == 0 && out.contains("nothing was left to revoke"), "{out}");
    assert_eq!(gateway.verb(&["certs", "revoke", "--yes"]).0, 2, "it says which ones");
    let both = ["certs", "revoke", "--all-before-now", "--key", "00", "--yes"];
    assert_eq!(gateway.verb(&both).0, 2, "one way to name them");
    for wrong in [&["--key", "00"][..], &["--node", "nobody here"], &["00ff"]] {
        let (code, _, err) = gateway.verb(&[&["certs", "revoke", "--yes"], wrong].concat());
        let expected = if wrong[0] == "--key" { 2 } else { 1 };
        assert_eq!(code, expected, "{wrong:?}: {err}");
    }
    let (_state, _running) = super::nodes::paired(&gateway);
    let (code, _, err) = gateway.verb(&["nodes", "release", "Desk"]);
    assert!(code == 1 && err.contains("is in no quarantine"), "{err}");
    let (code, out, err) = gateway.verb(&["nodes", "evict", "Desk"]);
    assert!(code == 0 && out.contains("it may come back"), "{out}{err}");
    super::nodes::until("the node comes back by its key", || {
        let shown = gateway.answer(&["nodes", "describe", "Desk"]);
        if shown["status"] == "online" { Ok(()) } else { Err(shown.to_string()) }
    });
    assert_eq!(gateway.answer(&["status"])["quarantined"], 0);
}
