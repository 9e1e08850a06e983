//! The inbound gate on the operator's command line.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::gateway::Gateway;

/// Asks the gate about a message, as the program that holds a channel does.
fn admit(gateway: &Gateway, sender: &str) -> Value {
    let body = json!({ "channel": "telegram", "account": "bot", "sender": sender, "meta": { "name": "\u{1b}[2Jx" } }).to_string();
    let mut socket = UnixStream::connect(gateway.data.path().join("handfast.sock")).unwrap();
    write!(
        socket,
        "POST /api/v1/inbound/admit HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).unwrap()
}

/// Returns the code that a stranger is challenged with.
pub(super) fn asks(gateway: &Gateway, sender: &str) -> String {
    let challenged = admit(gateway, sender);
    assert_eq!(challenged["decision"], "challenge", "{challenged}");
    challenged["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_stranger_is_listed_approved_and_revoked() {
    let gateway = Gateway::start();
    let code = asks(&gateway, "@Ana");
    gateway.shows(
        "\"@ana\" writes over telegram to bot and waits to be let in\nSee who waits, with the codes, with: handfast senders list",
    );
    let (exit, out, _) = gateway.verb(&["inbound", "list"]);
    assert!(
        exit == 0 && out.contains("@ana") && out.contains(&code) && out.contains("pending"),
        "{out}"
    );
    assert!(!out.contains('\u{1b}'), "what a stranger says is escaped: {out:?}");
    let listed = gateway.answer(&["inbound", "list", "--channel", "telegram"])["items"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["code"]), (1, &json!(code)));
    assert_eq!(gateway.answer(&["inbound", "list", "--channel", "mail"])["items"], json!([]));

    let typed = format!("{}-{}", code[..4].to_lowercase(), &code[4..]);
    let (exit, out, _) = gateway.verb(&["inbound", "approve", &typed, "--for", "2h"]);
    assert!(exit == 0 && out == "\"@ana\" may write over telegram to bot for 2 h\n", "{out}");
    gateway.shows("\"@ana\" may write over telegram to bot\n");
    assert_eq!(admit(&gateway, "@ANA")["decision"], "admit");
    let (exit, _, err) = gateway.verb(&["inbound", "approve", &code]);
    assert!(exit == 1 && err.contains("senders list"), "{err}");

    assert_eq!(gateway.answer(&["inbound", "list"])["items"], json!([]));
    let allowed = gateway.answer(&["inbound", "list", "--all"])["items"][0].clone();
    assert!(allowed["state"] == "allowed" && allowed["until"].is_string(), "{allowed}");
    let (exit, out, _) = gateway.verb(&["inbound", "revoke", "telegram:@Ana"]);
    assert!(exit == 0 && out == "\"@Ana\" is not let in any more over telegram\n", "{out}");
    assert_eq!(
        gateway.answer(&["inbound", "list", "--include-revoked"])["items"][0]["state"],
        "revoked"
    );
    assert_eq!(admit(&gateway, "@ana")["decision"], "challenge");
}

#[test]
fn a_sender_is_rejected_blocked_and_unblocked_and_what_is_not_so_is_refused() {
    let gateway = Gateway::start();
    asks(&gateway, "@ana");
    assert_eq!(gateway.answer(&["inbound", "reject", "telegram:@ana"])["changed"], 1);
    assert_eq!(gateway.answer(&["inbound", "list"])["items"], json!([]));
    for (verb, word) in
        [("reject", "does not wait"), ("revoke", "is not let in"), ("unblock", "is not blocked")]
    {
        let (exit, out, err) = gateway.verb(&["inbound", verb, "telegram:@ana"]);
        assert!(exit == 1 && out.is_empty() && err.contains(word), "{verb}: {err}");
    }
    for _ in 0..2 {
        let (exit, out, _) =
            gateway.verb(&["inbound", "block", "telegram:@ana", "--account", "bot"]);
        assert!(exit == 0 && out == "\"@ana\" is blocked over telegram to bot\n", "{out}");
    }
    assert_eq!(admit(&gateway, "@ana")["reason"], "blocked");
    assert_eq!(gateway.verb(&["inbound", "unblock", "telegram:@ana", "--account", "bot"]).0, 0);
    asks(&gateway, "@ana");
}

#[test]
fn a_sender_that_is_out_is_forgotten_on_all_accounts_and_in_the_log() {
    let gateway = Gateway::start();
    for account in ["bot", "desk"] {
        gateway.answer(&["senders", "seed", "telegram", account, "@ana"]);
    }
    let (exit, _, err) = gateway.verb(&["senders", "forget", "telegram:@ana"]);
    assert!(exit == 1 && err.contains("cannot be forgotten"), "{err}");
    assert_eq!(gateway.verb(&["senders", "revoke", "telegram:@ana"]).0, 0);
    let named = || {
        let (_, out, _) = gateway.verb(&["audit", "list"]);
        out.contains("@ana")
    };
    assert!(named());
    let (exit, out, _) = gateway.verb(&["senders", "forget", "telegram:@ana"]);
    assert!(exit == 0 && out == "\"@ana\" is forgotten over telegram\n", "{out}");
    assert!(!named());
    let known = gateway.answer(&["senders", "list", "--include-revoked"]);
    assert_eq!(known["items"], json!([]));
    let (exit, out, _) = gateway.verb(&["audit", "verify"]);
    assert!(exit == 0, "{out}");
    assert_eq!(admit(&gateway, "@ana")["decision"], "challenge");
}

#[test]
fn many_are_let_in_at_once() {
    let gateway = Gateway::start();
    let (exit, out, _) =
        gateway.verb(&["inbound", "seed", "telegram", "bot", "@ana", "@Ben", "@ANA"]);
    assert!(exit == 0 && out == "2 more senders are let in over telegram to bot\n", "{out}");
    assert_eq!(gateway.answer(&["inbound", "seed", "telegram", "bot", "@ben"])["added"], 0);
    assert_eq!(admit(&gateway, "@ben")["decision"], "admit");
}

#[test]
fn what_cannot_be_meant_is_a_usage_error_and_an_unknown_code_is_refused() {
    let gateway = Gateway::start();
    for args in [
        &["inbound"][..],
        &["inbound", "approve"],
        &["inbound", "approve", "ABCD234"],
        &["inbound", "approve", "ABCD2340"],
        &["inbound", "approve", "ABCD2345", "--for", "0"],
        &["inbound", "reject", "telegram"],
        &["inbound", "block", ":@ana"],
        &["inbound", "revoke", "telegram:"],
        &["inbound", "seed", "telegram", "bot"],
        &["inbound", "seed", " ", "bot", "@ana"],
    ] {
        let (exit, out, err) = gateway.verb(args);
        assert!(exit == 2 && out.is_empty(), "{args:?}: {err}");
    }
    let (exit, _, err) = gateway.verb(&["inbound", "approve", "ABCD-2345"]);
    assert!(exit == 1 && err.contains("nobody waits with this code"), "{err}");
}
