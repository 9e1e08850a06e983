//! Attackers with few rights that try to get more, and attackers with none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use handfast_core::grant::scope::{Action, Address, Pattern};
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::{App, FromGateway, FromNode};
use handfast_core::wire::native::open::Intent;
use serde_json::{Value, json};

use super::operator::{asks, delivered, gets, posts};
use super::peer::{Peer, handed_on, keys, pairs};
use super::{HOME, STRANGER, address};
use crate::cli::delegated::{post, session};
use crate::cli::gateway::Gateway;

const CODES: &str = "/api/v1/pairing/codes";
/// Profiles: sessions of `codes` mint codes, and have no other permissions to give.
const PROFILES: [&str; 2] = [
    "--profile-permissions=codes=admin:/gateway/pairing/codes",
    "--profile-permissions=companion-v1=read:/lights/**",
];

/// Sends one request with these header lines, and returns the status and the body.
fn request(gateway: &Gateway, line: &str, headers: &[String], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(&gateway.address).unwrap();
    let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head =
        format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{lines}", gateway.address);
    stream
        .write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
        .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn shows(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// Returns everything that an operator sees and that could have been changed.
fn all(gateway: &Gateway) -> Vec<Value> {
    ["devices?filter=all", "paired", "sessions?filter=all", "pairing", "pairing/codes"]
        .map(|what| gets(gateway, &format!("/api/v1/{what}")))
        .into()
}

fn minted(gateway: &Gateway, permissions: &Value) -> Value {
    let minted = posts(gateway, CODES, &json!({"kind": "typed", "permissions": permissions}));
    delivered(gateway, &minted);
    minted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_may_mint_codes_reaches_nothing_else_over_any_route_however_it_is_spelt() {
    let gateway = Gateway::start_with(&PROFILES);
    let token = session(&gateway, "codes");
    let other = session(&gateway, "companion-v1");
    let code = minted(&gateway, &json!({"read": ["/lights/**"]}));
    pairs(address(&gateway), HOME, "Lamp", code["code"].as_str().unwrap()).await;
    let waits = gateway.ask("Waits").await;
    let operators = minted(&gateway, &json!({}))["id"].as_str().unwrap().to_owned();
    let sessions = gets(&gateway, "/api/v1/sessions");
    let ids: Vec<&str> = sessions["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    let before = all(&gateway);

    let reads = [
        "status",
        "clock",
        "devices",
        "devices?filter=all",
        "pairing",
        "paired",
        "paired/Lamp/permissions",
        "sessions",
    ];
    let reads =
        reads.into_iter().chain(["inbound", "extensions", "events", "setup", "nothing", ""]);
    let mut lines: Vec<String> = reads.map(|path| format!("GET /api/v1/{path}")).collect();
    lines.extend([
        format!("GET /api/v1/devices/{waits}"),
        "GET /metrics".to_owned(),
        format!("DELETE {CODES}/{operators}"),
    ]);
    for verb in ["pair", "reject", "unpair", "mute", "unmute", "policy"] {
        lines.push(format!("POST /api/v1/devices/{waits}/{verb}"));
    }
    for path in [
        "clock",
        "devices/reject",
        "pairing",
        "paired/Lamp/permissions",
        "paired/Lamp/revoke",
        "paired/revoke-all",
    ] {
        lines.push(format!("POST /api/v1/{path}"));
    }
    for path in ["setup", "setup/rotate", "sessions/revoke-all", "channels/x/qr", "extensions/call"]
    {
        lines.push(format!("POST /api/v1/{path}"));
    }
    for verb in ["approve", "reject", "block", "unblock", "revoke", "seed", "admit"] {
        lines.push(format!("POST /api/v1/inbound/{verb}"));
    }
    for id in &ids {
        lines
            .extend(["revoke", "refresh"].map(|verb| format!("POST /api/v1/sessions/{id}/{verb}")));
    }
    for verb in ["confirm", "cancel"] {
        lines.push(format!("POST /api/v1/deliveries/{operators}/{verb}"));
    }
    // The same routes in other spellings of an allowed path.
    for path in [
        "pairing/codes/../../devices",
        "pairing/codes/%2e%2e/%2e%2e/devices",
        "pairing/codes%2f..%2f..%2fdevices",
        "pairing%2fcodes/../devices",
        "pairing/codes/..;/devices",
        "pairing//codes",
        "pairing/codes/",
        "deliveries/../devices",
        "deliveries/%2e%2e/devices",
        "Pairing/Codes",
        "%64evices",
        "devices%00",
        "devices?/pairing/codes",
        "devices#/pairing/codes",
    ] {
        lines.extend(
            ["GET", "POST", "PUT", "PATCH", "DELETE"]
                .map(|method| format!("{method} /api/v1/{path}")),
        );
    }
    lines.push(format!("GET http://{}/api/v1/devices", gateway.address));
    lines.push("GET /API/V1/devices".to_owned());
    let bodies = ["", "{}", r#"{"open":true,"for_seconds":300,"all":true,"mode":"muted"}"#];
    let extra = [
        "X-HTTP-Method-Override: GET",
        "X-Original-URL: /api/v1/pairing/codes",
        "X-Forwarded-For: 127.0.0.1",
    ];
    for line in &lines {
        for body in bodies {
            let headers = [shows(&token), extra.map(str::to_owned).join("\r\n")];
            let (status, answer) = request(&gateway, line, &headers, body);
            assert!(
                matches!(status, 400 | 401 | 403 | 404 | 405),
                "{line} {body}: {status} {answer}"
            );
        }
    }
    for (first, second) in [(&token, &other), (&other, &token)] {
        let (status, answer) =
            request(&gateway, "GET /api/v1/devices", &[shows(first), shows(second)], "");
        assert!(matches!(status, 400 | 401 | 403), "{status} {answer}");
    }
    assert_eq!(all(&gateway), before);
    assert_eq!(
        request(&gateway, &format!("GET {CODES}"), &[shows(&token)], "").0,
        200,
        "what it may it still may"
    );
}

#[test]
fn what_a_session_mints_has_no_permission_more_and_no_second_longer_than_it() {
    let gateway = Gateway::start_with(&PROFILES);
    let token = session(&gateway, "codes");
    let (_, own) = request(&gateway, "GET /api/v1/session", &[shows(&token)], "");
    let own: Value = serde_json::from_str(&own).unwrap();
    let secs = |time: &Value| handfast_core::rfc3339::read(time.as_str().unwrap()).unwrap();
    let ends = secs(&own["expires_at"]);
    for permissions in [
        json!({"read": ["/**"]}),
        json!({"read": ["/lights/1"]}),
        json!({"admin": ["/gateway/**"]}),
        json!({"admin": ["/gateway/pairing/*"]}),
        json!({"admin": ["/gateway/pairing/codes/**"]}),
        json!({"admin": ["/gateway/pairing/codes", "/gateway/pairing"]}),
        json!({"admin": ["/**/codes"]}),
        Value::Null,
    ] {
        let (status, refused) =
            post(&gateway, CODES, &token, &json!({"kind": "typed", "permissions": permissions}));
        assert_eq!(
            (status, &refused["error"]["code"]),
            (403, &json!("wider_than_yours")),
            "{permissions}: {refused}"
        );
    }
    for (key, seconds) in [
        ("grant_expires_seconds", 300 * 86_400_u64),
        ("expires_seconds", 300 * 86_400),
        ("grant_expires_seconds", u64::MAX),
        ("expires_seconds", u64::MAX),
    ] {
        let (status, refused) =
            post(&gateway, CODES, &token, &json!({"permissions": {}, key: seconds}));
        assert!(matches!(status, 400 | 403), "{key} {seconds}: {status} {refused}");
    }
    for body in [
        json!({"permissions": {}, "uses": 256}),
        json!({"permissions": {}, "uses": 0}),
        json!({"permissions": {"write": ["no path"]}}),
    ] {
        let (status, refused) = post(&gateway, CODES, &token, &body);
        assert_eq!(status, 400, "{refused}");
    }
    assert_eq!(gets(&gateway, CODES)["items"], json!([]), "what is refused is not minted");
    for permissions in [
        json!({}),
        json!({"read": ["/gateway/pairing/codes"]}),
        json!({"admin": ["/gateway/pairing/codes"]}),
    ] {
        let (status, minted) =
            post(&gateway, CODES, &token, &json!({"kind": "typed", "permissions": permissions}));
        assert!(status == 200 && secs(&minted["expires_at"]) <= ends, "{minted}");
    }
}

#[test]
fn codes_that_are_minted_while_their_session_ends_end_with_it() {
    let gateway = Gateway::start_quietly(&PROFILES);
    let token = session(&gateway, "codes");
    let id = gets(&gateway, "/api/v1/sessions")["items"][0]["id"].as_str().unwrap().to_owned();
    let stop = AtomicBool::new(false);
    let minted = std::thread::scope(|threads| {
        let mints = || {
            let mut minted = 0;
            while !stop.load(Ordering::Relaxed) && minted < 20 {
                minted += usize::from(
                    post(&gateway, CODES, &token, &json!({"permissions": {}})).0 == 200,
                );
            }
            minted
        };
        let minting: Vec<_> = (0..3).map(|_| threads.spawn(mints)).collect();
        while gets(&gateway, CODES)["items"].as_array().unwrap().len() < 10 {}
        posts(&gateway, &format!("/api/v1/sessions/{id}/revoke"), &Value::Null);
        assert_eq!(gets(&gateway, CODES)["items"], json!([]));
        stop.store(true, Ordering::Relaxed);
        minting.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
    });
    assert!(minted >= 10, "{minted}");
    assert_eq!(gets(&gateway, CODES)["items"], json!([]));
}

#[test]
fn a_session_that_mints_all_the_codes_that_it_can_leaves_the_operator_some() {
    let gateway = Gateway::start_quietly(&PROFILES);
    let sessions: Vec<String> = (0..4).map(|_| session(&gateway, "codes")).collect();
    let mut live = 0;
    for token in &sessions {
        let mut of_one = 0;
        loop {
            let (status, answer) =
                post(&gateway, CODES, token, &json!({"permissions": {}, "uses": 255}));
            if status != 200 {
                assert!(
                    answer["error"]["message"].as_str().unwrap().contains("too many codes"),
                    "{answer}"
                );
                break;
            }
            of_one += 1;
        }
        live += of_one;
    }
    assert_eq!(gets(&gateway, CODES)["items"].as_array().unwrap().len(), live);
    let (status, answer) = asks(&gateway, "POST", CODES, &json!({"kind": "typed"}));
    assert_eq!(status, 200, "beside {live} codes of sessions: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_rights_hears_and_says_nothing_and_no_chain_of_others_helps_it() {
    let gateway = Gateway::start_quietly(&[]);
    let to = address(&gateway);
    let code = minted(&gateway, &json!({"read": ["/lights/**"]}));
    let lamp = pairs(to, HOME, "Lamp", code["code"].as_str().unwrap()).await;
    let code = minted(&gateway, &json!({}));
    let nobody = pairs(to, STRANGER, "Nobody", code["code"].as_str().unwrap()).await;
    let mut link = Peer::links(to, STRANGER, &nobody).await.unwrap();
    let somebody_elses = handed_on(&lamp, &keys(), &["read:/lights/1"]);
    assert!(!link.presents(&somebody_elses).await);
    assert!(!link.presents(&lamp.chain).await);
    for (action, at) in
        [(Action::Read, "/lights/1"), (Action::Write, "/"), (Action::Admin, "/gateway/devices")]
    {
        let address = Address::parse(at).unwrap();
        link.says(&FromNode::App(App { action, address, bytes: Payload::new(b"!").unwrap() }))
            .await;
        let said = link.hears().await.expect("the link stays");
        assert!(matches!(FromGateway::parse(&said), Ok(FromGateway::NotAllowed { .. })), "{at}");
    }
    for pattern in ["/**", "/lights/1", "/gateway/**"] {
        link.says(&FromNode::Subscribe { pattern: Pattern::parse(pattern).unwrap() }).await;
        let said = link.hears().await.expect("the link stays");
        assert!(
            matches!(FromGateway::parse(&said), Ok(FromGateway::NotAllowed { .. })),
            "{pattern}"
        );
    }
    // A stranger's link begins with its own chain, or not at all.
    let mut stranger = Peer::meets(to, STRANGER, Intent::Delegate, &keys()).await.unwrap();
    assert!(!stranger.presents(&lamp.chain).await);
    let mut stranger = Peer::meets(to, STRANGER, Intent::Delegate, &keys()).await.unwrap();
    let app = App {
        action: Action::Read,
        address: Address::parse("/lights/1").unwrap(),
        bytes: Payload::new(b"!").unwrap(),
    };
    stranger.says(&FromNode::App(app)).await;
    assert!(stranger.is_ended().await);
}
