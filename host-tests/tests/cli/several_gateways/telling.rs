//! What commands say where a registry is in a database, and what they leave alone.

use super::super::login::{asks, presses};
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

/// Examines a gateway by its configuration, and returns the names of what was found and all words.
fn examined(data: &str, config: &str) -> (Vec<String>, String) {
    let (_, out, err) =
        text(&run("handfast", &["doctor", "--json", "--config", config, "--data", data]));
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out}{err}"));
    let findings = told["findings"].as_array().unwrap();
    (findings.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect(), out)
}

#[test]
#[ignore = "needs PostgreSQL"]
fn doctor_says_how_a_gateway_of_a_database_is_started_and_whether_its_key_is_the_right_one() {
    let registry = Registry::new();
    let (place, data) = (private_dir(), private_dir());
    let data = data.path().to_str().unwrap();
    let config = place.path().join("handfast.toml").display().to_string();
    let with_key = |key: &str| {
        let lines = format!("store = {:?}\nstore_key = {key:?}\n", registry.address());
        std::fs::write(&config, lines).unwrap();
        examined(data, &config)
    };
    let missing = place.path().join("missing.key").display().to_string();
    let (names, out) = with_key(&missing);
    assert_eq!(names, ["not_running", "no_store_key"]);
    assert!(out.contains(&format!("handfast serve --config {config} --data {data}")), "{out}");
    assert!(out.contains(&format!("handfast store make-key {missing}")), "{out}");

    let mut first = registry.gateway("first");
    assert!(!with_key(&missing).1.contains("make-key"), "the registry has its key by now");
    let foreign = place.path().join("foreign.key").display().to_string();
    assert_eq!(text(&run("handfast", &["store", "make-key", &foreign])).0, 0);
    assert_eq!(with_key(&foreign).0, ["not_running", "wrong_store_key"]);
    assert_eq!(with_key(&registry.key()).0, ["not_running"]);
    // Without its configuration, nothing that is said begins another registry in its place.
    first.running.kill();
    let (_, out, _) = first.verb(&["doctor"]);
    assert!(out.contains("the --config or --store that it had"), "{out}");
    let (_, _, err) = first.verb(&["status"]);
    assert!(err.contains("the --config or --store that it had"), "{err}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn doctor_names_each_gateway_that_is_silent_beyond_its_lease() {
    let registry = Registry::new();
    let [mut one, other] = ["one", "other"].map(|name| registry.gateway(name));
    let state = pair(&one);
    let _node = run_at(&one, &state, &[]);
    assert_eq!(other.verb(&["doctor"]).0, 0);
    one.running.kill();
    let said = until("it is found", || match other.verb(&["doctor"]) {
        (1, out, _) if out.contains("not heard of") => Ok(out),
        (_, out, err) => Err(out + &err),
    });
    let address = &one.address;
    assert!(said.starts_with(&format!("the gateway one, at http://{address} was not")), "{said}");
    let (_, out, _) = other.verb(&["status"]);
    assert!(out.contains("one: not heard of for") && !out.contains("1 link"), "{out}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_login_link_is_told_at_the_gateways_own_address_too_and_refused_with_words_at_another() {
    let registry = Registry::new();
    let named = ["--public-url", "https://gateways.example"];
    let [one, other] = ["one", "other"].map(|name| registry.gateway_with(name, &named));
    let (code, out, err) = one.verb(&["login", "--no-wait", "--no-qr"]);
    assert!(code == 0 && out.contains("https://gateways.example/login#"), "{out}{err}");
    let own = format!("http://{}/login#", one.address);
    let link = out.lines().find(|line| line.starts_with(&own)).expect(&out).to_owned();
    let refused = presses(&other.address, &link);
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("another gateway of the registry made it"), "{}", refused.body);
    let opened = presses(&one.address, &link);
    assert!(opened.status < 300, "{} {}", opened.status, opened.body);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_move_counts_a_node_at_another_gateway_as_linked() {
    let registry = Registry::new();
    let [one, other] = ["one", "other"].map(|name| registry.gateway(name));
    let state = pair(&one);
    let _node = run_at(&one, &state, &[]);
    let (code, out, err) = other.verb(&["nodes", "move", "Desk", "--to", "ws://a.example:8765"]);
    assert!(code == 0 && !out.contains("not linked"), "{out}{err}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_that_is_down_is_not_called_a_full_disk() {
    let registry = Registry::new();
    let gateway = registry.gateway("one");
    registry.server.stop();
    until("it says so at /ready", || match ready(&gateway) {
        said if said.contains("cut off from its registry") => Ok(()),
        said => Err(said),
    });
    assert_ne!(gateway.verb(&["codes", "create", "--read", "/**"]).0, 0);
    assert!(!ready(&gateway).contains("disk"), "{}", ready(&gateway));
}

/// Returns what a gateway answers at `/ready`.
fn ready(gateway: &Gateway) -> String {
    asks(&gateway.address, "GET", "/ready", "", "").body
}
