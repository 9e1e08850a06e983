//! Every command that is printed as a next step works as printed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::gateway::Gateway;
use crate::binaries::{program, run, text};

/// Returns the commands of this program that a text advises.
fn advised(text: &str) -> Vec<String> {
    let after = |line: &str| {
        let at = line.find(": handfast ")?;
        Some(line[at + 2..].split(';').next().unwrap_or_default().trim().to_owned())
    };
    text.lines().filter_map(after).collect()
}

/// Runs a command as a shell reads it. One that goes on is ended after a while.
fn obeyed(command: &str) -> (i32, String) {
    let bin = program("handfast");
    let bin = std::path::Path::new(bin.get_program()).parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("timeout")
        .args(["--preserve-status", "--signal=INT", "3", "bash", "-c", command])
        .env("PATH", path)
        .env_remove("STATE_DIRECTORY")
        .env_remove("XDG_DATA_HOME")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let (code, out, err) = text(&ran);
    (code, out + &err)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hint_is_a_command_that_works_as_it_is_printed() {
    // A directory whose name a shell would split.
    let data = tempfile::Builder::new()
        .prefix("hand fast")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .unwrap();
    let gateway =
        Gateway::start_in(data, "127.0.0.1:0", &["--public-url", "wss://gateway.example"]);
    let waiting = gateway.ask("Kitchen Pi").await;
    gateway.shows("Approve it with");
    let mut said = gateway.shown();
    for verb in [
        &["status"][..],
        &["pending"],
        &["nodes", "list", "--permissions"],
        &["codes", "list"],
        &["codes", "create"],
        &["codes", "withdraw", "ZZZZ"],
        &["pairing", "open"],
        &["pairing", "close"],
        &["companions", "list"],
        &["companions", "list", "--all"],
        &["companions", "revoke", "", "--yes"],
        &["senders", "reject", "telegram:@nobody"],
        &["nodes", "mute", ""],
        &["approve", "--reissue"],
    ] {
        let (_, out, err) = gateway.verb(verb);
        said += &(out + &err);
    }
    super::inbound::asks(&gateway, "@ana");
    let (_, out, _) = gateway.verb(&["pending"]);
    said += &out;
    let mut commands = advised(&said);
    commands.sort();
    commands.dedup();
    for expected in [
        format!("handfast approve {waiting} --data"),
        "handfast approve --data".to_owned(),
        "handfast pending --data".to_owned(),
        "handfast nodes list --data".to_owned(),
        "handfast codes withdraw ".to_owned(),
        "handfast codes list --data".to_owned(),
        "handfast pairing open --data".to_owned(),
        "handfast companions invite --data".to_owned(),
        "handfast companions list --data".to_owned(),
        "handfast senders list --data".to_owned(),
        "handfast senders list --include-revoked --data".to_owned(),
        "handfast watch --data".to_owned(),
    ] {
        assert!(commands.iter().any(|one| one.starts_with(&expected)), "{expected}: {commands:#?}");
    }
    // Approving by id first leaves nothing for the approval without one, so it goes last.
    let last = commands.iter().position(|one| one.starts_with("handfast approve --data")).unwrap();
    let without_id = commands.remove(last);
    for command in &commands {
        let (code, said) = obeyed(command);
        // `watch` goes on until it is interrupted.
        let goes_on = command.starts_with("handfast watch") && code == 130;
        assert!(code == 0 || goes_on, "{command}: {code} {said}");
    }
    gateway.ask("Another Pi").await;
    let (code, said) = obeyed(&without_id);
    assert_eq!(code, 0, "{without_id}: {said}");
}

#[test]
fn without_a_gateway_the_advice_starts_one() {
    let data = super::gateway::private_dir();
    let place = data.path().to_str().unwrap();
    let (code, _, err) = text(&run("handfast", &["status", "--data", place]));
    assert_eq!(code, 1, "{err}");
    let [serve] = &advised(&err)[..] else { panic!("{err}") };
    // The usual port may be taken on this machine, which is no fault of the advice.
    let (code, said) = obeyed(&format!("{serve} --listen 127.0.0.1:0"));
    assert!(code == 0 && said.contains("handfast gateway: ws://"), "{code} {said}");
}

#[test]
fn a_companions_advice_names_its_session_again() {
    let gateway = Gateway::start();
    let file = gateway.data.path().join("my session.json");
    let session = ["--session", file.to_str().unwrap()];
    let (code, _, err) = text(&run("handfast", &[&["companion", "status"][..], &session].concat()));
    assert_eq!(code, 1, "{err}");
    let quoted = format!("handfast companion --code - --session '{}'", file.display());
    assert_eq!(advised(&err), [quoted]);
    let started = gateway.answer(&[
        "companions",
        "invite",
        "--public-url",
        &format!("ws://{}", gateway.address),
    ]);
    let code = started["payload"].as_str().unwrap();
    let paired = text(&run("handfast", &[&["companion", "--code", code][..], &session].concat()));
    assert_eq!(paired.0, 0, "{}", paired.2);
    let [status] = &advised(&paired.1)[..] else { panic!("{}", paired.1) };
    let (code, said) = obeyed(status);
    assert!(code == 0 && said.contains("session"), "{status}: {said}");
}

/// Returns the sources below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            found.push(entry);
        }
    }
}

#[test]
fn no_advised_command_is_written_by_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/cli/src");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    assert!(files.len() > 50, "{files:?}");
    for file in files.iter().filter(|file| !file.ends_with("hints.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        let by_hand = |line: &&str| {
            let code = !line.trim_start().starts_with("//");
            code && (line.contains(": handfast ") || line.contains("--data {"))
        };
        let found: Vec<&str> = shipped.lines().filter(by_hand).collect();
        assert!(found.is_empty(), "{}: {found:?}; make it in hints.rs", file.display());
    }
}
