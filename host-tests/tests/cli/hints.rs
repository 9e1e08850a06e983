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

/// Returns the command of this program or of the node's that a text advises for something.
fn advised_to(what: &str, text: &str) -> String {
    let line = text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{text}"));
    let at = line.find(": handfast").unwrap_or_else(|| panic!("{line}"));
    line[at + 2..].trim().to_owned()
}

/// Runs a command as a shell reads it. One that goes on is ended after a while.
fn obeyed(command: &str) -> (i32, String) {
    typed_at(command, 3, &[], b"")
}

/// Runs a command as a shell reads it, in an environment and with this text as its input, for at
/// most so many seconds.
fn typed_at(
    command: &str,
    seconds: u32,
    environment: &[(&str, &Path)],
    input: &[u8],
) -> (i32, String) {
    let bin = program("handfast");
    let bin = std::path::Path::new(bin.get_program()).parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut typed = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut typed, input).unwrap();
    std::io::Seek::rewind(&mut typed).unwrap();
    let mut shell = Command::new("timeout");
    shell
        .args(["--preserve-status", "--signal=INT", &seconds.to_string(), "bash", "-c", command])
        .env("PATH", path)
        .env_remove("STATE_DIRECTORY")
        .env_remove("XDG_DATA_HOME")
        .stdin(typed);
    shell.envs(environment.iter().copied());
    let (code, out, err) = text(&shell.output().unwrap());
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
        &["operators", "list"],
        &["tokens", "list"],
        &["tokens", "revoke", "0123456789", "--yes"],
        &["companions", "list"],
        &["companions", "list", "--all"],
        &["companions", "revoke", "", "--yes"],
        &["companions", "revoke", "ffffffff", "--yes"],
        &["senders", "reject", "telegram:@nobody"],
        &["senders", "approve", "ABCDEFGH"],
        &["nodes", "permissions", "nobody"],
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
        "handfast nodes list --permissions --data".to_owned(),
        "handfast codes withdraw ".to_owned(),
        "handfast codes list --data".to_owned(),
        "handfast pairing open --data".to_owned(),
        "handfast companions invite --data".to_owned(),
        "handfast companions list --data".to_owned(),
        "handfast login --data".to_owned(),
        "handfast tokens create --role viewer --data".to_owned(),
        "handfast tokens list --data".to_owned(),
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
        // These go on until they are interrupted.
        let waits = ["handfast watch", "handfast login"];
        let goes_on = waits.iter().any(|it| command.starts_with(it)) && code == 130;
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

/// Runs a node's command, with a state directory of its own.
fn node_obeys(command: &str, input: &str) -> (i32, String) {
    let state = super::gateway::private_dir();
    typed_at(command, 20, &[("STATE_DIRECTORY", state.path())], input.as_bytes())
}

#[test]
fn what_the_operator_is_advised_to_type_at_a_node_or_a_companion_pairs_it_as_it_is_printed() {
    let gateway = Gateway::start();
    let url = format!("ws://{}", gateway.address);
    let first = |text: &str| text.lines().find(|line| !line.is_empty()).unwrap().to_owned();

    for (method, secret) in [("pin", 6), ("code", 8)] {
        let (_, typed, _) = gateway.verb(&["pairing", "code", "--method", method, "--ttl", "60s"]);
        let shown = first(&typed);
        assert_eq!(shown.split_once('-').map(|(_, rest)| rest.len()), Some(secret), "{shown}");
        let (code, said) = node_obeys(&advised_to("type it into", &typed), &shown);
        assert!(code == 0 && said.contains("Paired"), "{code} {said}");
    }
    let contradiction = ["codes", "create", "--method", "pin", "--address", &url];
    assert_eq!(gateway.verb(&contradiction).0, 2);

    let (_, scanned, err) =
        gateway.verb(&["codes", "create", "--method", "qr", "--text", "--address", &url]);
    let (code, said) = node_obeys(&advised_to("paste the line into", &scanned), &first(&scanned));
    assert!(code == 0 && said.contains("Paired"), "{code} {said} {err}");

    let invite = ["companions", "invite", "--no-qr", "--public-url", &url];
    let (_, bound, _) = gateway.verb(&[&invite[..], &["--bound"]].concat());
    let (code, said) = node_obeys(&advised_to("Paste the line", &bound), &first(&bound));
    assert!(code == 0 && said.contains("Paired"), "{code} {said}");

    let (_, open, _) = gateway.verb(&invite);
    let home = super::gateway::private_dir();
    let command = advised_to("Paste the line", &open);
    let (code, said) = typed_at(&command, 20, &[("HOME", home.path())], first(&open).as_bytes());
    assert_eq!(code, 0, "{command}: {said}");

    // One that asks is told of, with a placeholder for each value that only its reader knows.
    let (_, none, _) = Gateway::start().verb(&["nodes", "list"]);
    let command = advised_to("one that asks shows up here", &none);
    let filled = command.replace("URL", &url).replace("NAME", "lamp").replace("ROOM", "hall");
    let (code, said) = node_obeys(&filled, "");
    assert!(code == 0 && gateway.verb(&["nodes", "list"]).1.contains("lamp"), "{filled}: {said}");
}

/// Writes a registry of the first version, with the schema as the store keeps it.
fn of_the_first_version(data: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/store/src/sqlite");
    let between = |file: &str, begin: &str, end: &str| {
        let text = std::fs::read_to_string(sources.join(file)).unwrap();
        let (_, rest) = text.split_once(begin).unwrap();
        rest.split_once(end).unwrap().0.to_owned()
    };
    let schema = between("migrations.rs", "const V1: &str = \"", "\";");
    let id = between("schema.rs", "const APPLICATION_ID: i64 = ", ";").replace('_', "");
    let file = data.join("handfast.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    let rest = format!("PRAGMA application_id = {id}; PRAGMA user_version = 1;");
    connection.execute_batch(&format!("{schema}{rest}")).unwrap();
    drop(connection);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(file, private).unwrap();
}

#[test]
fn what_takes_a_registry_of_an_older_version_back_works_as_it_is_printed() {
    let data = super::gateway::private_dir();
    of_the_first_version(data.path());
    let mut gateway = Gateway::start_in(data, "127.0.0.1:0", &[]);
    let log = gateway.log();
    let command = advised_to("takes it back", &log);
    let (command, _) = command.split_once(" takes it back").unwrap();
    gateway.running.kill();
    let (code, said) = obeyed(command);
    assert!(code == 0 && said.contains("Start the gateway with: "), "{command}: {code} {said}");
}

#[test]
#[ignore = "needs QEMU and rustup, and takes minutes"]
fn the_chapter_of_the_demo_with_microcontrollers_is_played_as_the_demo_says() {
    let (code, said, _) = text(&run("handfast", &["demo"]));
    assert_eq!(code, 0, "{said}");
    let command = advised_to("handfast demo --boards", &said);
    let (code, said) = typed_at(&command, 3_600, &[], b"");
    assert_eq!(code, 0, "{command}: {said}");
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
