//! Rejections and irreversible decisions: the node they apply to, the confirmation, and later
//! requests.

use serde_json::{Value, json};

use super::Gateway;

/// Sends a request as a device with this name and profile.
async fn asks(gateway: &Gateway, name: &str, profile: Value) -> Value {
    gateway.says(json!({"type": "pair_request", "friendly_name": name, "room": "Hall", "hardware_profile": profile})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_changes_at_each_try_is_one_request_and_is_approved_as_it_was_shown() {
    let gateway = Gateway::start();
    let first =
        asks(&gateway, "lamp", json!({"try": 0})).await["node_id"].as_str().unwrap().to_owned();
    for number in 1..63 {
        assert_eq!(asks(&gateway, "lamp", json!({"try": number})).await["node_id"], first.as_str());
    }
    let listed = gateway.json(&["list", "--pending"]);
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["devices"][0]["asked_times"], 63);
    asks(&gateway, "lamp", json!({"try": "another"})).await;
    let (code, out, err) = gateway.devices(&["pair", &first]);
    assert!(
        code == 1 && out.is_empty() && err.contains("another") && err.contains("62"),
        "{code} {out} {err}"
    );
    let (code, out, _) = gateway.devices(&["pair", &first]);
    assert!(
        code == 0
            && out.contains("asked 64 times")
            && out.contains("look like one")
            && out.contains("another"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_rejected_may_ask_again_later_and_who_is_rejected_for_good_never() {
    let gateway = Gateway::start();
    let id = asks(&gateway, "lamp", json!({})).await["node_id"].as_str().unwrap().to_owned();
    let (code, out, _) = gateway.devices(&["reject", &id[..4]]);
    assert!(code == 0 && out.contains("may ask again"), "{out}");
    let told = asks(&gateway, "lamp", json!({})).await;
    assert!(
        told["type"] == "error" && told["message"].as_str().unwrap().contains("ask again in"),
        "{told}"
    );
    let shown = gateway.json(&["show", &id]);
    assert!(shown["cause"] == "rejected" && shown["may_ask_at"].is_string(), "{shown}");
    // A neighbour behind the same address is another request.
    let other = asks(&gateway, "door", json!({})).await["node_id"].as_str().unwrap().to_owned();
    let (code, _, err) = gateway.devices(&["reject", "--for-good", &other]);
    assert!(code == 2 && err.contains("--yes"), "{err}");
    let (code, _, err) = gateway.devices(&["reject", "--for-good", "--yes", &other[..5]]);
    assert!(code == 1 && err.contains("6 or more"), "{err}");
    assert_eq!(gateway.devices(&["reject", "--for-good", "--yes", "door"]).0, 0);
    let told = asks(&gateway, "door", json!({})).await;
    assert!(told["message"].as_str().unwrap().contains("for good"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_are_rejected_at_once_and_it_says_how_many() {
    let gateway = Gateway::start();
    for number in 0..5 {
        asks(&gateway, &format!("junk {number}"), json!({})).await;
    }
    asks(&gateway, "lamp", json!({})).await;
    let (code, _, err) = gateway.devices(&["reject", "--all", "--for-good"]);
    assert!(code == 2 && err.contains("--yes"), "{err}");
    assert_eq!(gateway.devices(&["reject"]).0, 2);
    assert_eq!(gateway.devices(&["reject", "--all", "--name", "lamp"]).0, 2);
    assert_eq!(
        gateway.devices(&["reject", "--from", "127.0.0.1/8"]).0,
        2,
        "a network with bits behind its length"
    );
    assert_eq!(gateway.json(&["reject", "--from", "192.0.2.0/24"])["rejected"], 0);
    assert_eq!(gateway.json(&["reject", "--name", "junk 3"])["rejected"], 1);
    let (code, out, _) = gateway.devices(&["reject", "--from", "127.0.0.0/8"]);
    assert!(code == 0 && out.starts_with("5 requests rejected"), "{out}");
    assert_eq!(gateway.json(&["reject", "--all"])["rejected"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_final_never_means_another_node() {
    let gateway = Gateway::start();
    let id = asks(&gateway, "D", json!({})).await["node_id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.devices(&["pair", &id]).0, 0);
    for short in [&id[..1], &id[..5], "d", "C"] {
        let (code, _, err) = gateway.devices(&["unpair", "--yes", short]);
        assert!(code == 1 && err.contains("whole name"), "{short}: {err}");
    }
    // The name of another node is a prefix of the first one's id.
    let name = &id[..7];
    let other = asks(&gateway, name, json!({})).await["node_id"].as_str().unwrap().to_owned();
    let (code, _, err) = gateway.devices(&["unpair", "--yes", name]);
    assert!(code == 1 && err.contains(&id) && err.contains(&other), "{err}");
    assert_eq!(gateway.json(&["show", &id])["standing"], "paired");
    assert_eq!(gateway.devices(&["unpair", "--yes", "D"]).0, 0);
    assert_eq!(gateway.json(&["show", &id])["standing"], "revoked");
    assert_eq!(gateway.json(&["show", &other])["standing"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_goes_on_waiting_keeps_its_id_when_its_entry_is_made_anew() {
    let gateway = Gateway::start_with(&["--pending-for", "1s"]);
    let id = gateway.ask("Kitchen Pi").await;
    assert_eq!(gateway.json(&["show", &id])["standing"], "pending");
    super::nodes::until("the entry is over", || {
        match gateway.json(&["list", "--pending"])["devices"].as_array().unwrap().len() {
            0 => Ok(()),
            waiting => Err(format!("{waiting} wait")),
        }
    });
    assert_eq!(gateway.ask("Kitchen Pi").await, id, "it is the same request");
    let (code, out, err) = gateway.devices(&["pair", &id]);
    assert_eq!(code, 0, "what was shown of it holds: {err}");
    let token = out.lines().next().unwrap().to_owned();
    assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
    assert_ne!(gateway.ask("Kitchen Pi").await, id, "a paired node's id is no other request's");
}
