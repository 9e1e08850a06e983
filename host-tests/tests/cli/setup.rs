//! Setup codes and the sessions of companions, from the operator's side and with the shipped
//! programs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::companion::Companion;
use super::gateway::Gateway;

/// Makes a setup code for this gateway.
pub(super) fn start(gateway: &Gateway, more: &[&str]) -> (i32, String, String) {
    let url = format!("ws://{}", gateway.address);
    let mut args = vec!["setup", "start", "--public-url", &url];
    args.extend(more);
    gateway.verb(&args)
}

/// Makes a setup code for this gateway, and returns it as JSON.
pub(super) fn started(gateway: &Gateway, more: &[&str]) -> Value {
    let (code, out, err) = start(gateway, &[more, &["--json"]].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

pub(super) fn payload(gateway: &Gateway) -> String {
    started(gateway, &[])["payload"].as_str().unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_setup_code_is_shown_as_json_in_the_documented_order_and_as_text_with_a_picture() {
    let gateway = Gateway::start();
    let (code, out, err) = start(&gateway, &["--json"]);
    assert_eq!(code, 0, "{err}");
    let keys = ["url", "url_source", "bootstrap_token", "expires_at", "payload"];
    let places: Vec<usize> =
        keys.iter().map(|key| out.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{out}");
    let view: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(view.as_object().unwrap().len(), keys.len(), "{out}");
    assert_eq!(
        (view["url_source"].as_str(), view["url"].as_str()),
        (Some("public"), Some(&*format!("ws://{}/pair", gateway.address)))
    );
    assert!(err.contains("leads to this machine alone"), "{err}");

    let (code, out, _) = start(&gateway, &["--for-device", "Ana's phone", "--ttl-secs", "60"]);
    assert!(
        code == 0 && out.contains('█') && out.contains("Good until ") && out.contains("(in 1:00)"),
        "{out}"
    );
    assert!(
        out.contains("(the public URL)") && out.contains("handfast companion --code -"),
        "{out}"
    );
    let (code, out, _) = start(&gateway, &["--no-qr"]);
    assert!(code == 0 && !out.contains('█') && out.lines().next().unwrap().len() > 200, "{out}");
}

#[test]
fn a_code_too_wide_for_the_terminal_is_a_hint_and_its_image_is_its_owners_alone() {
    let gateway = Gateway::start();
    let (png, svg) = (gateway.data.path().join("code.png"), gateway.data.path().join("code.svg"));
    let long = "ü".repeat(64);
    let (code, out, err) = start(
        &gateway,
        &[
            "--for-device",
            &long,
            "--qr-png",
            png.to_str().unwrap(),
            "--qr-svg",
            svg.to_str().unwrap(),
        ],
    );
    assert!(code == 0 && err.contains("80 columns") && err.contains("--qr-png"), "{err}");
    assert!(!out.contains('█') && out.contains("handfast companion --code -"), "{out}");
    assert!(
        std::fs::read(&png).unwrap().starts_with(b"\x89PNG")
            && std::fs::read_to_string(&svg).unwrap().contains("<svg")
    );
    assert_eq!((mode(&png), mode(&svg)), (0o600, 0o600));
    let (code, _, err) = start(&gateway, &["--qr-png", "code.jpg"]);
    assert!(code == 2 && err.contains(".png"), "{err}");
    let (code, out, err) = start(&gateway, &["--qr-png", "/nowhere/code.png"]);
    assert!(
        code == 1 && out.is_empty() && err.contains("/nowhere/code.png"),
        "no code is shown: {err}"
    );
}

#[test]
fn an_operator_sees_refreshes_and_ends_sessions() {
    let gateway = Gateway::start();
    let (one, two) = (Companion::of(&gateway, "One"), Companion::of(&gateway, "Two"));
    let list = gateway.answer(&["setup", "list"]);
    let sessions = list["items"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{list}");
    let of = |name: &str| {
        sessions.iter().find(|session| session["device_label"] == name).unwrap()["id"]
            .as_str()
            .unwrap()
    };
    let (code, out, _) = gateway.verb(&["setup", "list"]);
    assert!(
        code == 0
            && out.contains("One")
            && out.contains("companion-v1")
            && out.contains(&of("Two")[..8]),
        "{out}"
    );

    assert_eq!(gateway.answer(&["setup", "refresh", &of("One")[..10]])["id"], of("One"));
    let (code, out, _) = gateway.verb(&["setup", "revoke", "--yes", of("One")]);
    assert!(code == 0 && out.contains("\"One\" (companion-v1) ended"), "{out}");
    assert_eq!((one.says(&["status"]).0, two.says(&["status"]).0), (1, 0));
    let (code, _, err) = gateway.verb(&["setup", "refresh", of("One")]);
    assert!(code == 1 && err.contains("companions list"), "{err}");
    assert_eq!(gateway.answer(&["setup", "revoke", "--all", "--yes"])["revoked"], 1);
    assert_eq!(two.says(&["status"]).0, 1);
    assert_eq!(gateway.answer(&["setup", "list"])["items"].as_array().unwrap().len(), 0);
    assert_eq!(gateway.answer(&["setup", "list", "--all"])["items"].as_array().unwrap().len(), 2);
}

#[test]
fn codes_of_an_old_key_stay_good_unless_it_was_stolen() {
    let gateway = Gateway::start();
    let key = gateway.data.path().join("setup.key");
    assert_eq!(mode(&key), 0o600);
    let (before, stolen) = (payload(&gateway), payload(&gateway));
    assert_eq!(gateway.verb(&["setup", "rotate-key"]).0, 0);
    let (code, _, err) = Companion::unpaired().pairs(&[&before]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(gateway.verb(&["setup", "rotate-key", "--at-once"]).0, 0);
    let (code, _, err) = Companion::unpaired().pairs(&[&stolen]);
    assert!(
        code == 1
            && err.contains("\"invalid signature\"")
            && err.contains("handfast companions invite"),
        "{err}"
    );
    let (code, _, err) = Companion::unpaired().pairs(&[&payload(&gateway)]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn what_cannot_be_meant_is_a_usage_error_and_what_is_not_there_is_refused() {
    let gateway = Gateway::start();
    for args in [
        &["--ttl-secs", "29"][..],
        &["--ttl-secs", "86401"],
        &["--profile", " "],
        &["--for-device", "two\nlines"],
        &["--no-qr", "--invert"],
    ] {
        let (code, out, err) = start(&gateway, args);
        assert!(code == 2 && out.is_empty(), "{args:?}: {err}");
    }
    for args in [
        &["setup"][..],
        &["setup", "start", "--public-url", "gateway.example"],
        &["setup", "start", "--public-url", "ws://127.0.0.1:x@evil.example"],
        &["setup", "revoke"],
        &["setup", "revoke", ""],
        &["setup", "revoke", "ab", "--all"],
        &["setup", "revoke", "abcdef"],
        &["setup", "revoke", "--all"],
        &["setup", "revoke", "ab", "--yes"],
        &["setup", "revoke", "no id", "--yes"],
    ] {
        let (code, out, err) = gateway.verb(args);
        assert!(code == 2 && out.is_empty(), "{args:?}: {err}");
    }
    for (args, word) in [
        (&["setup", "start"][..], "--public-url"),
        (&["setup", "start", "--public-url", "ws://gateway.example"], "not encrypted"),
        (&["setup", "revoke", "abcdef", "--yes"], "companions list"),
    ] {
        let (code, out, err) = gateway.verb(args);
        assert!(code == 1 && out.is_empty() && err.contains(word), "{args:?}: {err}");
    }
}

#[test]
fn a_gateway_says_at_the_start_where_companions_reach_it() {
    let near = Gateway::start();
    assert!(
        near.shown().contains("companions: none reach this gateway from other machines"),
        "{}",
        near.shown()
    );
    let far = Gateway::start_with(&["--public-url", "wss://gateway.example"]);
    let said = format!(
        "companions: wss://gateway.example (public); bring one with: handfast companions invite --data {}",
        far.data()
    );
    assert!(far.shown().contains(&said), "{}", far.shown());
    assert_eq!(far.answer(&["setup", "start"])["url"], "wss://gateway.example/pair");
}
