//! A listener with a certificate of the gateway's own authority.

use std::path::Path;
use std::process::Command;

use super::gateway::{Gateway, private_dir};
use crate::binaries::{run, text};

/// Returns what a program prints, with its exit code.
fn output(command: &mut Command) -> (i32, String, String) {
    text(&command.output().unwrap())
}

fn curl(roots: Option<&Path>, address: &str) -> (i32, String, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
    if let Some(roots) = roots {
        command.arg("--cacert").arg(roots);
    }
    output(command.arg(format!("https://{address}/health")))
}

/// The fingerprint that openssl computes of the certificate that is shown.
fn shown(address: &str) -> String {
    let line = format!(
        "openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
    );
    let (code, out, err) = output(Command::new("sh").args(["-c", &line]));
    assert_eq!(code, 0, "{err}");
    out.trim().split_once('=').unwrap().1.to_owned()
}

#[test]
fn a_certificate_of_its_own_is_shown_printed_and_the_same_after_a_restart() {
    let gateway = Gateway::start_in(private_dir(), "127.0.0.1:0", &["--tls-own"]);
    let address = gateway.address.clone();
    let roots = Path::new(gateway.data()).join("ca/roots.pem");
    let (code, _, err) = curl(Some(&roots), &address);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = curl(None, &address);
    assert_eq!(code, 60, "a stranger's authority is not trusted: {err}");

    let fingerprint = shown(&address);
    gateway.shows(&format!("certificate of its own: {fingerprint}"));
    let (code, out, err) = gateway.verb(&["login", "--no-wait", "--no-qr"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("https://{address}/login#")), "{out}");
    let (first, second) = fingerprint.split_at(48);
    assert!(err.contains(&format!("\n  {first}\n  {second}\n")), "{err}");
    assert!(err.lines().all(|line| line.chars().count() <= 80 || line.starts_with("note: ")));

    let gateway = gateway.crash_and_restart_with(&["--tls-own"]);
    assert_eq!(shown(&gateway.address), fingerprint);
}

#[test]
fn two_certificates_for_one_listener_are_a_mistake_that_is_named() {
    let own = ["config", "check", "--tls-own", "--tls-cert", "c.pem", "--tls-key", "k.pem"];
    let (code, _, err) = text(&run("handfast", &own));
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("a listener has one certificate, so leave one of them out"), "{err}");
}

#[test]
fn a_node_that_is_sent_to_a_listener_for_tls_by_another_scheme_is_told_which_one_it_needs() {
    let gateway = Gateway::start_in(private_dir(), "127.0.0.1:0", &["--tls-own"]);
    let state = private_dir();
    let pair = |address: &str| {
        let state = state.path().to_str().unwrap();
        let given =
            ["pair", "--approval", "--name", "Desk", "--state", state, "--gateway", address];
        text(&run("handfast-node", &given))
    };
    for scheme in ["ws", "tcp"] {
        let (code, out, err) = pair(&format!("{scheme}://{}", gateway.address));
        assert!(code != 0 && format!("{out}{err}").contains("wss://"), "{scheme}: {out}{err}");
    }
    let (code, out, err) = pair(&gateway.address);
    assert!(code == 2 && err.contains("tcp://"), "{out}{err}");
}
