//! A node that is provisioned with NetworkManager as its radio. NetworkManager is played on a bus of
//! its own, with the states and reasons that were measured of real radios.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::played::PlayedNetworkManager;
use crate::provisioning::{Center, Node, request};
use crate::support::program::{Home, Program};

/// Flags of an access point with WPA2, and with WPA3.
const WPA2: u32 = 0x188;
const WPA3: u32 = 0x488;
/// The network that is joined.
const HOME: &str = "HomeNetwork";
/// What comes before every end of an attempt.
const AGAIN: [(u32, u32); 5] = [(40, 0), (50, 0), (60, 8), (40, 0), (50, 0)];

fn access_point(strength: u8, rsn: u32) -> Value {
    json!({ "strength": strength, "flags": u8::from(rsn != 0), "rsn": rsn })
}

fn home() -> Value {
    json!({ HOME: access_point(92, WPA2) })
}

/// Finds the profile of a call that adds or updates one.
fn profile(call: &[Value]) -> &Value {
    &call[1]
}

fn adds(call: &[Value], mode: &str) -> bool {
    call[0] == "AddAndActivateConnection2" && profile(call)["802-11-wireless"]["mode"] == mode
}

fn joins(call: &[Value]) -> bool {
    adds(call, "infrastructure")
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn networks_in_reach_are_listed_with_their_security_and_their_strength_in_dbm() {
    let manager = PlayedNetworkManager::start(&json!({ "networks": {
        HOME: access_point(92, WPA2),
        "Cafe": access_point(30, 0),
        "New": access_point(50, WPA3),
        "Both": access_point(60, WPA2 | WPA3),
        "Office": access_point(70, 0x288),
    }}))
    .await;
    let node = Node::start_with_radio(manager.radio()).await;
    let listed = node.get("/api/v1/scan-networks").await.1;
    let network = |ssid, signal, security| json!({ "ssid": ssid, "signal_strength": signal, "security": security });
    assert_eq!(
        listed["networks"],
        json!([
            network(HOME, -45, "WPA2"),
            network("Office", -58, "WPA-EAP"),
            network("Both", -64, "WPA2/WPA3"),
            network("New", -70, "WPA3"),
            network("Cafe", -82, "OPEN"),
        ])
    );
    assert!(manager.calls().await.contains(&vec![json!("RequestScan"), json!({})]));
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn the_access_point_is_what_radios_accept_and_ends_with_this_process() {
    let manager = PlayedNetworkManager::start(&json!({ "networks": home() })).await;
    let node = Node::start_with_radio(manager.radio()).await;
    let call = manager.until_called(|call| adds(call, "ap")).await;
    assert_eq!(
        profile(&call),
        &json!({
            "connection": { "id": "handfast-node setup", "type": "802-11-wireless",
                "interface-name": "wlan0", "autoconnect": false },
            "802-11-wireless": { "ssid": "jarvis-eb1a2b3c", "mode": "ap", "band": "bg", "channel": 6 },
            "ipv4": { "method": "shared", "never-default": true,
                "address-data": [{ "address": "192.168.4.1", "prefix": 24 }] },
            "ipv6": { "method": "ignore" },
        })
    );
    assert_eq!(call[4], json!({ "persist": "volatile", "bind-activation": "dbus-client" }));
    let catch_all = manager.dnsmasq().join("handfast-node.conf");
    assert_eq!(std::fs::read_to_string(&catch_all).unwrap(), "address=/#/192.168.4.1\n");
    drop(node.restart().await);
    assert!(!catch_all.exists(), "other connections that are shared resolve as before");
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn a_network_that_works_is_saved_and_the_checkpoint_is_destroyed_only_then() {
    let manager = PlayedNetworkManager::start(&json!({ "networks": home() })).await;
    let (center, node) = (Center::start().await, Node::start_with_radio(manager.radio()).await);
    node.provision(&center, HOME, "correct horse").await;
    node.until("PROVISIONED").await;
    node.operates().await;
    let station = manager.until_called(joins).await;
    let given = profile(&station);
    assert_eq!(
        given["802-11-wireless-security"],
        json!({ "key-mgmt": "wpa-psk", "psk": "correct horse" })
    );
    assert_eq!(given["802-11-wireless"]["hidden"], false);
    assert_eq!(
        (&given["connection"]["autoconnect"], &station[4]),
        (&json!(false), &json!({ "persist": "volatile" })),
        "until it has worked it is gone after a restart"
    );
    let wanted = [
        "CheckpointCreate",
        "AddAndActivateConnection2",
        "Update2",
        "CheckpointDestroy",
        "CheckpointRollback",
        "DeactivateConnection",
    ];
    assert_eq!(
        manager.names(&wanted).await,
        [
            "AddAndActivateConnection2",
            "DeactivateConnection",
            "CheckpointCreate",
            "AddAndActivateConnection2",
            "Update2",
            "CheckpointDestroy",
        ],
        "the access point ends before the checkpoint, which covers the whole attempt"
    );
    let calls = manager.calls().await;
    let find = |name: &str| calls.iter().find(|call| call[0] == name).expect("the call");
    let device = "/org/freedesktop/NetworkManager/Devices/wlan0";
    assert_eq!(find("CheckpointCreate")[1..], [json!([device]), json!(120), json!(2)]);
    let saved = find("Update2");
    assert_eq!(
        (&saved[2], &profile(saved)["connection"]["autoconnect"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(profile(saved)["802-11-wireless-security"]["psk"], "correct horse");
}

/// Network, access point, passphrase, states of its attempts, code and words.
type Row = (&'static str, Option<Value>, &'static str, Vec<(u32, u32)>, &'static str, &'static str);

fn rows() -> Vec<Row> {
    let strong = Some(access_point(92, WPA2));
    let far = Some(access_point(20, WPA2));
    let ends = |reason| [&AGAIN[..], &[(120, reason)]].concat();
    let no_address = |reason| [&AGAIN[..], &[(60, 0), (70, 0), (120, reason)]].concat();
    let wrong = "The Wi-Fi password is wrong; type it again";
    let probably = "The Wi-Fi password is probably wrong; type it again";
    let secret = "a wrong secret";
    let not_found =
        "The Wi-Fi network was not found; check its name, and that the node is in reach";
    vec![
        (
            "Wrong",
            strong.clone(),
            secret,
            [&AGAIN[..], &[(60, 8), (120, 7)]].concat(),
            "wrong_password",
            wrong,
        ),
        ("Wrong3", Some(access_point(92, WPA3)), secret, ends(53), "wrong_password", probably),
        (
            "WrongBoth",
            Some(access_point(92, WPA2 | WPA3)),
            secret,
            ends(53),
            "wrong_password",
            probably,
        ),
        ("Short", strong.clone(), "short", vec![], "wrong_password", wrong),
        ("Empty", strong.clone(), "", vec![], "wrong_password", wrong),
        ("Absent", None, secret, ends(53), "network_not_found", not_found),
        ("Vanished", strong.clone(), secret, ends(53), "network_not_found", not_found),
        ("Far", far.clone(), secret, ends(53), "too_weak", ""),
        ("FarTimeout", far, secret, ends(11), "too_weak", ""),
        ("NoIpConfig", strong.clone(), secret, no_address(5), "no_address", ""),
        ("NoDhcp", strong.clone(), secret, no_address(16), "no_address", ""),
        ("DhcpError", strong.clone(), secret, no_address(17), "no_address", ""),
        ("LostInDhcp", strong.clone(), secret, no_address(8), "no_address", ""),
        ("Disconnected", strong.clone(), secret, ends(8), "radio_busy", ""),
        ("NoConfig", strong.clone(), secret, ends(9), "radio_busy", ""),
        ("Failed", strong.clone(), secret, ends(10), "radio_busy", ""),
        ("Timeout", strong, secret, ends(11), "radio_busy", ""),
    ]
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn every_reason_has_its_code_the_profile_is_gone_and_the_access_point_back() {
    let rows = rows();
    let networks: serde_json::Map<_, _> = rows
        .iter()
        .filter_map(|(ssid, point, ..)| point.clone().map(|point| ((*ssid).to_owned(), point)))
        .collect();
    let plays: serde_json::Map<_, _> =
        rows.iter().map(|row| (row.0.to_owned(), json!([row.3]))).collect();
    let parameters = json!({ "networks": networks, "plays": plays });
    let manager = PlayedNetworkManager::start(&parameters).await;
    let (center, node) = (Center::start().await, Node::start_with_radio(manager.radio()).await);
    for (ssid, point, passphrase, states, code, words) in rows {
        let before = manager.calls().await.len();
        node.provision(&center, ssid, passphrase).await;
        let told = node.until("ERROR").await;
        assert_eq!(told["error_code"], code, "{ssid}: {told}");
        assert!(told["error"].as_str().unwrap().contains(words), "{ssid}: {told}");
        node.until_true("hotspot_restored").await;
        let calls = manager.calls().await.split_off(before);
        let count = |name: &str| calls.iter().filter(|call| call[0] == name).count();
        let tries = match (states.is_empty(), code) {
            (true, _) => 0,
            // One failed handshake may be the air's fault.
            (false, "wrong_password") => 2,
            (false, _) => 1,
        };
        assert_eq!(calls.iter().filter(|call| joins(call)).count(), tries, "{ssid}");
        let checkpoints = usize::from(tries > 0);
        assert_eq!(count("CheckpointCreate"), checkpoints, "{ssid}");
        assert_eq!((count("CheckpointRollback"), count("Update2")), (checkpoints, 0), "{ssid}");
        for call in calls.iter().filter(|call| joins(call)) {
            assert_eq!(profile(call)["802-11-wireless"]["hidden"], point.is_none(), "{ssid}");
        }
        let back = calls.iter().rev().find(|call| adds(call, "ap"));
        assert!(back.is_some(), "{ssid}: the access point is back");
    }
    assert!(center.asked().is_empty());
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn after_a_failure_the_second_request_succeeds() {
    let wrong = [&AGAIN[..], &[(60, 8), (120, 7)]].concat();
    let right = [(40, 0), (50, 0), (60, 0), (70, 0), (80, 0), (90, 0), (100, 0)];
    let plays = json!({ HOME: [wrong, wrong, right] });
    let manager = PlayedNetworkManager::start(&json!({ "networks": home(), "plays": plays })).await;
    let (center, node) = (Center::start().await, Node::start_with_radio(manager.radio()).await);
    node.provision(&center, HOME, "a wrong secret").await;
    assert_eq!(node.until("ERROR").await["error_code"], "wrong_password");
    node.until_true("hotspot_restored").await;
    node.provision(&center, HOME, "correct horse").await;
    node.until("PROVISIONED").await;
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn a_login_page_a_refusing_command_center_and_a_leftover_checkpoint_are_rolled_back() {
    let parameters = json!({ "networks": home(), "Connectivity": 2, "leftover": true });
    let manager = PlayedNetworkManager::start(&parameters).await;
    let (center, node) = (Center::start().await, Node::start_with_radio(manager.radio()).await);
    node.provision(&center, HOME, "correct horse").await;
    assert_eq!(node.until("ERROR").await["error_code"], "captive_network");
    node.until_true("hotspot_restored").await;
    let wanted = ["CheckpointCreate", "CheckpointRollback", "Delete", "Update2"];
    assert_eq!(
        manager.names(&wanted).await,
        [
            "CheckpointCreate",
            "CheckpointRollback",
            "CheckpointCreate",
            "Delete",
            "CheckpointRollback"
        ],
        "an attempt that was cut off is rolled back first"
    );
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn a_blocked_radio_is_switched_on_once_its_country_is_known() {
    let parameters = json!({ "networks": home(), "WirelessEnabled": false });
    let manager = PlayedNetworkManager::start(&parameters).await;
    let (node, center) = (Node::start_with_radio(manager.radio()).await, Center::start().await);
    node.until_equals("error_code", "country_missing").await;
    let body = center.body(HOME, "right horse");
    let body = body.replacen('{', r#"{"wifi_country":"DE","#, 1);
    assert_eq!(node.post("/api/v1/provision", &body).await.1["success"], true);
    manager.until_called(joins).await;
    manager.play(&[(40, 0), (50, 0), (60, 0), (70, 0), (80, 0), (90, 0), (100, 0)]).await;
    node.until("PROVISIONED").await;
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn a_blocked_radio_tells_that_its_country_is_missing() {
    let parameters = json!({ "networks": home(), "WirelessEnabled": false });
    let manager = PlayedNetworkManager::start(&parameters).await;
    let (center, node) = (Center::start().await, Node::start_with_radio(manager.radio()).await);
    assert_eq!(node.until_equals("error_code", "country_missing").await["state"], "AP_MODE");
    node.provision(&center, HOME, "correct horse").await;
    assert_eq!(node.until("ERROR").await["error_code"], "country_missing");
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn an_access_point_that_does_not_start_is_a_busy_radio() {
    let parameters = json!({ "networks": home(), "access_point": [[40, 0], [50, 0], [120, 11]] });
    let manager = PlayedNetworkManager::start(&parameters).await;
    let node = Node::start_with_radio(manager.radio()).await;
    assert_eq!(node.until_equals("error_code", "radio_busy").await["state"], "AP_MODE");
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn a_lost_network_is_joined_again_by_its_saved_profile_and_a_restart_disturbs_nothing() {
    let manager = PlayedNetworkManager::start(&json!({ "networks": home() })).await;
    let (center, node) = (Center::start().await, Node::start_with_radio(manager.radio()).await);
    node.provision(&center, HOME, "correct horse").await;
    node.until("PROVISIONED").await;
    node.operates().await;
    let node = node.restart_with_radio(manager.radio()).await;
    node.until("PROVISIONED").await;
    let before = manager.names(&["ActivateConnection", "AddAndActivateConnection2"]).await.len();
    assert_eq!(before, 2, "the access point and the join; none after the restart");
    manager.play(&[(100, 0), (110, 4), (40, 0)]).await;
    let call = manager.until_called(|call| call[0] == "ActivateConnection").await;
    assert_eq!(call[1], "handfast-node: HomeNetwork");
    let calls = manager.calls().await;
    assert_eq!(calls.iter().filter(|call| joins(call)).count(), 1);
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn a_factory_reset_removes_the_saved_profile_and_another_network_replaces_it() {
    let networks = json!({ HOME: access_point(92, WPA2), "Other": access_point(80, WPA3) });
    let manager = PlayedNetworkManager::start(&json!({ "networks": networks })).await;
    let (center, node) = (Center::start().await, Node::start_with_radio(manager.radio()).await);
    for ssid in [HOME, "Other"] {
        node.provision(&center, ssid, "correct horse").await;
        node.until("PROVISIONED").await;
        node.operates().await;
        manager
            .until_called(|call| {
                call[0] == "Update2"
                    && profile(call)["connection"]["id"] == format!("handfast-node: {ssid}")
            })
            .await;
    }
    let deleted = |ssid: &str| {
        let id = format!("handfast-node: {ssid}");
        move |call: &[Value]| call[0] == "Delete" && call[1] == id
    };
    manager.until_called(deleted(HOME)).await;
    assert_eq!(node.post("/api/v1/factory-reset", "").await.1["success"], true);
    manager.until_called(deleted("Other")).await;
}

#[tokio::test]
#[ignore = "needs dbus-daemon and python3-dbusmock"]
async fn the_program_takes_networkmanager_from_the_dialects_variable_and_logs_no_passphrase() {
    let manager = PlayedNetworkManager::start(&json!({ "networks": home() })).await;
    let (home, center) = (Home::new(), Center::start().await);
    let mut program = Program::start_line(&format!(
        "/usr/bin/env RUST_LOG=trace JARVIS_WIFI_BACKEND=networkmanager JARVIS_PROVISIONING_PORT=0 \
         DBUS_SYSTEM_BUS_ADDRESS={} handfast-node provision --plain --listen 127.0.0.1 \
         --dnsmasq-directory {} --state {}",
        manager.address(),
        manager.dnsmasq().display(),
        home.state()
    ));
    let line = program.says("Provisioning at http://").await;
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.expect("an address").parse().expect("an address");
    let body = center.body(HOME, "nobody reads this");
    assert_eq!(request(address, "POST", "/api/v1/provision", &body).await.1["success"], true);
    program.says("Provisioning complete!").await;
    program.signal(Signal::TERM);
    let ended = program.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.said.contains("nobody reads"), "{}", ended.said);
}
