//! What a gateway looks at before it serves a registry that others share.

use super::*;

#[test]
#[ignore = "needs PostgreSQL"]
fn gateways_of_one_registry_are_one_gateway_to_nodes_and_certificates() {
    let registry = Registry::new();
    let listen = ["--listen-mtls", "127.0.0.1:0"];
    let [one, other] = ["one", "other"].map(|name| registry.gateway_with(name, &listen));
    let told = |gateway: &Gateway, word: &str| {
        let shown = gateway.shown();
        let line = shown.lines().find(|line| line.contains(word)).unwrap().to_owned();
        line.split(" (in ").next().unwrap().to_owned()
    };
    let fingerprint = |gateway: &Gateway| gateway.answer(&["status"])["fingerprint"].clone();
    assert_eq!(fingerprint(&one), fingerprint(&other));
    assert_eq!(told(&one, "certificate authority:"), told(&other, "certificate authority:"));
    let roots = |gateway: &Gateway| {
        std::fs::read_to_string(gateway.data.path().join("ca/roots.pem")).unwrap()
    };
    assert_eq!(roots(&one), roots(&other));
    // No secret is a file of a gateway.
    for name in ["handfast.db", "store.key", "setup.key", "ca/authority"] {
        assert!(!one.data.path().join(name).exists(), "{name}");
    }
    assert_eq!(one.verb(&["certs", "rotate", "--yes"]).0, 0);
    assert_eq!(roots(&one).matches("BEGIN").count(), 2);
    until("the other one has the new root", || match roots(&other) {
        found if found == roots(&one) => Ok(()),
        found => Err(found),
    });
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_gateway_without_the_registrys_store_key_is_refused_and_changes_nothing() {
    let registry = Registry::new();
    let (code, err) = registry.refused(&[]);
    assert!(code == 1 && err.contains("there is no store key"), "{err}");
    let made = err.split("handfast store make-key ").nth(1).expect(&err).trim();
    assert!(made.ends_with("store.key"), "{err}");
    let mut first = registry.gateway("first");
    first.running.kill();
    let sealed = || registry.sql("SELECT name, md5(sealed) FROM handfast.vault ORDER BY name");
    let (before, place) = (sealed(), private_dir());
    let foreign = place.path().join("foreign.key").display().to_string();
    assert_eq!(text(&run("handfast", &["store", "make-key", &foreign])).0, 0);
    let (code, err) = registry.refused(&["--store-key", &foreign, "--gateway-id", "second"]);
    assert!(code == 1 && err.contains("does not open this registry's secrets"), "{err}");
    assert!(err.contains("foreign.key"), "{err}");
    assert_eq!(sealed(), before);
    let (code, _, err) = text(&run("handfast", &["store", "make-key", &foreign]));
    assert!(code == 1 && err.contains("there is something already"), "{err}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_registry_of_a_newer_version_is_refused_with_words_and_left_as_it_is() {
    let registry = Registry::new();
    registry.gateway("first").running.kill();
    registry.sql("UPDATE handfast.registry SET version = 99");
    let key = registry.key();
    let (code, err) = registry.refused(&["--store-key", &key]);
    assert!(code == 1 && err.contains("a newer Handfast wrote this registry (schema 99"), "{err}");
    assert_eq!(registry.sql("SELECT version FROM handfast.registry"), "99");
    let place = private_dir();
    let config = place.path().join("handfast.toml");
    std::fs::write(&config, format!("store = {:?}\n", registry.address())).unwrap();
    let doctor = ["doctor", "--json", "--config", config.to_str().unwrap(), "--data"];
    let (_, out, _) =
        text(&run("handfast", &[&doctor[..], &[place.path().to_str().unwrap()]].concat()));
    assert!(out.contains("\"database_refused\"") && out.contains("schema 99"), "{out}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_gateway_waits_for_its_database_and_says_so_and_ends_at_a_signal() {
    let registry = Registry::new();
    registry.server.stop();
    let (data, log) = (private_dir(), private_dir());
    let start = || {
        let file = std::fs::File::create(log.path().join("log")).unwrap();
        let mut command = program("handfast");
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
        command.args(["--store", &registry.address(), "--store-key", &registry.key()]);
        command.stdout(Stdio::piped()).stderr(file).spawn().unwrap()
    };
    let said = || std::fs::read_to_string(log.path().join("log")).unwrap();
    let waits = || {
        until("it says that it waits", || match said() {
            text if text.contains("the gateway waits for it") => Ok(text),
            text => Err(text),
        })
    };
    let mut waiting = Running(start());
    waits();
    let pid = rustix::process::Pid::from_child(&waiting.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(waiting.0.wait().unwrap().code(), Some(0));

    let place = private_dir();
    let config = place.path().join("handfast.toml");
    std::fs::write(&config, format!("store = {:?}\n", registry.address())).unwrap();
    let doctor = ["doctor", "--json", "--config", config.to_str().unwrap(), "--data"];
    let (_, out, _) =
        text(&run("handfast", &[&doctor[..], &[place.path().to_str().unwrap()]].concat()));
    assert!(out.contains("\"database_unreachable\""), "{out}");

    let child = start();
    let text = waits();
    assert_eq!(text.matches("the gateway waits").count(), 1, "{text}");
    registry.server.start_again();
    // It serves once the database does.
    let gateway = Gateway::of(child, data, log.path().join("log"));
    assert_eq!(gateway.verb(&["status"]).0, 0);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_password_of_the_database_is_in_no_output_and_in_no_list_of_processes() {
    let place = private_dir();
    let secret = "postgres://handfast:geheim@127.0.0.1:1/handfast";
    let at = place.path().to_str().unwrap();
    let (code, _, err) = text(&run("handfast", &["config", "check", "--store", secret]));
    assert!(code == 1 && err.contains("HANDFAST_STORE") && !err.contains("geheim"), "{err}");
    let config = place.path().join("handfast.toml");
    std::fs::write(&config, format!("store = {secret:?}\n")).unwrap();
    let file = config.to_str().unwrap();
    let mode = |mode| {
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    let (code, _, err) = text(&run("handfast", &["config", "check", "--config", file]));
    assert!(code == 1 && err.contains("chmod o= ") && !err.contains("geheim"), "{err}");
    mode(0o640);
    let print = ["config", "print", "--config", file, "--data", at];
    let (code, out, err) = text(&run("handfast", &print));
    assert!(code == 0 && out.contains("postgres://handfast:***@127.0.0.1:1/"), "{out}{err}");
    assert!(!out.contains("geheim"), "{out}");
    let mut command = program("handfast");
    command.args(["config", "print", "--data", at]).env("HANDFAST_STORE", secret);
    let (code, out, _) = text(&command.output().unwrap());
    assert!(code == 0 && out.contains(":***@") && !out.contains("geheim"), "{out}");
    let (_, out, _) = text(&run("handfast", &["doctor", "--config", file, "--data", at]));
    assert!(out.contains("handfast:***@127.0.0.1:1") && !out.contains("geheim"), "{out}");
}
