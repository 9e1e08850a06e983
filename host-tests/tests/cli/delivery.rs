//! Secrets that are shown once: a secret that nobody was shown never takes effect.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::output::{OUTS, ran, to};
use crate::binaries::{program, text};
use crate::conformance::eventually;

/// Sends a request to the gateway's socket, as an operator's program does.
fn post(gateway: &Gateway, path: &str, body: Value) -> (u16, Value) {
    let mut socket = UnixStream::connect(gateway.data.path().join("handfast.sock")).unwrap();
    // An unread body would make the gateway break the connection off.
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    write!(socket, "POST {path} HTTP/1.1\r\nhost: handfast\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap())
}

/// Approves over the API without a confirmation. Returns the token, and its delivery.
fn issued(gateway: &Gateway, id: &str, reissue: bool) -> (String, String) {
    let (status, answer) =
        post(gateway, &format!("/api/v1/devices/{id}/pair"), json!({ "reissue": reissue }));
    assert_eq!(status, 200, "{answer}");
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (text("token"), text("delivery"))
}

fn settle(gateway: &Gateway, delivery: &str, how: &str) -> u16 {
    post(gateway, &format!("/api/v1/deliveries/{delivery}/{how}"), Value::Null).0
}

fn standing(gateway: &Gateway, id: &str) -> String {
    gateway.json(&["status", id])["standing"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_could_not_be_shown_leaves_the_node_waiting() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    for out in OUTS {
        for json in [&[][..], &["--json"]] {
            let args = [&["devices", "pair", &id, "--data", gateway.data()], json].concat();
            let (code, err) = ran(to(out, "handfast", &args));
            assert!(
                code == 1 && err.contains("waits for approval as before"),
                "{out:?}: {code} {err}"
            );
            assert_eq!(standing(&gateway, &id), "pending", "{out:?}");
        }
    }
    assert_eq!(gateway.ask("Kitchen Pi").await, id, "it is still the same request");
    let token = gateway.json(&["pair", &id])["token"].as_str().unwrap().to_owned();
    assert_eq!(
        gateway.json(&["status", &id])["undelivered_until"],
        Value::Null,
        "what was shown is confirmed at once"
    );
    assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
    assert_eq!(gateway.json(&["list"])["items"].as_array().unwrap().len(), 1);
    let log = gateway.log();
    assert!(
        log.contains("could not be shown") && !log.contains(&token),
        "the log says that a token was taken back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_reissue_the_old_token_works_until_the_new_one_was_shown() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    let old = gateway.json(&["pair", &id])["token"].as_str().unwrap().to_owned();
    for out in OUTS {
        let (code, err) = ran(to(
            out,
            "handfast",
            &["devices", "pair", "--reissue", &id, "--data", gateway.data()],
        ));
        assert!(code == 1 && err.contains("with the token that it had"), "{out:?}: {code} {err}");
        assert_eq!(gateway.auth(&id, &old).await, "auth_ok", "{out:?}");
    }
    let new = gateway.json(&["pair", "--reissue", &id])["token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.auth(&id, &old).await, "auth_fail");
    assert_eq!(gateway.auth(&id, &new).await, "auth_ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_use_of_a_new_token_is_its_confirmation_and_ends_the_old_one() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    let (first, delivery) = issued(&gateway, &id, false);
    assert_eq!(gateway.auth(&id, &first).await, "auth_ok");
    assert_eq!(
        (settle(&gateway, &delivery, "confirm"), settle(&gateway, &delivery, "cancel")),
        (200, 409)
    );
    let (second, delivery) = issued(&gateway, &id, true);
    assert_eq!(gateway.auth(&id, &first).await, "auth_ok", "nobody has used the new one");
    assert_eq!(gateway.auth(&id, &second).await, "auth_ok");
    assert_eq!(gateway.auth(&id, &first).await, "auth_fail");
    assert_eq!(settle(&gateway, &delivery, "confirm"), 200);
    // A newer token replaces a third one under delivery: only the newest can be confirmed.
    let (third, replaced) = issued(&gateway, &id, true);
    let (_, newest) = issued(&gateway, &id, true);
    assert_eq!(settle(&gateway, &replaced, "confirm"), 409);
    assert_eq!(gateway.auth(&id, &third).await, "auth_fail");
    assert_eq!(settle(&gateway, &newest, "cancel"), 200);
    assert_eq!(gateway.auth(&id, &second).await, "auth_ok");
    assert_eq!(settle(&gateway, &"0".repeat(32), "confirm"), 404);
    assert_eq!(settle(&gateway, "nothing", "confirm"), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_confirms_or_uses_is_undone_in_time_whether_or_not_the_gateway_was_killed() {
    let mut gateway = Gateway::start_with(&["--deliver-within", "2s"]);
    for kill in [false, true] {
        let id = gateway.ask(&format!("Kitchen Pi, killed: {kill}")).await;
        let kept = gateway.ask(&format!("Hall Pi, killed: {kill}")).await;
        let old = gateway.json(&["pair", &kept])["token"].as_str().unwrap().to_owned();
        let (token, delivery) = issued(&gateway, &id, false);
        let (new, _) = issued(&gateway, &kept, true);
        let (_, code) = post(&gateway, "/api/v1/pairing/codes", json!({ "kind": "typed" }));
        if kill {
            gateway = gateway.crash_and_restart_with(&["--deliver-within", "2s"]);
        }
        eventually(async || standing(&gateway, &id) == "pending").await;
        eventually(async || gateway.answer(&["pairing", "list"])["codes"] == json!([])).await;
        assert_eq!(gateway.auth(&id, &token).await, "auth_fail");
        assert_eq!(gateway.auth(&kept, &new).await, "auth_fail");
        assert_eq!(gateway.auth(&kept, &old).await, "auth_ok");
        assert_eq!(settle(&gateway, &delivery, "confirm"), 409);
        assert_eq!(settle(&gateway, code["delivery"].as_str().unwrap(), "confirm"), 409);
        assert_eq!(
            gateway.ask(&format!("Kitchen Pi, killed: {kill}")).await,
            id,
            "it is the same request as before"
        );
    }
    assert!(gateway.log().contains("neither confirmed nor used in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_between_the_two_steps_takes_the_confirmation_when_it_is_back() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    let (token, delivery) = issued(&gateway, &id, false);
    let gateway = gateway.crash_and_restart();
    assert!(gateway.json(&["status", &id])["undelivered_until"].is_string());
    assert_eq!(settle(&gateway, &delivery, "confirm"), 200);
    let gateway = gateway.crash_and_restart();
    assert_eq!(gateway.json(&["status", &id])["undelivered_until"], Value::Null);
    assert_eq!(settle(&gateway, &delivery, "confirm"), 200, "the first answer may have been lost");
    assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_killed_before_it_could_show_the_token_loses_nothing() {
    let gateway = Gateway::start_with(&["--deliver-within", "2s"]);
    let id = gateway.ask("Kitchen Pi").await;
    // The pipe is full and nobody reads it, so the command waits between its two steps.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; 64 * 1024]).unwrap();
    let mut child = program("handfast")
        .args(["devices", "pair", &id, "--data", gateway.data()])
        .stdout(writer)
        .spawn()
        .unwrap();
    eventually(async || standing(&gateway, &id) == "paired").await;
    child.kill().unwrap();
    child.wait().unwrap();
    eventually(async || standing(&gateway, &id) == "pending").await;
    drop(reader);
    let token = gateway.json(&["pair", &id])["token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
}

#[test]
fn a_code_that_could_not_be_shown_is_withdrawn_and_no_image_of_it_is_left() {
    let gateway = Gateway::start();
    let image = gateway.data.path().join("code.png");
    let file = image.to_str().unwrap();
    let url = format!("ws://{}", gateway.address);
    for out in OUTS {
        for args in [
            &["pairing", "code"][..],
            &["pairing", "qr"],
            &["pairing", "qr", "--json"],
            &["setup", "start", "--public-url", &url],
            &["setup", "start", "--public-url", &url, "--no-qr", "--qr-png", file],
        ] {
            let args = [args, &["--data", gateway.data()]].concat();
            let (code, err) = ran(to(out, "handfast", &args));
            assert!(
                code == 1 && err.contains("worth nothing now"),
                "{args:?} {out:?}: {code} {err}"
            );
        }
        assert!(!image.exists(), "{out:?}");
    }
    assert_eq!(gateway.answer(&["pairing", "list"])["codes"], json!([]));
    // The image of a code that was shown stays.
    let started = gateway.answer(&["setup", "start", "--public-url", &url, "--qr-png", file]);
    assert!(image.exists());
    let session = gateway.data.path().join("session.json");
    let args = [
        "companion",
        "--session",
        session.to_str().unwrap(),
        "--code",
        started["payload"].as_str().unwrap(),
    ];
    assert_eq!(text(&program("handfast").args(args).output().unwrap()).0, 0);
}

#[test]
fn an_image_for_which_there_is_no_room_is_named_and_its_code_opens_nothing() {
    let gateway = Gateway::start();
    let image = gateway.data.path().join("code.png");
    let binary = program("handfast").get_program().to_owned();
    let mut shell = Command::new("sh");
    // No file may grow, so writing one fails as on a full disk. Standard output is a pipe, to which
    // the limit does not apply.
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f 0; exec "$0" "$@""#]).arg(binary);
    let url = format!("ws://{}", gateway.address);
    shell
        .args(["setup", "start", "--public-url", &url, "--data", gateway.data(), "--qr-png"])
        .arg(&image)
        .stdin(Stdio::null());
    let (code, out, err) = text(&shell.output().unwrap());
    assert!(
        code == 1 && err.contains("code.png") && err.contains("worth nothing now"),
        "{code} {err}"
    );
    assert!(out.is_empty() && !image.exists());
    let left: Vec<_> = std::fs::read_dir(gateway.data.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".handfast-")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_codes_is_whole_or_none_of_its_codes_counts() {
    let gateway = Gateway::start_with(&["--deliver-within", "2s"]);
    let live = || gateway.answer(&["codes", "list"])["codes"].as_array().unwrap().len();
    let many = ["codes", "create", "--count", "100", "--data", gateway.data()];
    for out in OUTS {
        for form in ["--csv", "--json"] {
            let (code, err) = ran(to(out, "handfast", &[&many[..], &[form]].concat()));
            let says = err.contains("each of the 100 codes is worth nothing now");
            assert!(code == 1 && says, "{out:?} {form}: {code} {err}");
            assert_eq!(live(), 0, "{out:?} {form}");
        }
    }
    let label = "the \"upper\" shelf";
    let options = ["--csv", "--label", label, "--read", "/a/**", "--write", "/b"];
    let (code, list, err) = gateway.verb(&[&many[..4], &options].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{list}");
    let lines: Vec<&str> = list.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "id,selector,payload,method,permissions,label,expires_at");
    assert_eq!(lines.len(), 101);
    let cells = ",pin,\"read /a/**, write /b\",\"the \"\"upper\"\" shelf\",20";
    assert!(lines[1..].iter().all(|line| line.contains(cells) && line.ends_with('Z')), "{list}");
    // What was written as a whole is confirmed, and so it stays.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(live(), 100);
    // One that is used pairs, and neither the log nor the audit log knows a secret of any.
    let payload = |line: &str| line.split(',').nth(2).unwrap().to_owned();
    let mut node = gateway.node("Shelf", &["--code"]);
    node.types(&payload(lines[1]));
    assert_eq!(node.ends().0, 0);
    let audit = gateway.verb(&["audit", "list", "--limit", "500", "--json"]).1;
    for line in &lines[1..] {
        let payload = payload(line);
        assert!(!gateway.log().contains(&payload) && !audit.contains(&payload), "{payload}");
        assert!(audit.contains(line.split(',').next().unwrap()), "each is in the audit log");
    }
    for (count, why) in [("101", "at most 256 codes live"), ("0", "between 1 and 100")] {
        let (code, _, err) = gateway.verb(&["codes", "create", "--csv", "--count", count]);
        assert!(code == 2 && err.contains(why), "{code} {err}");
    }
    let (code, _, err) = gateway.verb(&["codes", "create", "--count", "2"]);
    assert!(code == 2 && err.contains("--csv and --json"), "{code} {err}");
    // 101 of 256 places are taken at most, so a hundred more fit, and no further hundred does.
    assert_eq!(gateway.verb(&many[..4].iter().copied().chain(["--csv"]).collect::<Vec<_>>()).0, 0);
    let (code, out, err) =
        gateway.verb(&many[..4].iter().copied().chain(["--csv"]).collect::<Vec<_>>());
    assert!(code != 0 && out.is_empty() && err.contains("too many codes"), "{code} {err}");
}
