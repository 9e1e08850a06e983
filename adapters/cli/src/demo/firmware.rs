//! The demo's microcontroller: a Cortex-M4F image under QEMU, with Ethernet, a console, and flash
//! that survives a power cut.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use handfast_cli::qemu::{Image, RunningBoard};
use handfast_server::admin::{DeviceView, IssuedView};
use hyper::Method;
use serde_json::json;

use super::phone::PATIENCE;
use super::stage::Stage;
use crate::End;
use crate::client::{ask, read};

/// Address of the host's loopback inside QEMU.
pub(super) const HOST: &str = "10.0.2.2";

/// Interval between notes while the image is being built.
const STILL: Duration = Duration::from_secs(10);

/// Builds the image. A missing requirement is an error that names it, because the user asked for
/// this part.
pub(super) async fn build(stage: &mut Stage) -> Result<Image, End> {
    stage.note("building the image, which takes minutes the first time");
    let started = Instant::now();
    let mut building = std::pin::pin!(Image::build());
    let image = loop {
        match tokio::time::timeout(STILL, &mut building).await {
            Ok(built) => break built.map_err(End::refused)?,
            Err(_) => {
                stage.note(&format!("still building, for {} s now", started.elapsed().as_secs()));
            }
        }
    };
    stage.step(
        "device",
        "a bare-metal image for a Cortex-M4F is built from the same state machines".to_owned(),
    );
    Ok(image)
}

/// Plays a board without keys: the operator's token is carried to it.
pub(super) async fn play(
    stage: &mut Stage,
    image: &Image,
    home: &Path,
    data: &Path,
    gateway: SocketAddr,
) -> Result<(), End> {
    let board = home.join("board");
    std::fs::create_dir(&board).map_err(End::refused)?;
    let mut machine = RunningBoard::start(image, &board).await.map_err(End::refused)?;
    for line in [
        "name Garden Sensor",
        "room Greenhouse",
        &format!("gateway {HOST} {}", gateway.port()),
        "pair",
    ] {
        machine.line(line).await.map_err(End::refused)?;
    }
    let id = after(
        &machine.expect("waits for approval as ").await.map_err(End::refused)?,
        "waits for approval as ",
    )?;
    stage.step("device", format!("boots, gets an address, and asks: it waits as {id}"));

    let answer =
        ask(data, Method::POST, &format!("/api/v1/devices/{id}/pair"), Some(json!({}))).await?;
    let token = read::<IssuedView>(&answer)?.token;
    let token =
        token.ok_or_else(|| End::Refused("the device was approved without a token".to_owned()))?;
    machine.line("token").await.map_err(End::refused)?;
    machine.line(&token).await.map_err(End::refused)?;
    machine.expect("linked as ").await.map_err(End::refused)?;
    stage.step(
        "device",
        "is approved; its token is typed at its console; it is kept in flash, and the link is open"
            .to_owned(),
    );

    machine.line("heartbeat occupancy on noise 0.42 every 50").await.map_err(End::refused)?;
    device(data, &id, "tell its values", |view| {
        view.sensor_data.noise_level == Some(0.42) && view.sensor_data.occupancy == Some(true)
    })
    .await?;
    stage.step("device", "tells its sensors' values in heartbeats".to_owned());

    machine.kill().await;
    let mut machine = RunningBoard::start(image, &board).await.map_err(End::refused)?;
    machine.expect("linked as ").await.map_err(End::refused)?;
    stage.step(
        "device",
        "loses power in the middle of it, boots, and is linked again from what its flash holds"
            .to_owned(),
    );

    ask(data, Method::POST, &format!("/api/v1/devices/{id}/mute"), None).await?;
    machine.expect("muted by the operator").await.map_err(End::refused)?;
    stage.step("operator", "mutes it, and it notices at once".to_owned());
    machine.kill().await;
    Ok(())
}

/// Waits until the operator's view of a node is as wanted.
pub(super) async fn device(
    data: &Path,
    id: &str,
    what: &str,
    wanted: impl Fn(&DeviceView) -> bool,
) -> Result<DeviceView, End> {
    let waiting = async {
        loop {
            let view: DeviceView =
                read(&ask(data, Method::GET, &format!("/api/v1/devices/{id}"), None).await?)?;
            if wanted(&view) {
                return Ok(view);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.map_err(|_| End::Refused(format!("the device {id} did not {what} in time")))?
}

/// Returns the word after a phrase in a console line.
pub(super) fn after(line: &str, phrase: &str) -> Result<String, End> {
    let rest = line.split(phrase).nth(1).and_then(|rest| rest.split_whitespace().next());
    rest.map(str::to_owned).ok_or_else(|| End::Refused(format!("the device said {line:?}")))
}
