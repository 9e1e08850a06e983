//! SIGHUP: files that are read again, and the end of the terminal.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::pty::OpenptFlags;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::gateway::{Gateway, private_dir};
use crate::binaries::{program, run, text};

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn hang_up(gateway: &Gateway) {
    let pid = gateway.running.0.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}

/// Waits for this text in the log, and returns the whole log.
fn logs(gateway: &Gateway, words: &str) -> String {
    let begun = Instant::now();
    loop {
        let log = gateway.log();
        if log.contains(words) {
            return log;
        }
        assert!(begun.elapsed() < PATIENCE, "{words:?} was not logged, only {log}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a gateway with a configuration file.
fn configured(text: &str, more: &[&str]) -> (Gateway, PathBuf) {
    let folder = private_dir();
    let file = folder.path().with_extension("toml");
    std::fs::write(&file, text).unwrap();
    let mut all = vec!["--config", file.to_str().unwrap()];
    all.extend(more);
    (Gateway::start_in(folder, "127.0.0.1:0", &all), file)
}

#[test]
fn a_file_that_is_read_again_changes_its_live_keys_and_names_those_that_wait_for_a_start() {
    let (gateway, file) = configured("log = \"info\"\n[pairing]\nenabled = true\n", &[]);
    let rule = "[[pairing.rule]]\nname = \"Bad*\"\ndecision = \"reject\"\nreason = \"not here\"\n";
    let newer = "log = \"info\"\n[pairing]\nenabled = true\npin_length = 9\n";
    std::fs::write(&file, format!("{newer}{rule}")).unwrap();
    hang_up(&gateway);
    logs(&gateway, "taken over from the configuration: rule in [pairing]");
    logs(&gateway, "taken over only at the next start: pin_length in [pairing]");
    let mut node = gateway.node("Bad Phone", &["--pin"]);
    let pin = gateway.pin(1);
    assert_eq!(pin.len(), 6, "as at the start");
    node.types(&pin);
    let (code, said) = node.ends();
    assert!(code != 0 && said.contains("not here"), "{said}");
    let _ = std::fs::remove_file(&file);
}

#[test]
fn a_bad_file_changes_nothing_and_is_named_in_the_log() {
    let (gateway, file) = configured("log = \"info\"\n", &[]);
    std::fs::write(&file, "log = \"trace\"\n[pairing]\npin_lenght = 1\n").unwrap();
    hang_up(&gateway);
    let log = logs(&gateway, "nothing is changed");
    assert!(log.contains(file.to_str().unwrap()) && log.contains("`pin_length`"), "{log}");
    assert_eq!(gateway.devices(&["status"]).0, 0, "it serves on");
    assert!(!gateway.log().contains("TRACE"), "the level is that of the start");
    let _ = std::fs::remove_file(&file);
}

#[test]
fn a_gateway_without_files_ends_in_order() {
    let mut gateway = Gateway::start();
    hang_up(&gateway);
    assert_eq!(gateway.running.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_gateway_ends_in_order_when_its_terminal_hangs_up_though_it_has_a_file() {
    let folder = private_dir();
    let file = folder.path().with_extension("toml");
    std::fs::write(&file, "log = \"info\"\n").unwrap();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = rustix::pty::openpt(flags).unwrap();
    rustix::pty::grantpt(&controller).unwrap();
    rustix::pty::unlockpt(&controller).unwrap();
    let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap();
    let terminal =
        std::fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    // `setsid` makes the terminal on its standard input the controlling one.
    let serve = program("handfast");
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(serve.get_program());
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&file);
    command.arg("--data").arg(folder.path()).stdin(terminal);
    command.stdout(std::process::Stdio::piped());
    let log = folder.path().with_extension("log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let mut gateway = Gateway::of(command.spawn().unwrap(), folder, log);
    drop(controller);
    assert_eq!(gateway.running.0.wait().unwrap().code(), Some(0));
    assert!(!gateway.log().contains("taken over"), "{}", gateway.log());
    let _ = std::fs::remove_file(&file);
}

/// Writes a new certificate for `localhost` and its key.
fn certificate(folder: &Path) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    [cert, key].map(|path| path.to_str().unwrap().to_owned())
}

/// Returns `true` if the gateway proves to have the certificate in this file.
async fn has(gateway: &Gateway, cert: &str) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(&gateway.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again_and_a_key_that_others_may_read_is_not_taken() {
    let folder = private_dir();
    let [cert, key] = certificate(folder.path());
    let gateway = Gateway::start_with(&["--tls-cert", &cert, "--tls-key", &key]);
    assert!(has(&gateway, &cert).await);
    certificate(folder.path());
    assert!(!has(&gateway, &cert).await, "the files alone change nothing");
    hang_up(&gateway);
    logs(&gateway, "the certificate was read again");
    assert!(has(&gateway, &cert).await);
    let kept = folder.path().join("kept.pem");
    std::fs::copy(&cert, &kept).unwrap();
    certificate(folder.path());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    hang_up(&gateway);
    let log = logs(&gateway, "nothing is changed");
    assert!(log.contains(&format!("chmod 600 {key}")), "{log}");
    assert!(has(&gateway, kept.to_str().unwrap()).await);
}

#[test]
fn a_tls_key_that_others_may_read_is_refused_and_said_how_to_mend() {
    let folder = private_dir();
    let [cert, key] = certificate(folder.path());
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    for mode in [0o644, 0o604, 0o660] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let (code, out, err) = text(&run(
            "handfast",
            &["serve", "--listen", "127.0.0.1:0", "--data", data, "--tls-cert", &cert]
                .into_iter()
                .chain(["--tls-key", &key])
                .collect::<Vec<_>>(),
        ));
        assert!(code == 1 && out.is_empty(), "{mode:o}: {out}{err}");
        assert!(err.contains(&format!("mend it with: chmod 600 {key}")), "{err}");
    }
}
