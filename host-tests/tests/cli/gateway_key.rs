//! The rotation of the gateway's key, with the programs themselves.

use serde_json::Value;

use super::gateway::Gateway;

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed().as_secs() < 30, "{what}: not yet");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn fingerprint(gateway: &Gateway) -> String {
    let (code, out, err) = gateway.verb(&["gateway", "fingerprint"]);
    assert_eq!(code, 0, "{err}");
    out.trim().to_owned()
}

/// Pairs a node by a code, and returns its state.
fn paired(gateway: &Gateway, name: &str) -> tempfile::TempDir {
    let code = gateway.answer(&["codes", "create"])["code"].as_str().unwrap().to_owned();
    let mut node = gateway.node(name, &["--code"]);
    node.types(&code);
    let (ended, said, state) = node.ends_with_its_state();
    assert_eq!(ended, 0, "{said}");
    state
}

#[test]
fn a_new_key_is_taken_by_the_node_that_links_and_the_question_counts_the_others() {
    let gateway = Gateway::start();
    let (here, _away) = (paired(&gateway, "Here"), paired(&gateway, "Away"));
    let before = fingerprint(&gateway);
    gateway.answer(&["codes", "create"]);
    let (code, out, err) = gateway.verb(&["gateway", "rotate-key", "--overlap", "30d"]);
    assert_eq!(code, 0, "{err}");
    let after = fingerprint(&gateway);
    assert_ne!(before, after);
    assert!(out.contains(&format!("fingerprint: {after}")), "{out}");
    assert!(out.contains(&before) && out.contains("taken by 0 of 2 nodes"), "{out}");
    let codes = gateway.answer(&["codes", "list"]);
    assert_eq!(codes["codes"].as_array().map(Vec::len), Some(0), "{codes}");

    // It knows only the older key, and takes the new one over its link.
    let mut node = gateway.run_node(&here);
    let taken = |nodes: u64| {
        let status: Value = gateway.answer(&["status"]);
        status["key_rotation"]["confirmed"] == nodes
    };
    until("the node takes the key", || taken(1));
    let (_, out, _) = gateway.verb(&["status"]);
    assert!(out.contains(&before) && out.contains(&after), "{out}");
    assert!(out.contains("taken by 1 of 2 nodes"), "{out}");
    node.kill();

    let (code, _, err) = gateway.verb(&["gateway", "rotate-key"]);
    assert!(code == 1 || code == 2, "{err}");
    assert!(err.contains("--finish"), "{err}");
    let (code, _, err) = gateway.verb(&["gateway", "rotate-key", "--finish"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("1 node has not taken the new key and loses this gateway"), "{err}");
    let (code, out, err) = gateway.verb(&["gateway", "rotate-key", "--finish", "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&after), "{out}");
    assert!(gateway.answer(&["status"]).get("key_rotation").is_none());
    let log = gateway.answer(&["audit", "list"]);
    let said = |what: &str| {
        let all = log["items"].as_array().unwrap();
        all.iter().filter(|entry| entry["what"] == what && entry["how"] == "gateway-keys").count()
    };
    assert_eq!((said("rotate-key"), said("finish-key-rotation")), (1, 1), "{log}");

    // The key that it was told is the one that it links with.
    let _node = gateway.run_node(&here);
    until("the node links", || gateway.answer(&["status"])["linked"] == 1);
    let (code, _, err) = gateway.verb(&["gateway", "rotate-key", "--finish", "--yes"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("none to finish"), "{err}");
}
