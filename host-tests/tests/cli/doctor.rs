//! `handfast doctor`, where each thing that it finds is provoked.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::gateway::{Gateway, private_dir};
use super::identity::{World, copy_in_quarantine};
use crate::binaries::{program, run, text};

/// Examines a data directory, and returns the exit code and the names of what was found.
fn found(data: &Path, more: &[&str]) -> (i32, Vec<String>) {
    let args = [&["doctor", "--json", "--data", data.to_str().unwrap()], more].concat();
    let (code, out, err) = text(&run("handfast", &args));
    names(code, &out, &err)
}

fn names(code: i32, out: &str, err: &str) -> (i32, Vec<String>) {
    let told: Value = serde_json::from_str(out).unwrap_or_else(|why| panic!("{why}: {out}{err}"));
    let findings = told["findings"].as_array().unwrap();
    for one in findings {
        assert!(!one["mend"].as_str().unwrap().is_empty(), "{one}");
    }
    let names = findings.iter().map(|one| one["name"].as_str().unwrap().to_owned());
    (code, names.collect())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Starts a gateway and ends it, and returns its data.
fn stopped() -> tempfile::TempDir {
    let Gateway { mut running, data, .. } = Gateway::start();
    running.kill();
    data
}

#[test]
fn nothing_is_found_where_a_gateway_runs_well() {
    let gateway = Gateway::start();
    assert_eq!(found(gateway.data.path(), &[]), (0, vec![]));
    let (code, out, _) = gateway.verb(&["doctor"]);
    assert_eq!(code, 0);
    assert!(out.ends_with("nothing was found\n"), "{out}");
}

#[test]
fn a_gateway_that_does_not_run_is_found_with_the_command_that_starts_it() {
    let data = stopped();
    assert_eq!(found(data.path(), &[]), (1, vec!["not_running".to_owned()]));
    let (code, out, err) =
        text(&run("handfast", &["doctor", "--data", data.path().to_str().unwrap()]));
    assert!(code == 1 && out.contains("handfast serve --data"), "{out}");
    assert!(err.contains("1 thing was found"), "{err}");
    let none = data.path().join("none");
    let (code, names) = found(&none, &[]);
    assert_eq!((code, names[0].as_str()), (1, "no_data"));
}

#[test]
fn what_others_may_read_is_found() {
    let data = stopped();
    mode(data.path(), 0o755);
    assert!(found(data.path(), &[]).1.contains(&"directory_open".to_owned()));
    mode(data.path(), 0o700);
    for name in ["store.key", "handfast.db"] {
        mode(&data.path().join(name), 0o644);
        assert!(found(data.path(), &[]).1.contains(&"file_open".to_owned()), "{name}");
        mode(&data.path().join(name), 0o600);
    }
}

#[test]
fn a_registry_without_its_key_and_one_that_is_damaged_are_found() {
    let data = stopped();
    let (key, registry) = (data.path().join("store.key"), data.path().join("handfast.db"));
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(found(data.path(), &[]).1.contains(&"no_store_key".to_owned()));
    fs::write(&key, [7; 32]).unwrap();
    mode(&key, 0o600);
    assert!(found(data.path(), &[]).1.contains(&"wrong_store_key".to_owned()));
    fs::write(&key, kept).unwrap();
    assert_eq!(found(data.path(), &[]).1, ["not_running"]);
    let mut bytes = fs::read(&registry).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0x5a);
    fs::write(&registry, bytes).unwrap();
    assert!(found(data.path(), &[]).1.contains(&"registry_damaged".to_owned()));
}

#[test]
#[ignore = "needs root, to mount a small disk"]
fn a_disk_with_little_room_is_found() {
    let data = private_dir();
    let script = r#"mount -t tmpfs -o size=1m,mode=700 none "$0" && exec "$@""#;
    let program = program("handfast").get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(data.path()).arg(program);
    let output = command.args(["doctor", "--json", "--data"]).arg(data.path()).output().unwrap();
    let (code, out, err) = text(&output);
    assert_eq!(
        names(code, &out, &err),
        (1, vec!["disk_full".to_owned(), "not_running".to_owned()])
    );
}

#[test]
fn copied_nodes_and_a_restored_registry_are_found() {
    let world = World::start();
    let state = world.pair(&[]);
    let (_state, _node) = copy_in_quarantine(&world, &state);
    let (code, names) = found(world.gateway.data.path(), &[]);
    assert_eq!((code, names), (1, vec!["quarantined".to_owned()]));
}

#[test]
fn certificates_of_an_authority_that_was_left_out_of_a_restore_are_found() {
    let mut world = World::start();
    let state = world.pair(&[]);
    let mut node = world.run(state.path(), &[]);
    node.links("mtls", 1);
    node.running.kill();
    world.gateway.running.kill();
    fs::remove_dir_all(world.gateway.data.path().join("ca")).unwrap();
    let world = world.crash_and_restart();
    let (_, out, _) = world.gateway.verb(&["doctor"]);
    assert!(out.contains("authority has signed 1 certificate of its nodes"), "{out}");
    assert!(world.gateway.log().contains("put the folder `ca` back"), "{}", world.gateway.log());
    let (_, out, _) = world.gateway.verb(&["certs", "list"]);
    assert!(out.replace('\n', " ").contains("of another"), "{out}");
}

#[test]
fn a_configuration_with_mistakes_and_an_address_that_is_taken_are_found() {
    let data = stopped();
    let place = private_dir();
    let file = place.path().join("handfast.toml");
    let config = ["--config", file.to_str().unwrap()];
    fs::write(&file, "lissten = 3\n").unwrap();
    assert_eq!(found(data.path(), &config).1, ["not_running", "config"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(&file, format!("listen = \"{}\"\n", taken.local_addr().unwrap())).unwrap();
    assert_eq!(found(data.path(), &config).1, ["not_running", "address"]);
    fs::write(&file, "listen = \"0.0.0.0:0\"\n").unwrap();
    assert_eq!(found(data.path(), &config).1, ["not_running", "plain_listener"]);
}

#[test]
fn a_certificate_that_ends_soon_and_files_that_are_none_are_found() {
    let data = stopped();
    let place = private_dir();
    let named = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (cert, key, file) = (named("cert.pem"), named("key.pem"), named("handfast.toml"));
    let config = format!("listen = \"127.0.0.1:0\"\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"\n");
    fs::write(&file, config).unwrap();
    for (days, finds) in [("3", true), ("90", false)] {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-subj", "/CN=localhost", "-days", days])
            .args(["-out", &cert, "-keyout", &key])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        mode(Path::new(&key), 0o600);
        let (_, names) = found(data.path(), &["--config", &file]);
        assert_eq!(names.contains(&"certificate_ends".to_owned()), finds, "{days}: {names:?}");
    }
    fs::write(&cert, "none").unwrap();
    assert_eq!(found(data.path(), &["--config", &file]).1, ["not_running", "tls_files"]);
}
