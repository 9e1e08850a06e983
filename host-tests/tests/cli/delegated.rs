//! Things that a companion's session makes over HTTP are limited by it and end with it: tested with
//! the shipped programs, killed in between.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::companion::Companion;
use super::gateway::Gateway;
use super::setup::started;

/// Profiles: sessions of `helper` mint codes and approve nodes for the lights; those of `codes`
/// mint codes, and have no permissions to give.
const PROFILES: [&str; 5] = [
    "--profile-permissions=helper=admin:/gateway/pairing/codes",
    "--profile-permissions=helper=admin:/gateway/devices/**",
    "--profile-permissions=helper=read:/lights/**",
    "--profile-permissions=codes=admin:/gateway/pairing/codes",
    "--profile-permissions=companion-v1=read:/lights/**",
];

pub(crate) fn session(gateway: &Gateway, profile: &str) -> String {
    let started = started(gateway, &["--profile", profile]);
    let companion = Companion::unpaired();
    let (code, _, err) = companion.pairs(&[started["payload"].as_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    let kept: Value = serde_json::from_slice(&std::fs::read(companion.file()).unwrap()).unwrap();
    kept["session_token"].as_str().unwrap().to_owned()
}

pub(crate) fn post(gateway: &Gateway, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let mut stream = TcpStream::connect(&gateway.address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        gateway.address,
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap())
}

#[test]
fn a_sessions_code_is_no_wider_than_the_session_and_is_out_with_it_after_a_crash_too() {
    let gateway = Gateway::start_with(&PROFILES);
    let codes = "/api/v1/pairing/codes";
    let ten_years = 10 * 365 * 86_400;
    let all = json!({"permissions": {"admin": ["/**"]}, "uses": 255, "expires_seconds": ten_years, "grant_expires_seconds": ten_years});
    let (status, refused) = post(&gateway, codes, &session(&gateway, "codes"), &all);
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("wider_than_yours")));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("admin:/**") && message.contains("have an operator do it"),
        "{message}"
    );

    let helper = session(&gateway, "helper");
    let within = json!({"kind": "typed", "permissions": {"read": ["/lights/**"]}, "uses": 3, "expires_seconds": 600});
    let (status, minted) = post(&gateway, codes, &helper, &within);
    assert_eq!(status, 200, "{minted}");
    let code = minted["code"].as_str().unwrap();
    let mut node = gateway.node("Lamp", &["--code"]);
    node.types(code);
    let (done, said) = node.ends();
    assert_eq!(done, 0, "{said}");
    let sessions = gateway.answer(&["setup", "list"]);
    let sessions = sessions["items"].as_array().unwrap();
    let id = sessions.iter().find(|session| session["profile"] == "helper").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let paired = gateway.answer(&["paired", "list"]);
    let grant = &paired["items"][0]["grants"][0];
    assert_eq!(grant["made_by"], format!("session {id}"), "{paired}");
    let (_, listed, _) = gateway.verb(&["pairing", "list"]);
    assert!(listed.contains(&format!("session {}", &id[..8])), "{listed}");

    let (done, _, err) = gateway.verb(&["setup", "revoke", "--yes", &id]);
    assert_eq!(done, 0, "{err}");
    let is_out = |gateway: &Gateway| {
        let paired = gateway.answer(&["paired", "list"]);
        assert_eq!(paired["items"][0]["grants"], json!([]), "{paired}");
        assert_eq!(gateway.answer(&["pairing", "list"])["codes"], json!([]));
        let mut late = gateway.node("Late", &["--code"]);
        late.types(code);
        let (done, said) = late.ends();
        assert_eq!(done, 1, "{said}");
    };
    is_out(&gateway);
    is_out(&gateway.crash_and_restart_with(&PROFILES));
}

#[test]
fn codes_and_grants_have_bounds_that_are_said_and_can_be_raised() {
    let gateway = Gateway::start();
    for (args, named) in [
        (&["--expires", "25h"][..], "a code lives for 24 hours at most"),
        (&["--grant-for", "401d"], "a grant lives for 400 days at most"),
    ] {
        let mut all = vec!["pairing", "code"];
        all.extend(args);
        let (code, _, err) = gateway.verb(&all);
        assert!(code == 2 && err.contains(named) && err.contains("[pairing]"), "{code}: {err}");
    }
    let gateway = gateway.crash_and_restart_with(&[
        "--code-longest",
        "48h",
        "--grant-longest",
        "500d",
        "--code-uses",
        "2",
    ]);
    assert_eq!(
        gateway
            .verb(&["pairing", "code", "--expires", "25h", "--grant-for", "401d", "--uses", "2"])
            .0,
        0
    );
    let (code, _, err) = gateway.verb(&["pairing", "code", "--uses", "3"]);
    assert!(code == 2 && err.contains("a code is for 2 nodes at most"), "{err}");
}
