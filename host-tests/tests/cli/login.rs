//! Operators over HTTP: the login link from the terminal to the browser, and tokens of programs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::gateway::{Gateway, private_dir};
use crate::binaries::{Running, program};

/// An answer over HTTP: its status, its head and its body.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body))
    }

    fn cookie(&self) -> String {
        let line = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next().unwrap())
        });
        format!("Cookie: {}\r\n", line.unwrap_or_default())
    }
}

pub(super) fn asks(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// What the page's button sends.
pub(super) fn presses(address: &str, url: &str) -> Answer {
    let headers = format!("Origin: http://{address}\r\nContent-Type: application/json\r\n");
    let secret = url.split_once('#').unwrap().1;
    asks(address, "POST", "/login", &headers, &json!({ "secret": secret }).to_string())
}

/// Makes a link without waiting.
fn link(gateway: &Gateway, role: &str) -> String {
    let made = gateway.answer(&["login", "--role", role, "--no-wait"]);
    made["url"].as_str().unwrap().to_owned()
}

/// Opens a session, and returns its id.
pub(super) fn logged_in(gateway: &Gateway) -> String {
    let opened = presses(&gateway.address, &link(gateway, "viewer"));
    let me = asks(&gateway.address, "GET", "/api/v1/operator", &opened.cookie(), "");
    me.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_terminal_says_when_and_from_where_its_link_was_used_and_the_session_survives_a_restart() {
    let gateway = Gateway::start();
    let mut command = program("handfast");
    command.args(["login", "--as", "Ana", "--data", gateway.data()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = Running(command.spawn().unwrap());
    let mut out = BufReader::new(waiting.0.stdout.take().unwrap());
    let mut url = String::new();
    out.read_line(&mut url).unwrap();
    let url = url.trim();
    assert!(url.starts_with(&format!("http://{}/login#", gateway.address)), "{url}");

    let opened = presses(&gateway.address, url);
    assert_eq!(opened.status, 200, "{}", opened.body);
    let mut told = String::new();
    out.read_to_string(&mut told).unwrap();
    assert!(waiting.0.wait().unwrap().success());
    assert!(
        told.contains("log in as \"Ana\" with the role operator: once, within 5:00")
            && told.contains("used at ")
            && told.contains(" from 127.0.0.1; if that was not you, end the session: handfast operators list --data"),
        "{told}"
    );
    let mut notes = String::new();
    waiting.0.stderr.take().unwrap().read_to_string(&mut notes).unwrap();
    assert!(
        notes.contains("opens on this machine alone, not on a phone")
            && notes.contains("--tls-cert")
            && notes.contains("--public-url"),
        "{notes}"
    );
    gateway.shows("\"Ana\" logged in as operator from 127.0.0.1");

    let cookie = opened.cookie();
    let gateway = gateway.crash_and_restart();
    let me = asks(&gateway.address, "GET", "/api/v1/operator", &cookie, "");
    assert_eq!((me.status, me.json()["name"].as_str()), (200, Some("Ana")), "{}", me.body);
    assert_eq!(presses(&gateway.address, url).status, 401, "a restart revives no link");

    let listed = gateway.answer(&["operators", "list"]);
    let session = &listed["items"][0];
    assert_eq!((session["name"].as_str(), session["state"].as_str()), (Some("Ana"), Some("valid")));
    assert_eq!(session["ip_address"], "127.0.0.1");
    assert!(!listed.to_string().contains(cookie.trim().split_once('=').unwrap().1), "{listed}");
    let id = session["id"].as_str().unwrap();
    let (code, _, err) = gateway.verb(&["operators", "revoke", &id[..5], "--yes"]);
    assert!(code == 2 && err.contains("6 or more"), "{err}");
    let (code, out, err) = gateway.verb(&["operators", "revoke", &id[..8], "--yes"]);
    assert!(code == 0 && out.contains("ended for good"), "{err}");
    assert_eq!(asks(&gateway.address, "GET", "/api/v1/operator", &cookie, "").status, 401);
    let (_, out, _) = gateway.verb(&["operators", "list"]);
    assert!(out.contains("log in with: handfast login --data"), "{out}");
    let (_, out, _) = gateway.verb(&["operators", "list", "--all"]);
    assert!(out.contains("revoked"), "{out}");
}

#[test]
fn a_link_whose_output_fails_is_cancelled() {
    let gateway = Gateway::start();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = program("handfast");
    command.args(["login", "--no-wait", "--data", gateway.data()]);
    let output = command.stdout(full).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && err.contains("is worth nothing now"), "{err}");
    let (code, _, err) = gateway.verb(&["login", "--as", "a\nb"]);
    assert!(code == 2 && err.contains("a name has 1 to 64 characters"), "{err}");
    assert_eq!(gateway.verb(&["login", "--role", "root"]).0, 2);
}

#[test]
fn a_listener_on_every_interface_takes_a_session_from_this_machine_alone() {
    let gateway = Gateway::start_in(private_dir(), "0.0.0.0:0", &[]);
    let port = gateway.address.rsplit_once(':').unwrap().1;
    let near = format!("127.0.0.1:{port}");
    let url = link(&gateway, "owner");
    assert!(url.starts_with(&format!("http://{near}/login#")), "{url}");
    let lan = handfast_server::public_url::lan_addresses();
    let far = lan.into_iter().find(IpAddr::is_ipv4).map(|ip| format!("{ip}:{port}"));
    if let Some(far) = &far {
        let refused = presses(far, &url);
        assert_eq!(refused.json()["error"]["code"], "plain_connection", "{}", refused.body);
    }
    let opened = presses(&near, &url);
    assert_eq!(opened.status, 200, "nothing was spent: {}", opened.body);
    let cookie = opened.cookie();
    assert_eq!(asks(&near, "GET", "/api/v1/status", &cookie, "").status, 200);
    if let Some(far) = &far {
        let refused = asks(far, "GET", "/api/v1/status", &cookie, "");
        assert_eq!(refused.json()["error"]["code"], "plain_connection", "{}", refused.body);
        let forced = Gateway::start_in(private_dir(), "0.0.0.0:0", &["--plain-login"]);
        let made = forced.answer(&["login", "--no-wait"]);
        assert_eq!(made["reach"], "plain");
        let (_, _, err) = forced.verb(&["login", "--no-wait"]);
        assert!(err.contains("not encrypted") && err.contains("--tls-cert"), "{err}");
        let port = forced.address.rsplit_once(':').unwrap().1;
        let far = format!("{}:{port}", far.rsplit_once(':').unwrap().0);
        assert_eq!(presses(&far, made["url"].as_str().unwrap()).status, 200);
    }
}

#[test]
fn a_program_has_a_token_until_it_is_revoked() {
    let gateway = Gateway::start();
    let made = gateway.answer(&["tokens", "create", "--role", "viewer", "--name", "metrics"]);
    let bearer = format!("Authorization: Bearer {}\r\n", made["token"].as_str().unwrap());
    let gateway = gateway.crash_and_restart();
    let reads = |path: &str| asks(&gateway.address, "GET", path, &bearer, "");
    assert_eq!(reads("/api/v1/status").status, 200);
    assert_eq!(reads("/metrics").status, 200);
    let refused = asks(&gateway.address, "POST", "/api/v1/pairing", &bearer, r#"{"open":true}"#);
    assert_eq!(refused.json()["error"]["code"], "not_allowed", "{}", refused.body);
    let (code, out, _) = gateway.verb(&["tokens", "list"]);
    assert!(code == 0 && out.contains("metrics") && out.contains("viewer"), "{out}");
    assert!(!out.contains(made["token"].as_str().unwrap()), "{out}");
    let id = made["id"].as_str().unwrap();
    let (code, _, err) = gateway.verb(&["tokens", "revoke", id]);
    assert!(code == 2 && err.contains("--yes"), "{err}");
    assert_eq!(gateway.verb(&["tokens", "revoke", id, "--yes"]).0, 0);
    assert_eq!(reads("/api/v1/status").json()["error"]["code"], "login_needed");
    let (_, out, _) = gateway.verb(&["tokens", "list"]);
    assert!(out.contains("make one with: handfast tokens create --role viewer --data"), "{out}");
    let (code, out, _) =
        gateway.verb(&["tokens", "create", "--role", "viewer", "--expires", "12h"]);
    assert!(code == 0 && out.contains("Authorization: Bearer TOKEN"), "{out}");
    let (code, _, err) = gateway.verb(&["tokens", "create", "--role", "viewer", "--expires", "9y"]);
    assert!(code == 2 && !err.is_empty(), "{err}");
    let (code, _, err) = gateway.verb(&["tokens", "revoke", "0123456789", "--yes"]);
    assert!(code == 1 && err.contains("handfast tokens list --data"), "{err}");
}

#[test]
fn a_token_that_nobody_has_used_is_not_shown_as_used() {
    let gateway = Gateway::start();
    let made = gateway.answer(&["tokens", "create", "--name", "backup", "--role", "viewer"]);
    let listed = gateway.answer(&["tokens", "list"])["items"][0].clone();
    assert!(listed["used_at"].is_null(), "{listed}");
    let bearer = format!("Authorization: Bearer {}\r\n", made["token"].as_str().unwrap());
    assert_eq!(asks(&gateway.address, "GET", "/api/v1/status", &bearer, "").status, 200);
    let listed = gateway.answer(&["tokens", "list"])["items"][0].clone();
    assert!(listed["used_at"].is_string(), "{listed}");
}
