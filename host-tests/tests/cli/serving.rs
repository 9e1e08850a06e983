//! Options of a gateway, its start-up output, and its refusals at the start.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::gateway::{Gateway, private_dir};
use crate::binaries::{Running, program, run, text};

fn serve(data: &Path, more: &[&str]) -> (i32, String, String) {
    let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    args.extend(more);
    text(&run("handfast", &args))
}

#[test]
fn a_configuration_file_is_taken_and_options_beat_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let rules = "[pairing]\nenabled = true\npin_length = 8\npin_timeout = 120\ndefault_permissions = { read = [\"/public/**\"] }\n";
    std::fs::write(&file, format!("listen_tcp = \"127.0.0.1:0\"\n{rules}")).unwrap();
    let gateway = Gateway::start_with(&["--config", file.to_str().unwrap(), "--pin-length", "5"]);
    assert!(gateway.shown().contains("native wire: tcp://127.0.0.1:"), "{}", gateway.shown());
    let mut node = gateway.node("My Phone", &["--pin"]);
    let pin = gateway.pin(1);
    assert_eq!(pin.len(), 5, "the option beats the file");
    gateway.shows("Expires in 2:00\n");
    node.types(&pin);
    assert_eq!(node.ends().0, 0);
    gateway.shows("Paired \"My Phone\": read /public/**, for 90 days\n");
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_place_and_nothing_is_served() {
    let folder = private_dir();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "[pairing]\npin_lenght = 4\npin_timeout = \"soon\"\n").unwrap();
    let data = folder.path().join("data");
    let (code, out, err) = serve(&data, &["--config", file.to_str().unwrap()]);
    assert!(code == 2 && out.is_empty() && !data.exists(), "{err}");
    assert!(
        err.contains("`pin_lenght` in [pairing] at line 2; did you mean `pin_length`?")
            && err.contains("at line 3"),
        "{err}"
    );
    assert_eq!(serve(&data, &["--pin-length", "3"]).0, 2);
    assert_eq!(serve(&data, &["--config", "/nowhere/gateway.toml"]).0, 2);
}

#[test]
fn the_settings_that_are_printed_are_a_configuration_file() {
    let folder = private_dir();
    let (code, out, _) =
        serve(folder.path(), &["--pairing", "--pin-alphabet", "unambiguous", "--print-config"]);
    assert!(code == 0 && out.contains("enabled = true\n"), "{out}");
    let file = folder.path().join("printed.toml");
    std::fs::write(&file, &out).unwrap();
    let again =
        text(&run("handfast", &["serve", "--config", file.to_str().unwrap(), "--print-config"]));
    assert_eq!((again.0, again.1), (0, out));
}

