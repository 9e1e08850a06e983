//! Companions: setup codes that are shown, sessions that are stored, and their use.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use super::gateway::{Gateway, private_dir};
use super::setup::{payload, started};
use crate::binaries::{Running, program, run, text};

/// A person's program with its own home directory.
pub(super) struct Companion {
    home: TempDir,
}

impl Companion {
    /// Creates a companion without a session.
    pub(super) fn unpaired() -> Self {
        Self { home: private_dir() }
    }

    /// Pairs a companion with a setup code of this gateway.
    pub(super) fn of(gateway: &Gateway, name: &str) -> Self {
        let started = started(gateway, &["--for-device", name]);
        let companion = Self::unpaired();
        let (code, _, err) = companion.pairs(&[started["payload"].as_str().unwrap()]);
        assert_eq!(code, 0, "{err}");
        companion
    }

    pub(super) fn file(&self) -> PathBuf {
        self.home.path().join("session.json")
    }

    /// Runs a verb on its session.
    pub(super) fn says(&self, args: &[&str]) -> (i32, String, String) {
        let file = self.file();
        let mut all = vec!["companion", "--session", file.to_str().unwrap()];
        all.extend(args);
        text(&run("handfast", &all))
    }

    pub(super) fn pairs(&self, code: &[&str]) -> (i32, String, String) {
        let mut all = vec!["--code"];
        all.extend(code);
        self.says(&all)
    }

    fn kept(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file()).unwrap()).unwrap()
    }
}

