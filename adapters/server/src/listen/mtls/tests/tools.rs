//! Handshakes with other programs as the node.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::*;

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                       Sec-WebSocket-Protocol: handfast.link.v1\r\n\r\n";

/// Runs `openssl s_client`, which asks for a link and waits a moment for the answer.
async fn s_client(world: &World, node: Option<(String, String)>, more: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &world.address.to_string(), "-servername", "localhost"])
        .args(["-CAfile", path(&world.roots()), "-verify_return_error"])
        .args(["-msg", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"])
        .args(more);
    if let Some((certificate, key)) = node {
        command.args(["-cert", &certificate, "-key", &key]);
    }
    run(command, UPGRADE).await
}

/// Runs a program with this input, and returns all that it prints.
async fn run(mut command: Command, input: &'static str) -> String {
    let output = tokio::task::spawn_blocking(move || -> Output {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that was refused reads no more.
        let _ = stdin.write_all(input.as_bytes());
        // The program ends with its input, so the answer needs a moment before that.
        std::thread::sleep(std::time::Duration::from_secs(2));
        drop(stdin);
        child.wait_with_output().unwrap()
    });
    let Output { stdout, stderr, .. } = output.await.unwrap();
    String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl"]
async fn openssl_links_with_an_allowed_certificate_and_gets_no_ticket() {
    let world = World::start().await;
    let files = world.files("node", &world.admitted());
    let said = s_client(&world, Some(files), &["-tls1_3"]).await;
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    assert!(said.contains("HTTP/1.1 101") && said.contains("handfast.link.v1"), "{said}");
    assert_eq!(said.matches("NewSessionTicket").count(), 0, "{said}");
    // What it exports is what the gateway says to the node.
    let exported = said.split("Keying material: ").nth(1).unwrap();
    let exported = exported.split_whitespace().next().unwrap().to_lowercase();
    assert_eq!(exported.len(), 64, "{exported}");
    assert!(said.contains(&format!("{NODE} {exported}")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl"]
async fn openssl_is_refused_with_every_certificate_that_is_not_allowed() {
    let (world, other) = (World::start().await, World::start().await);
    for (name, node, alert) in outsiders(&world, &other) {
        let files = world.files(name, &node);
        let said = s_client(&world, Some(files), &["-tls1_3"]).await;
        assert!(said.contains(&format!("SSL alert number {alert}")), "{name}: {said}");
        assert!(!said.contains("HTTP/1.1 101"), "{name}: {said}");
    }
    let said = s_client(&world, None, &["-tls1_3"]).await;
    assert!(said.contains("SSL alert number 116") && !said.contains("HTTP/1.1 101"), "{said}");
    let files = world.files("node", &world.admitted());
    let said = s_client(&world, Some(files), &["-tls1_2"]).await;
    assert!(said.contains("SSL alert number 70") && !said.contains("HTTP/1.1 101"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl"]
async fn openssl_verifies_the_chain_of_a_nodes_certificate_and_reads_the_revocation_list() {
    let world = World::start().await;
    let node = world.admitted();
    let (certificate, _) = world.files("node", &node);
    let (now, authority) = (world.gateway.now(), world.gateway.authority());
    let verify = async |serials: &[_]| {
        let lists = authority.revocation_lists(serials, now).unwrap().pem();
        let file = world.directory.path().join("lists.pem");
        std::fs::write(&file, lists).unwrap();
        let mut command = Command::new("openssl");
        command.args(["verify", "-x509_strict", "-purpose", "sslclient", "-crl_check"]).args([
            "-CAfile",
            path(&world.roots()),
            "-CRLfile",
            path(&file),
            &certificate,
        ]);
        run(command, "").await
    };
    let said = verify(&[]).await;
    assert!(said.contains(": OK"), "{said}");
    let said = verify(&[(node.issued.serial, now)]).await;
    assert!(said.contains("certificate revoked"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl"]
async fn curl_is_told_what_is_spoken_here_and_is_refused_without_a_certificate() {
    let world = World::start().await;
    let (certificate, key) = world.files("node", &world.admitted());
    let curl = async |more: Vec<String>| {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "-i", "--cacert", path(&world.roots())])
            .arg(format!("https://localhost:{}/", world.address.port()))
            .args(["--resolve", &format!("localhost:{}:127.0.0.1", world.address.port())])
            .args(more);
        run(command, "").await
    };
    let with = |more: &[&str]| {
        let own = ["--cert", &certificate, "--key", &key];
        own.iter().chain(more).map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let said = curl(with(&[])).await;
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("handfast.link.v1"), "{said}");
    let said = curl(Vec::new()).await;
    assert!(said.starts_with("curl: ") && said.contains("certificate required"), "{said}");
    let said = curl(with(&["--tls-max", "1.2"])).await;
    assert!(said.starts_with("curl: ") && said.contains("protocol version"), "{said}");
}

const PYTHON: &str = r#"
import socket, ssl, sys
port, roots, certificate, key = int(sys.argv[1]), *sys.argv[2:5]
context = ssl.create_default_context(cafile=roots)
context.load_cert_chain(certificate, key)
with socket.create_connection(("127.0.0.1", port)) as plain:
    with context.wrap_socket(plain, server_hostname="localhost") as tls:
        tls.sendall(sys.stdin.buffer.read())
        print(tls.version(), tls.session_reused, tls.recv(4096).split(b"\r\n")[0].decode())
        print(tls.session.has_ticket if tls.session else False)
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn python_links_with_an_allowed_certificate_and_is_refused_with_a_revoked_one() {
    let world = World::start().await;
    let node = world.admitted();
    let (certificate, key) = world.files("node", &node);
    let python = async || {
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON, &world.address.port().to_string()]).args([
            path(&world.roots()),
            &certificate,
            &key,
        ]);
        run(command, UPGRADE).await
    };
    let said = python().await;
    assert!(said.starts_with("TLSv1.3 False HTTP/1.1 101"), "{said}");
    assert!(said.trim_end().ends_with("False"), "no ticket: {said}");
    world.gateway.allow_list().revoke(&node.issued.serial);
    let said = python().await;
    assert!(said.contains("CERTIFICATE_REVOKED"), "{said}");
}
