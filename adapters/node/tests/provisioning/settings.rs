//! Settings that a phone reads and pushes under K2, and who tries it without.

use std::time::Duration;

use handfast_core::secret::Secret;
use handfast_node::provisioning::{
    RevisedSettings, SETTINGS_BYTES, SealedSettings, SettingsKey, SettingsPurpose,
};
use serde_json::{Value, json};

use crate::provisioning::{Center, Node, k2_body};
use crate::support::program::{Program, outcome};

const NODE: &str = "jarvis-1a2b3c4d";
const SNAPSHOT: &str = "/api/v1/settings/snapshot";
const PUSH: &str = "/api/v1/settings";

/// The key of a phone: `k2_body` sends the byte 7.
fn phone(node_id: &str, byte: u8) -> SettingsKey {
    SettingsKey::new(node_id.to_owned(), Secret::new([byte; 32]))
}

fn request(key: &SettingsKey) -> String {
    json!(key.seal_for(SettingsPurpose::Request, &json!({})).unwrap()).to_string()
}

fn pushed(key: &SettingsKey, revision: u64, settings: &Value) -> RevisedSettings {
    let sealed = key.seal_for(SettingsPurpose::Push { revision }, settings).unwrap();
    RevisedSettings { revision, sealed }
}

/// Reads the settings as the phone does. Returns them with their revision.
async fn read(node: &Node, key: &SettingsKey) -> (u64, Value) {
    let (status, body) = node.post(SNAPSHOT, &request(key)).await;
    assert_eq!(status, 200, "{body}");
    let snapshot: RevisedSettings = serde_json::from_value(body).unwrap();
    (snapshot.revision, key.open(&snapshot.sealed).unwrap())
}

async fn push(node: &Node, pushed: &RevisedSettings) -> (u16, Value) {
    node.post(PUSH, &json!(pushed).to_string()).await
}

async fn provisioned(node: &Node) {
    let center = Center::start().await;
    node.post("/api/v1/provision/k2", &k2_body(NODE)).await;
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    node.operates().await;
}

#[tokio::test]
async fn a_phone_reads_and_pushes_settings_and_so_does_the_nodes_application() {
    let node = Node::start().await;
    let key = phone(NODE, 7);
    let (status, body) = node.post(SNAPSHOT, &request(&key)).await;
    assert_eq!((status, &body["error_code"]), (409, &json!("no_k2")));
    provisioned(&node).await;
    let (revision, settings) = read(&node, &key).await;
    assert_eq!(settings, json!({}));
    let wanted = json!({ "volume": 7, "name": "Küche 🏡" });
    let (status, body) = push(&node, &pushed(&key, revision + 1, &wanted)).await;
    assert_eq!((status, body), (200, json!({ "revision": revision + 1 })));
    assert_eq!(read(&node, &key).await, (revision + 1, wanted.clone()));
    let file = std::fs::read_to_string(node.state().join("provisioning/settings.enc")).unwrap();
    assert!(!file.contains("volume"), "{file}");

    let state = node.state().display().to_string();
    let shown = outcome(&["settings", "show", "--state", &state]).await;
    assert_eq!(serde_json::from_str::<Value>(shown.said.trim()).unwrap(), wanted);
    let put =
        Program::start_typing(&["settings", "put", "--state", &state], "{\"volume\":3}").await;
    assert_eq!(put.end().await.code, Some(0));
    assert_eq!(read(&node, &key).await, (revision + 2, json!({ "volume": 3 })));
    // It is the same after a restart.
    let node = node.restart().await;
    assert_eq!(read(&node, &key).await, (revision + 2, json!({ "volume": 3 })));
}

#[tokio::test]
async fn who_has_not_k2_reads_and_changes_nothing_and_is_told_no_revision() {
    let node = Node::start().await;
    provisioned(&node).await;
    let key = phone(NODE, 7);
    let (revision, _) = read(&node, &key).await;
    for stranger in [phone(NODE, 8), phone("jarvis-1a2b3c4e", 7)] {
        let (status, body) = node.post(SNAPSHOT, &request(&stranger)).await;
        assert_eq!((status, &body["error_code"]), (403, &json!("not_sealed_for_this_node")));
        for next in [0, revision + 1] {
            let (status, body) = push(&node, &pushed(&stranger, next, &json!({ "a": 1 }))).await;
            assert_eq!((status, &body["error_code"]), (403, &json!("not_sealed_for_this_node")));
            assert_eq!(body["revision"], Value::Null, "{body}");
        }
    }
    // What the node itself has sealed comes back as a push, and a push as a request.
    let snapshot = node.post(SNAPSHOT, &request(&key)).await.1;
    let mut reflected = snapshot.clone();
    reflected["revision"] = json!(revision + 1);
    assert_eq!(node.post(PUSH, &reflected.to_string()).await.0, 403);
    assert_eq!(node.post(SNAPSHOT, &snapshot.to_string()).await.0, 403);
    // The revision is bound to what is sealed.
    let mut moved = pushed(&key, revision + 2, &json!({ "a": 1 }));
    moved.revision = revision + 1;
    assert_eq!(push(&node, &moved).await.0, 403);
    assert_eq!(read(&node, &key).await, (revision, json!({})));
}

