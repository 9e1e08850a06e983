//! The part of the demo with setup codes: scanned by a companion, refused the second time, bound to
//! a device, revoked.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use handfast_core::limits::SETUP_PAYLOAD_CHARS;
use handfast_core::wire::setup::Payload;
use handfast_node::native::PairingRefusal;
use handfast_qr as qr;
use handfast_server::admin::{SessionList, SessionView, StartedView};
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::application::heard;
use super::hold;
use super::phone::{PATIENCE, Phone};
use super::stage::Stage;
use super::waits::refused;
use crate::End;
use crate::client::{ask, read};
use crate::serve::Running;

/// Maximum width of the picture of a setup code, in columns.
const COLUMNS: usize = 120;

/// Sets up a companion and a tablet, and ends the companion's session.
pub(super) async fn play(
    stage: &mut Stage,
    home: &Path,
    data: &Path,
    gateway: &Running,
    done: &mut mpsc::UnboundedReceiver<String>,
) -> Result<(), End> {
    stage.chapter("An operator starts, a companion scans");
    let url = format!("ws://{}", gateway.address);
    let started = start(data, &url, "Ana's phone", false).await?;
    let picture = qr::render_within(&started.payload, false, COLUMNS).map_err(End::refused)?;
    stage.step(
        "operator",
        format!(
            "handfast companions invite: a code for {}, from {}, good until {}",
            started.url, started.url_source, started.expires_at
        ),
    );
    stage.picture(&picture);

    let file = home.join("companion.json");
    let scanned = companion(&file, &["--code", "-", "--json"], &started.payload).await?;
    hold(scanned.status.success(), &format!("the companion gets a session: {}", told(&scanned)))?;
    let mode = std::fs::metadata(&file).map_err(End::refused)?.permissions().mode() & 0o777;
    hold(mode == 0o600, "only its owner can read the session's file")?;
    stage.step(
        "companion",
        "handfast companion --code: its session is kept in a file of mode 0600; the gateway keeps its hash".to_owned(),
    );

    let other = home.join("another.json");
    let again = companion(&other, &["--code", "-"], &started.payload).await?;
    hold(
        again.status.code() == Some(1) && told(&again).contains("already used"),
        "a code opens one session",
    )?;
    hold(!other.exists(), "nothing is kept where there is no session")?;
    stage.step(
        "companion",
        "somebody else scans the same code: \"already used\", and nothing is kept".to_owned(),
    );

    let status = companion(&file, &["status", "--json"], "").await?;
    let status: Value = read(&String::from_utf8_lossy(&status.stdout))?;
    hold(
        status["profile"] == "companion-v1" && status["device_label"] == "Ana's phone",
        "the session is known over HTTP",
    )?;
    stage.step(
        "companion",
        "asks over HTTP with it as a bearer: who it is, until when, and what it may do".to_owned(),
    );
    let sent = companion(&file, &["send", "dim the lights"], "").await?;
    hold(sent.status.success(), &format!("the companion sends: {}", told(&sent)))?;
    hold(heard(done).await? == "companion dim the lights", "the application hears the companion")?;
    stage.step(
        "companion",
        "opens its socket with it and says \"dim the lights\": the gateway's application hears it"
            .to_owned(),
    );

    let list: SessionList = read(&ask(data, Method::GET, "/api/v1/sessions", None).await?)?;
    let id = list.sessions.first().map(|session| session.id.clone()).unwrap_or_default();
    let ended: SessionView =
        read(&ask(data, Method::POST, &format!("/api/v1/sessions/{id}/revoke"), None).await?)?;
    hold(ended.revoked_at.is_some(), "the session is revoked")?;
    let status = companion(&file, &["status"], "").await?;
    hold(status.status.code() == Some(1), "a revoked session lets nobody in")?;
    stage.step("operator", "revokes the session: from then on it opens nothing".to_owned());

    bound(stage, home, data, &url).await
}

/// Shows a code that binds to the key of the device that uses it.
async fn bound(stage: &mut Stage, home: &Path, data: &Path, url: &str) -> Result<(), End> {
    let started = start(data, url, "Tablet", true).await?;
    let mut scratch = Zeroizing::new([0; 2 * SETUP_PAYLOAD_CHARS]);
    let payload = Payload::decode(&started.payload, &mut scratch[..])
        .ok_or_else(|| End::Refused("the code is none".to_owned()))?;
    let gateway =
        payload.fingerprint.ok_or_else(|| End::Refused("the code names no gateway".to_owned()))?;
    let token = || Zeroizing::new(payload.bootstrap_token.to_owned());
    let mut tablet = Phone::start(home, &[url], "Bound Tablet")?;
    tablet.owner.pair_with_setup(token(), gateway).await;
    tablet.is_paired().await?;
    stage.step(
        "node",
        "Bound Tablet shows a code on a sealed channel to the gateway that the code names: paired, bound to its key".to_owned(),
    );
    let mut thief = Phone::start(home, &[url], "Thief")?;
    thief.owner.pair_with_setup(token(), gateway).await;
    refused(&mut thief, |why| *why == PairingRefusal::Spent).await?;
    stage
        .step("node", "Thief has copied that code: spent, and without the tablet's key there is nothing else to copy".to_owned());
    Ok(())
}

async fn start(data: &Path, url: &str, device: &str, bound: bool) -> Result<StartedView, End> {
    let body = json!({ "public_url": url, "for_device": device, "bound": bound });
    read(&ask(data, Method::POST, "/api/v1/setup", Some(body)).await?)
}

/// Runs this program as a companion.
pub(super) async fn companion(file: &Path, args: &[&str], input: &str) -> Result<Output, End> {
    let program = std::env::current_exe().map_err(End::refused)?;
    let mut child = Command::new(program)
        .arg("companion")
        .args(args)
        .arg("--session")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(End::refused)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(format!("{input}\n").as_bytes()).await.map_err(End::refused)?;
    }
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    ended
        .map_err(|_| End::Refused("the companion did not end in time".to_owned()))?
        .map_err(End::refused)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
