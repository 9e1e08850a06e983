//! A registry that moves from a file to a database and back.

use super::*;

/// Returns what nodes and certificates know the gateway by.
fn known_by(gateway: &Gateway) -> (Value, String) {
    let shown = gateway.shown();
    let authority = shown.lines().find(|line| line.contains("certificate authority:")).unwrap();
    let authority = authority.split(" (in ").next().unwrap().to_owned();
    (gateway.answer(&["status"])["fingerprint"].clone(), authority)
}

fn copy(args: &[&str]) -> (i32, String, String) {
    text(&run("handfast", &[&["store", "copy"], args].concat()))
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_registry_moves_to_a_database_and_back_with_its_nodes_its_authority_and_its_codes() {
    let listen = ["--listen-mtls", "127.0.0.1:0"];
    let mut gateway = Gateway::start_with(&listen);
    let state = pair(&gateway);
    let known = known_by(&gateway);
    let setup = std::fs::read(gateway.data.path().join("setup.key")).unwrap();
    let server = PostgresServer::start();
    let database = server.create();
    let (url, file) = (server.url(&database), format!("sqlite:{}", gateway.data()));
    let (code, _, err) = copy(&["--from", &file, "--to", &url]);
    assert_eq!(code, 1, "a gateway has it open: {err}");
    gateway.running.kill();
    // An address with a password is said with the variable that it has to be in.
    let mut hidden = program("handfast");
    hidden.args(["store", "copy", "--from", &file, "--to", "postgres"]);
    let secret = url.replace("//handfast@", "//handfast:geheim@");
    let second = server.create();
    let secret = secret.replace(&database, &second);
    let (code, out, err) = text(&hidden.env("HANDFAST_STORE", &secret).output().unwrap());
    assert!(code == 0 && out.contains("wherever HANDFAST_STORE is the address"), "{out}{err}");
    assert!(out.contains("//handfast:***@") && !out.contains("geheim"), "{out}");
    let (code, out, err) = copy(&["--from", &file, "--to", &url]);
    assert!(code == 0 && out.starts_with("1 node, "), "{out}{err}");
    assert!(out.contains("handfast serve --store-key ") && out.contains(&url), "{out}");
    let (code, _, err) = copy(&["--from", &file, "--to", &url]);
    assert!(code == 1 && !err.is_empty(), "it is not empty any more");
    let (code, _, err) = copy(&["--from", &file, "--to", &file]);
    assert!(code == 2 && err.contains("backup and restore"), "{err}");

    let key = gateway.data.path().join("store.key").display().to_string();
    let serve = ["--store", &url, "--store-key", &key, "--gateway-id", "a"];
    let mut shared = Gateway::start_with(&[&serve[..], &listen].concat());
    assert_eq!(known_by(&shared), known);
    let mut node = run_at(&shared, &state, &[]);
    node.running.kill();
    shared.running.kill();

    let back = private_dir();
    let file = format!("sqlite:{}", back.path().display());
    let (code, out, err) = until("the lease is over", || {
        match copy(&["--from", &url, "--to", &file, "--store-key", &key]) {
            (0, out, err) => Ok((0, out, err)),
            (_, out, err) => Err(out + &err),
        }
    });
    assert!(code == 0 && out.contains("handfast serve --data"), "{out}{err}");
    assert_eq!(std::fs::read(back.path().join("setup.key")).unwrap(), setup);
    let again = Gateway::start_in(back, "127.0.0.1:0", &listen);
    assert_eq!(known_by(&again), known);
    run_at(&again, &state, &[]);
}