#[tokio::test]
async fn a_push_that_comes_again_or_late_or_with_a_used_nonce_is_refused_with_its_reason() {
    let node = Node::start().await;
    provisioned(&node).await;
    let key = phone(NODE, 7);
    let (revision, _) = read(&node, &key).await;
    let first = pushed(&key, revision + 1, &json!({ "a": 1 }));
    assert_eq!(push(&node, &first).await.0, 200);
    for late in
        [first.clone(), pushed(&key, revision, &json!({})), pushed(&key, revision + 3, &json!({}))]
    {
        let (status, body) = push(&node, &late).await;
        assert_eq!((status, &body["error_code"]), (409, &json!("stale_revision")), "{body}");
        assert_eq!(body["revision"], revision + 1);
    }
    assert_eq!(read(&node, &key).await, (revision + 1, json!({ "a": 1 })));
    let with_one_nonce = |revision, settings: Value| {
        let purpose = SettingsPurpose::Push { revision };
        let sealed = key.seal_with(purpose, &settings, [9; 12]).unwrap();
        RevisedSettings { revision, sealed }
    };
    let taken = with_one_nonce(revision + 2, json!({ "a": 2 }));
    assert_eq!(push(&node, &taken).await.0, 200);
    let again = with_one_nonce(revision + 3, json!({ "a": 3 }));
    let (status, body) = push(&node, &again).await;
    assert_eq!((status, &body["error_code"]), (409, &json!("nonce_reused")), "{body}");
    assert_eq!(read(&node, &key).await.1, json!({ "a": 2 }));
}

#[tokio::test]
async fn bodies_that_are_too_long_or_none_are_refused() {
    let node = Node::start().await;
    provisioned(&node).await;
    let key = phone(NODE, 7);
    let (revision, _) = read(&node, &key).await;
    let longest = json!("x".repeat(SETTINGS_BYTES - 2));
    assert_eq!(push(&node, &pushed(&key, revision + 1, &longest)).await.0, 200);
    assert_eq!(read(&node, &key).await, (revision + 1, longest));
    let sealed = key.seal(&json!({})).unwrap();
    let long = SealedSettings { ciphertext: "A".repeat(2 * SETTINGS_BYTES), ..sealed };
    let (status, _, _) = crate::provisioning::request(
        node.address(),
        "POST",
        PUSH,
        &json!(RevisedSettings { revision: revision + 2, sealed: long }).to_string(),
    )
    .await;
    assert_eq!(status, 413);
    for body in ["", "{", "[]", "{\"ciphertext\":\"\"}", "{\"revision\":-1}"] {
        let (status, answer) = node.post(PUSH, body).await;
        assert_eq!((status, &answer["error_code"]), (422, &json!("not_sealed")), "{body}");
    }
    let (status, _) = node.get(PUSH).await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn outside_the_setup_window_only_what_k2_seals_is_served_and_only_if_the_owner_wants_it() {
    let node = Node::start().await;
    provisioned(&node).await;
    let node = node.restart_with_window(Duration::from_secs(8), true).await;
    let (closed, _) = node.until_refused("/api/v1/status").await;
    assert_eq!(closed, 403);
    let key = phone(NODE, 7);
    let (revision, _) = read(&node, &key).await;
    assert_eq!(push(&node, &pushed(&key, revision + 1, &json!({ "a": 1 }))).await.0, 200);
    assert_eq!(node.post(SNAPSHOT, &request(&phone(NODE, 8))).await.0, 403);
    for (path, body) in [
        ("/api/v1/factory-reset", ""),
        ("/api/v1/provision", "{}"),
        ("/api/v1/sealed", ""),
        ("/", ""),
    ] {
        let (status, answer) = node.post(path, body).await;
        assert_eq!((status, &answer["error_code"]), (403, &json!("setup_window_closed")), "{path}");
    }
    node.press_button();
    node.until("AP_MODE").await;
}

#[tokio::test]
async fn another_k2_and_a_factory_reset_end_what_was_shared_before() {
    let node = Node::start().await;
    provisioned(&node).await;
    let key = phone(NODE, 7);
    let (revision, _) = read(&node, &key).await;
    let first = pushed(&key, revision + 1, &json!({ "secret": 1 }));
    assert_eq!(push(&node, &first).await.0, 200);
    // Whoever sends another K2 reads nothing that came under the one before.
    node.press_button();
    node.until("AP_MODE").await;
    let other = k2_body(NODE).replace(
        "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
        "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg",
    );
    assert_eq!(node.post("/api/v1/provision/k2", &other).await.1["success"], true);
    assert_eq!(node.post(SNAPSHOT, &request(&key)).await.0, 403);
    let (_, settings) = read(&node, &phone(NODE, 8)).await;
    assert_eq!(settings, json!({}));
    assert_eq!(node.post("/api/v1/factory-reset", "").await.1["success"], true);
    assert_eq!(node.post(SNAPSHOT, &request(&key)).await.1["error_code"], "no_k2");
    assert!(!node.file_names().contains(&"settings.enc".to_owned()));
    // A push to the node's earlier life does not fit again, though the phone sends the same K2.
    provisioned(&node).await;
    let (_, body) = push(&node, &first).await;
    assert_eq!(body["error_code"], "stale_revision");
}