#[test]
fn a_code_opens_one_session_which_its_owner_alone_can_read_and_which_ends_when_the_operator_says() {
    let gateway = Gateway::start();
    let payload = payload(&gateway);
    let companion = Companion::unpaired();
    let (code, out, err) = companion.pairs(&[&payload]);
    assert_eq!(code, 0, "{err}");
    let kept = companion.kept();
    let token = kept["session_token"].as_str().unwrap().to_owned();
    assert!(token.len() == 43 && !out.contains(&token) && !err.contains(&token), "{out}");
    assert_eq!(kept["url"], format!("ws://{}/pair", gateway.address));
    assert_eq!(kept.as_object().unwrap().len(), 2, "{kept}");
    assert_eq!(std::fs::metadata(companion.file()).unwrap().permissions().mode() & 0o7777, 0o600);

    let (code, out, err) = Companion::unpaired().pairs(&[&payload]);
    assert!(
        code == 1
            && out.is_empty()
            && err.contains("\"already used\"")
            && err.contains("handfast companions list"),
        "{err}"
    );

    let (code, out, _) = companion.says(&["status"]);
    assert!(
        code == 0 && out.contains("companion-v1") && out.contains("read /**, write /**"),
        "{out}"
    );
    let (code, out, _) = companion.says(&["status", "--json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    let listed = gateway.answer(&["setup", "list"])["items"][0].clone();
    assert!(
        code == 0 && status["id"] == listed["id"] && status["expires_at"] == listed["expires_at"],
        "{out}"
    );
    assert_eq!(companion.says(&["refresh"]).0, 0);

    assert_eq!(gateway.verb(&["setup", "revoke", "--all", "--yes"]).0, 0);
    for verb in [&["status"][..], &["refresh"], &["end"]] {
        let (code, out, err) = companion.says(verb);
        assert!(
            code == 1 && out.is_empty() && err.contains("it has ended") && !err.contains(&token),
            "{err}"
        );
    }
    for verb in [&["send", "x"][..], &["listen"]] {
        let (code, out, err) = companion.says(verb);
        assert!(code == 1 && out.is_empty() && err.contains("\"unknown session\""), "{err}");
    }
    assert!(
        !gateway.log().contains(&token) && !gateway.log().contains(&payload),
        "no secret reaches the log"
    );
}

#[test]
fn a_companion_ends_its_own_session_and_its_file_is_gone() {
    let gateway = Gateway::start();
    let companion = Companion::of(&gateway, "Phone");
    let (code, out, err) = companion.says(&["end", "--json"]);
    assert!(code == 0 && serde_json::from_str::<Value>(&out).unwrap()["revoked"] == true, "{err}");
    assert!(!companion.file().exists());
    assert_eq!(gateway.answer(&["setup", "list"])["items"].as_array().unwrap().len(), 0);
    let (code, _, err) = companion.says(&["status"]);
    assert!(code == 1 && err.contains("handfast companion --code"), "{err}");
}

#[test]
fn where_the_session_cannot_be_kept_no_code_is_spent() {
    let gateway = Gateway::start();
    let payload = payload(&gateway);
    let companion = Companion::unpaired();
    std::fs::write(companion.file(), "mine").unwrap();
    let (code, _, err) = companion.pairs(&[&payload]);
    assert!(code == 1 && err.contains("--force"), "{err}");
    assert_eq!(std::fs::read_to_string(companion.file()).unwrap(), "mine");
    std::fs::remove_file(companion.file()).unwrap();
    symlink(companion.home.path().join("elsewhere"), companion.file()).unwrap();
    let (code, _, err) = companion.pairs(&[&payload, "--force"]);
    assert!(code == 1 && err.contains("symbolic link"), "{err}");
    std::fs::remove_file(companion.file()).unwrap();
    let (code, _, err) = text(&run(
        "handfast",
        &["companion", "--session", "/nowhere/session.json", "--code", &payload],
    ));
    assert!(code == 1 && err.contains("the code is still good"), "{err}");

    std::fs::write(companion.file(), "mine").unwrap();
    let (code, out, err) = companion.pairs(&[&payload, "--force", "--json", "--show-token"]);
    assert_eq!(code, 0, "{err}");
    let view: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(view["session_token"], companion.kept()["session_token"]);
    assert_eq!(view["session_file"], companion.file().to_str().unwrap());
    let left: Vec<_> = std::fs::read_dir(companion.home.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing else is left there: {left:?}");
}

#[test]
fn a_code_comes_by_standard_input_and_a_bare_token_needs_the_address() {
    let gateway = Gateway::start();
    let started = started(&gateway, &[]);
    let home = private_dir();
    let mut command = program("handfast");
    command.env("XDG_STATE_HOME", home.path()).args(["companion", "--code", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), " {} ", started["payload"].as_str().unwrap()).unwrap();
    let (code, out, err) = text(&child.wait_with_output().unwrap());
    let usual = home.path().join("handfast/companion.json");
    assert!(code == 0 && out.contains(usual.to_str().unwrap()), "{err}");
    assert_eq!(std::fs::metadata(&usual).unwrap().permissions().mode() & 0o7777, 0o600);

    let bare = self::started(&gateway, &[])["bootstrap_token"].as_str().unwrap().to_owned();
    let companion = Companion::unpaired();
    let (code, _, err) = companion.pairs(&[&bare]);
    assert!(code == 2 && err.contains("--url") && !err.contains(&bare), "{err}");
    assert_eq!(companion.pairs(&[&bare, "--url", &format!("http://{}", gateway.address)]).0, 0);
    assert_eq!(companion.says(&["status"]).0, 0);
}

#[test]
fn what_is_no_code_is_a_usage_error_and_no_code_goes_out_in_the_clear() {
    let companion = Companion::unpaired();
    for args in [
        &[][..],
        &["--code", "nonsense"],
        &["--code", ""],
        &["--url", "ws://127.0.0.1:1", "status"],
        &["--code", "a.b", "status"],
        &["--code", "a.b"],
        &["--code", "a.b", "--url", "ws://127.0.0.1:1", "--allow-plain", "http://x"],
        &["status", "x"],
    ] {
        let (code, out, err) = companion.says(args);
        assert!(code == 2 && out.is_empty(), "{args:?}: {err}");
    }
    for url in [
        "ws://gateway.example",
        "ws://127.0.0.1:x@evil.example",
        "ws://evil.example#.local",
        "ws://evil.example\\@x.local",
        "ws://evil.example?x.local",
    ] {
        let (code, _, err) = companion.pairs(&["a.b", "--url", url]);
        assert!(code == 1 && err.contains("cannot be used"), "{url}: {err}");
    }
    let (code, _, err) = companion.pairs(&["a.b", "--url", "ws://127.0.0.1:1"]);
    assert!(code == 1 && err.contains("cannot connect"), "{err}");
    assert!(!companion.file().exists());
}

#[test]
fn a_companion_that_listens_is_linked_until_its_session_ends() {
    let gateway = Gateway::start();
    let companion = Companion::of(&gateway, "Desk");
    let (code, out, err) = companion.says(&["send", r#"{"type":"hello"}"#]);
    assert!(code == 0 && out == "sent, 16 bytes\n", "{out}{err}");
    let mut command = program("handfast");
    command.args(["companion", "listen", "--json", "--session"]).arg(companion.file());
    let mut listening =
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(listening.0.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (&first["event"], &first["session"]["device_label"]),
        (&"linked".into(), &"Desk".into())
    );
    let listed = gateway.answer(&["setup", "list"])["items"][0].clone();
    assert!(listed["linked"] == true && listed["id"] == first["session"]["session_id"], "{listed}");
    assert_eq!(gateway.verb(&["setup", "revoke", "--all", "--yes"]).0, 0);
    assert_eq!(listening.0.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut listening.0.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("Session ended"), "{said}");
}

#[test]
fn whoever_watches_sees_companions_come_and_go() {
    let gateway = Gateway::start();
    let companion = Companion::of(&gateway, "Desk");
    let id = gateway.answer(&["setup", "list"])["items"][0]["id"].as_str().unwrap()[..8].to_owned();
    let shown = gateway.shows("A companion has a session now: ");
    assert!(
        shown.contains(&format!("A companion has a session now: {id} as companion-v1\n")),
        "{shown}"
    );
    assert_eq!(companion.says(&["end"]).0, 0);
    gateway.shows(&format!("The session {id} was ended\n"));
}