#[test]
fn the_store_key_is_its_owners_alone_and_one_that_others_can_read_is_refused() {
    let mut gateway = Gateway::start();
    let key = gateway.data.path().join("store.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    gateway.running.kill();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) = serve(gateway.data.path(), &[]);
    assert!(code == 1 && err.contains("chmod 600") && err.contains("store.key"), "{err}");
}

#[test]
fn without_the_store_key_of_its_registry_a_gateway_says_so_and_makes_no_other() {
    let gateway = Gateway::start();
    let own = gateway.answer(&["gateway", "fingerprint"]);
    let mut gateway = gateway;
    gateway.running.kill();
    let key = gateway.data.path().join("store.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let (code, _, err) = serve(gateway.data.path(), &[]);
    assert!(
        code == 1 && err.contains("store.key: there is no store key") && !key.exists(),
        "{err}"
    );
    std::fs::write(&key, kept).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let gateway = gateway.crash_and_restart();
    assert_eq!(
        gateway.answer(&["gateway", "fingerprint"]),
        own,
        "the gateway is the same as before"
    );
}

#[test]
fn a_store_key_alone_begins_no_registry_in_a_file_and_still_opens_the_one_that_is_there() {
    let (data, place) = (private_dir(), private_dir());
    let key = place.path().join("store.key");
    let made = run("handfast", &["store", "make-key", key.to_str().unwrap()]);
    assert_eq!(text(&made).0, 0);
    let (code, out, err) = serve(data.path(), &["--store-key", key.to_str().unwrap()]);
    assert!(code == 2 && out.is_empty() && err.contains("HANDFAST_STORE"), "{out}{err}");
    assert!(!data.path().join("handfast.db").exists());
    let mut gateway = Gateway::start();
    gateway.running.kill();
    std::fs::rename(gateway.data.path().join("store.key"), &key).unwrap();
    let gateway =
        Gateway::start_in(gateway.data, "127.0.0.1:0", &["--store-key", key.to_str().unwrap()]);
    assert_eq!(gateway.verb(&["status"]).0, 0);
}

#[test]
fn a_plain_listener_that_others_reach_is_named_and_the_sealed_one_is_told_apart() {
    let gateway = Gateway::start_in(
        private_dir(),
        "0.0.0.0:0",
        &["--listen-tcp", "0.0.0.0:0", "--listen-tcp", "127.0.0.1:0"],
    );
    let shown = gateway.shown();
    assert_eq!(shown.matches("is not loopback and this listener is not TLS").count(), 1, "{shown}");
    assert_eq!(
        shown.matches("not TLS; the native wire that is spoken there is sealed without it").count(),
        1,
        "{shown}"
    );
    let loopback = Gateway::start_with(&["--listen-tcp", "127.0.0.1:0"]).shown();
    assert!(!loopback.contains("not TLS"), "{loopback}");
    let taken = loopback
        .lines()
        .find_map(|line| line.strip_prefix("native wire: tcp://"))
        .unwrap()
        .to_owned();
    let first = Gateway::start_with(&["--listen-tcp", &taken]);
    let (code, _, err) = serve(private_dir().path(), &["--listen-tcp", &taken]);
    assert!(code == 1 && err.contains(&taken) && err.contains("--listen-tcp"), "{err}");
    drop(first);
}

#[test]
fn where_standard_output_is_the_systems_journal_no_pin_is_printed() {
    let folder = private_dir();
    let out = folder.path().join("journal");
    let journal = std::fs::File::create(&out).unwrap();
    let about = journal.metadata().unwrap();
    let data = folder.path().join("data");
    let mut command = program("handfast");
    command.args(["serve", "--pairing", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    command
        .env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()))
        .stdout(journal)
        .stderr(Stdio::null());
    let _gateway = Running(command.spawn().unwrap());
    let shows = |words: &str| loop {
        let shown = std::fs::read_to_string(&out).unwrap();
        if shown.contains(words) {
            return shown;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let shown = shows("approve nodes with");
    let address = shown.split("gateway: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let mut command = program("handfast-node");
    command
        .args(["pair", "--pin", "--gateway", address, "--name", "My Phone", "--state"])
        .arg(folder.path().join("node"));
    let _node = Running(
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(),
    );
    let shown = shows("Expires in 5:00");
    assert!(
        shown.contains("Pairing request from \"My Phone\"\nPIN: not shown here")
            && shown.contains("handfast watch"),
        "{shown}"
    );
}

#[test]
fn a_gateways_name_is_shown_in_its_status() {
    let gateway = Gateway::start_with(&["--name", "K\u{fc}che"]);
    let (code, out, _) = gateway.verb(&["status"]);
    assert!(code == 0 && out.starts_with("gateway:     K\u{fc}che, "), "{out}");
    assert_eq!(gateway.answer(&["status"])["name"], "K\u{fc}che");
    assert_eq!(Gateway::start().answer(&["status"]).get("name"), None);
    let folder = private_dir();
    for wrong in [" ", "a\u{1b}b", &"n".repeat(65)] {
        let (code, _, err) = serve(folder.path(), &["--name", wrong]);
        assert!(code == 2 && err.contains("1 to 64 characters"), "{err}");
    }
}
