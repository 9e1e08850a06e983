//! A node that is provisioned over its HTTP API, with the simulated radio and a command center, over
//! real sockets and real files.

#![cfg(feature = "provision")]

#[path = "provisioning/network_manager.rs"]
mod network_manager;
#[path = "support/played.rs"]
mod played;
#[path = "support/provisioning.rs"]
mod provisioning;
#[path = "provisioning/settings.rs"]
mod settings;
mod support;

use std::time::Duration;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::{Entropy, crypto::base64url};
use handfast_node::provisioning::SimulatedRadio;
use provisioning::{Center, Node, k2_body, request};
use rustix::process::Signal;
use serde_json::json;
use support::program::{Home, Program, outcome};

#[tokio::test]
async fn a_phone_provisions_a_node_from_info_to_normal_operation() {
    let center = Center::start().await;
    let node = Node::start().await;
    let info = node.get("/api/v1/info").await.1;
    assert_eq!(
        (&info["state"], &info["previously_provisioned"]),
        (&json!("AP_MODE"), &json!(false))
    );
    assert!(info["capabilities"].is_array());
    let networks = node.get("/api/v1/scan-networks").await.1;
    let names: Vec<_> =
        networks["networks"].as_array().unwrap().iter().map(|one| one["ssid"].clone()).collect();
    assert_eq!(names, ["HomeNetwork", "IoT_Network", "Neighbor_5G", "CoffeeShop_Free"]);
    assert_eq!(
        networks["networks"][0],
        json!({ "ssid": "HomeNetwork", "signal_strength": -45, "security": "WPA2" })
    );
    let k2 = node.post("/api/v1/provision/k2", &k2_body("jarvis-1a2b3c4d")).await.1;
    assert_eq!(
        k2,
        json!({ "success": true, "node_id": "jarvis-1a2b3c4d", "kid": "k1", "error": null })
    );
    let (status, answer) = node.provision(&center, "HomeNetwork", "right").await;
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({ "success": true, "message": "Credentials received. Attempting connection..." })
    );
    // The state is never older than the answer.
    assert_eq!(node.status().await["state"], "CONNECTING");
    assert_eq!(
        node.provision(&center, "HomeNetwork", "right").await.1,
        json!({ "success": false, "message": "Provisioning already in progress" })
    );
    let told = node.until("PROVISIONED").await;
    assert_eq!(told["progress_percent"], 100);
    assert_eq!(
        told["message"],
        "Provisioning complete! You can now start the main Jarvis service."
    );
    assert_eq!(
        (&told["error"], &told["registration_status"]),
        (&json!(null), &json!("registered"))
    );
    node.operates().await;
    let asked = center.asked();
    assert_eq!(asked.len(), 1);
    let (token, key) = (&asked[0]["provisioning_token"], &asked[0]["native_key"]);
    assert_eq!((&asked[0]["node_id"], token), (&json!("jarvis-1a2b3c4d"), &json!("prov_1")));
    assert_eq!((&asked[0]["room"], key.as_str().unwrap().len()), (&json!("Kitchen"), 43));
    assert_eq!(node.get("/api/v1/info").await.1["node_id"], "jarvis-1a2b3c4d");
    let refused = node.post("/api/v1/provision/k2", &k2_body("jarvis-1a2b3c4d")).await.1;
    assert_eq!(
        refused["error"],
        "Node is already provisioned. Re-enter pairing mode to update K2."
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_with_its_code_and_the_second_try_succeeds() {
    for (ssid, words) in [
        ("HomeNetwork", "The Wi-Fi password is wrong; type it again"),
        ("IoT_Network", "The Wi-Fi password is probably wrong; type it again"),
    ] {
        let center = Center::start().await;
        let node = Node::start().await;
        node.provision(&center, ssid, "wrong").await;
        let told = node.until("ERROR").await;
        assert_eq!(
            (&told["error_code"], &told["error"]),
            (&json!("wrong_password"), &json!(words))
        );
        assert_eq!(told["progress_percent"], 35);
        let told = node.until_true("hotspot_restored").await;
        assert_eq!((&told["state"], &told["retryable"]), (&json!("ERROR"), &json!(false)));
        assert!(!node.file_names().iter().any(|name| name.ends_with(".enc")), "nothing is left");
        node.provision(&center, ssid, "right").await;
        node.until("PROVISIONED").await;
    }
}

#[tokio::test]
async fn a_blocked_radio_asks_for_its_country_and_is_told_it_at_every_start() {
    let blocked = || Box::new(SimulatedRadio::new(Some("wrong".to_owned())).blocked());
    let center = Center::start().await;
    let node = Node::start_with_radio(blocked()).await;
    let told = node.until_equals("error_code", "country_missing").await;
    assert_eq!((&told["state"], &told["retryable"]), (&json!("AP_MODE"), &json!(false)));
    let in_country = |code: &str| {
        let body = center.body("HomeNetwork", "right");
        body.replacen('{', &format!(r#"{{"wifi_country":"{code}","#), 1)
    };
    for code in ["XX", "", "DE\\ncountry_code=US"] {
        let (status, body) = node.post("/api/v1/provision", &in_country(code)).await;
        assert_eq!((status, &body["detail"][0]["loc"][1]), (422, &json!("wifi_country")), "{body}");
    }
    let taken = node.post("/api/v1/provision", &in_country("de")).await.1;
    assert_eq!(taken["success"], true, "{taken}");
    node.until("PROVISIONED").await;
    let kept = std::fs::read_to_string(node.state().join("provisioning/country")).unwrap();
    assert_eq!(kept, "DE");
    let node = node.restart_with_radio(blocked()).await;
    node.operates().await;
    node.until("PROVISIONED").await;
}

#[tokio::test]
async fn a_network_out_of_reach_a_refusal_and_a_silent_command_center_are_told_apart() {
    let center = Center::start().await;
    let node = Node::start().await;
    node.provision(&center, "Nowhere", "x").await;
    assert_eq!(node.until("ERROR").await["error_code"], "network_not_found");
    node.until_true("hotspot_restored").await;
    center.answer_next(401, json!({ "detail": "Invalid or expired provisioning token" }));
    node.provision(&center, "HomeNetwork", "right").await;
    let told = node.until("ERROR").await;
    assert_eq!(
        told["error"],
        "Command center rejected registration (HTTP 401): Invalid or expired provisioning token"
    );
    assert_eq!(
        (&told["error_code"], &told["registration_status"]),
        (&json!("gateway_refused"), &json!("failed"))
    );
    node.until_true("hotspot_restored").await;
    // A server's own failure is tried again.
    center.answer_next(503, json!({}));
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    assert_eq!(center.asked().len(), 3);
}

#[tokio::test]
async fn a_command_center_of_ours_makes_the_node_link_to_its_gateway() {
    let key = *OwnKeys::generate(&Entropy::from_recorded([3; 64])).channel.public().as_bytes();
    let text: String = base64url::encode_32(&key).into_iter().map(char::from).collect();
    let center = Center::start().await;
    center.name_gateway(&text, "ws://127.0.0.1:9");
    let node = Node::start().await;
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    let kept = std::fs::read_to_string(node.state().join("native.json")).unwrap();
    assert!(kept.contains(&text) && kept.contains("ws://127.0.0.1:9"), "{kept}");
}

#[tokio::test]
async fn a_body_that_is_wrong_is_refused_field_by_field_and_never_repeated() {
    let node = Node::start().await;
    let (status, body) = node
        .post(
            "/api/v1/provision",
            r#"{"wifi_ssid":"H","wifi_password":"top secret","household_id":7,"node_id":"n",
               "command_center_url":"u","provisioning_token":"hidden"}"#,
        )
        .await;
    assert_eq!(status, 422);
    assert_eq!(
        body,
        json!({ "detail": [
            { "type": "missing", "loc": ["body", "room"], "msg": "Field required" },
            { "type": "string_type", "loc": ["body", "household_id"],
              "msg": "Input should be a valid string" },
        ]})
    );
    for (given, kind) in
        [("{", "json_invalid"), ("\"top secret\"", "model_attributes_type"), ("", "missing")]
    {
        let (status, body) = node.post("/api/v1/provision", given).await;
        assert_eq!((status, &body["detail"][0]["type"]), (422, &json!(kind)));
        assert!(!body.to_string().contains("secret"), "{body}");
    }
    let k2 =
        node.post("/api/v1/provision/k2", &k2_body("n").replace("BwcHBwcHBwcH", "****")).await.1;
    assert!(k2["error"].as_str().unwrap().starts_with("Invalid base64url encoding: "), "{k2}");
    let short = r#"{"node_id":"n","kid":"k","k2":"AAAA","created_at":1200}"#;
    let k2 = node.post("/api/v1/provision/k2", short).await.1;
    assert_eq!(
        k2,
        json!({ "success": false, "node_id": null, "kid": null,
                "error": "K2 must be exactly 32 bytes, got 3" })
    );
}

#[tokio::test]
async fn unknown_routes_other_methods_probes_and_the_documents_are_answered() {
    let node = Node::start().await;
    assert_eq!(node.get("/nothing").await, (404, json!({ "detail": "Not Found" })));
    assert_eq!(
        node.get("/api/v1/provision").await,
        (405, json!({ "detail": "Method Not Allowed" }))
    );
    assert_eq!(node.get("/openapi.json").await.1["openapi"], "3.1.0");
    for (path, status, begins) in [
        ("/generate_204", 204, ""),
        ("/hotspot-detect.html", 200, "<HTML><HEAD><TITLE>Success"),
        ("/library/test/success.html", 200, "<HTML><HEAD><TITLE>Success"),
        ("/success.txt", 200, "success\n"),
        ("/docs", 200, "<!doctype html>"),
    ] {
        let (found, _, text) = request(node.address(), "GET", path, "").await;
        assert!(found == status && text.starts_with(begins), "{path}: {found} {text}");
    }
}

#[tokio::test]
async fn a_factory_reset_leaves_k1_and_the_label_and_the_node_can_be_provisioned_again() {
    let center = Center::start().await;
    let node = Node::start().await;
    node.post("/api/v1/provision/k2", &k2_body("jarvis-1a2b3c4d")).await;
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    node.operates().await;
    let k1 = std::fs::read(node.state().join("provisioning/secrets.key")).unwrap();
    let (_, reset) = node.post("/api/v1/factory-reset", "").await;
    assert_eq!(
        reset,
        json!({ "success": true, "error": null, "cleared":
            ["provisioning_marker", "k2_key", "wifi_credentials", "config_credentials"] })
    );
    assert_eq!(node.file_names(), ["label.json", "secrets.key"]);
    assert_eq!(std::fs::read(node.state().join("provisioning/secrets.key")).unwrap(), k1);
    assert_eq!(node.status().await["state"], "AP_MODE");
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
}

#[tokio::test]
async fn a_provisioned_node_moves_to_another_network_and_all_else_stays_as_it_is() {
    let center = Center::start().await;
    let node = Node::start().await;
    let network = |ssid: &str, password: &str| {
        json!({ "wifi_ssid": ssid, "wifi_password": password }).to_string()
    };
    const ROUTE: &str = "/api/v1/provision/network";
    let refused = node.post(ROUTE, &network("IoT_Network", "right")).await.1;
    assert_eq!(
        (&refused["success"], &refused["error_code"]),
        (&json!(false), &json!("not_provisioned"))
    );
    node.post("/api/v1/provision/k2", &k2_body("jarvis-1a2b3c4d")).await;
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    let file = |name: &str| std::fs::read(node.state().join("provisioning").join(name)).unwrap();
    let kept = || ["config.json", "k2.enc", "k2_metadata.json", "secrets.key"].map(file);
    let (before, wifi) = (kept(), file("wifi_credentials.enc"));

    let (status, body) = node.post(ROUTE, r#"{"wifi_ssid":"","wifi_password":7}"#).await;
    assert_eq!((status, body["detail"].as_array().unwrap().len()), (422, 2), "{body}");
    let taken = node.post(ROUTE, &network("IoT_Network", "wrong")).await.1;
    assert_eq!(taken["success"], true, "{taken}");
    assert_eq!(node.status().await["state"], "CONNECTING");
    let told = node.until("ERROR").await;
    assert_eq!(
        (&told["error_code"], &told["registration_status"]),
        (&json!("wrong_password"), &json!("registered"))
    );
    node.until_true("hotspot_restored").await;
    assert!((kept(), file("wifi_credentials.enc")) == (before.clone(), wifi.clone()));

    let taken = node.post(ROUTE, &network("IoT_Network", "right")).await.1;
    assert_eq!(taken["success"], true, "{taken}");
    node.until("PROVISIONED").await;
    node.operates().await;
    assert!(kept() == before, "only the network is another one");
    assert!(file("wifi_credentials.enc") != wifi);
    assert!(!node.file_names().contains(&"network.enc".to_owned()));
    assert_eq!(center.asked().len(), 1);
    let node = node.restart().await;
    node.operates().await;
    assert_eq!(node.get("/api/v1/info").await.1["node_id"], "jarvis-1a2b3c4d");
}

#[tokio::test]
async fn a_factory_reset_in_the_middle_of_a_run_never_shows_an_error() {
    let center = Center::start().await;
    let node = Node::start().await;
    node.provision(&center, "HomeNetwork", "right").await;
    assert_eq!(node.post("/api/v1/factory-reset", "").await.1["success"], true);
    for _ in 0..20 {
        assert_eq!(node.status().await["state"], "AP_MODE");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(center.asked().len(), 0);
}

#[tokio::test]
async fn a_node_that_starts_again_is_what_it_was_and_operates_by_itself() {
    let center = Center::start().await;
    let node = Node::start().await;
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    let node = node.restart().await;
    node.operates().await;
    let told = node.until("PROVISIONED").await;
    assert_eq!(told["progress_percent"], 100);
    assert_eq!(node.get("/api/v1/info").await.1["previously_provisioned"], true);
}

#[tokio::test]
async fn outside_the_setup_window_nothing_is_taken_and_the_button_opens_it() {
    let center = Center::start().await;
    let node = Node::start_with_window(Duration::ZERO).await;
    let (_, answer) = node.provision(&center, "HomeNetwork", "right").await;
    assert_eq!(
        (&answer["success"], &answer["error_code"]),
        (&json!(false), &json!("setup_window_closed"))
    );
    let reset = node.post("/api/v1/factory-reset", "").await.1;
    assert_eq!(reset["error_code"], "setup_window_closed");
    assert_eq!(node.get("/api/v1/info").await.0, 200);
}

#[tokio::test]
async fn the_port_of_a_provisioned_node_closes_with_the_setup_window_and_opens_by_the_button() {
    let center = Center::start().await;
    let node = Node::start().await;
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    node.operates().await;
    let node = node.restart_with_window(Duration::from_secs(8), false).await;
    node.until_closed().await;
    node.press_button();
    assert_eq!(node.until("AP_MODE").await["progress_percent"], 0);
    let k2 = node.post("/api/v1/provision/k2", &k2_body("jarvis-1a2b3c4d")).await.1;
    assert_eq!(k2["success"], true);
}

/// Finds a port that nothing uses.
async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn phones_find_the_page_on_a_second_port_that_closes_with_the_first() {
    let (center, port) = (Center::start().await, free_port().await);
    let node = Node::start_with_captive_port(port, Duration::from_secs(8)).await;
    let captive = ([127, 0, 0, 1], port).into();
    assert_eq!(request(captive, "GET", "/generate_204", "").await.0, 204);
    assert_eq!(request(captive, "GET", "/api/v1/info", "").await.1["state"], "AP_MODE");
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    node.operates().await;
    node.until_closed().await;
    assert!(tokio::net::TcpStream::connect(captive).await.is_err());
}

#[tokio::test]
async fn a_second_port_that_cannot_be_used_is_named_with_what_mends_it_and_the_node_goes_on() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let home = Home::new();
    let mut program = Program::start_line(&format!(
        "handfast-node provision --simulate --listen 127.0.0.1 --port 0 --captive-port {port} \
         --state {}",
        home.state()
    ));
    let line = program.says("cannot be used").await;
    assert!(line.contains(&format!("port {port} ")), "{line}");
    assert!(line.contains("CAP_NET_BIND_SERVICE"), "{line}");
    program.says("Provisioning at http://").await;
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(0));
}

#[tokio::test]
async fn the_program_names_what_it_needs_before_it_serves_the_api() {
    let state = Home::new().state();
    for (options, words) in [(&["--plain"][..], "--wifi none for a node on a cable")] {
        let given = [&["provision", "--state", &state][..], options].concat();
        let ended = outcome(&given).await;
        assert!(ended.code == Some(2) && ended.said.contains(words), "{ended:?}");
    }
}

#[tokio::test]
async fn the_program_takes_the_dialects_variables_and_never_logs_what_it_is_sent() {
    let (home, center) = (Home::new(), Center::start().await);
    let variables = "JARVIS_SIMULATE_PROVISIONING=true JARVIS_PROVISIONING_PORT=0";
    let mut program = Program::start_line(&format!(
        "/usr/bin/env {variables} handfast-node provision --plain --listen 127.0.0.1 --state {}",
        home.state()
    ));
    let line = program.says("Provisioning at http://").await;
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.expect("an address").parse().expect("an address");
    let sent = request(address, "POST", "/api/v1/provision/k2", &k2_body("jarvis-1a2b3c4d")).await;
    assert_eq!(sent.1["success"], true);
    let body = center.body("HomeNetwork", "a passphrase that nobody reads");
    assert_eq!(request(address, "POST", "/api/v1/provision", &body).await.1["success"], true);
    program.says("Provisioning complete!").await;
    program.says("named no gateway of its own").await;
    program.signal(Signal::TERM);
    let ended = program.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for secret in ["nobody reads", "prov_1", "id.secret", "BwcHBwcH"] {
        assert!(!ended.said.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
#[ignore = "needs Python 3.11 and host-tests/interop/requirements.txt"]
async fn the_reference_library_reads_this_nodes_files_and_this_node_reads_its() {
    let center = Center::start().await;
    let node = Node::start().await;
    node.post("/api/v1/provision/k2", &k2_body("jarvis-1a2b3c4d")).await;
    node.provision(&center, "HomeNetwork", "right").await;
    node.until("PROVISIONED").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../host-tests/interop/fernet_files.py");
    let told = std::process::Command::new("python3")
        .arg(script)
        .arg(node.state().join("provisioning"))
        .output()
        .expect("Python runs");
    let (said, failed) =
        (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    let expected = format!("{} HomeNetwork right", "07".repeat(32));
    assert_eq!(said.trim(), expected, "{failed}");
    // The script has written another network, with a password that is wrong there.
    let node = node.restart().await;
    let told = node.until_equals("error_code", "wrong_password").await;
    assert_eq!(told["message"], "Connecting to IoT_Network...");
}
