//! `handfast demo`: the whole flow on this machine, each step one line with its time.
//!
//! Nothing is simulated: a gateway with a database on disk, its operator's socket, nodes with state
//! directories, and microcontrollers if QEMU is installed. The first step that fails ends the demo
//! with exit code 1.

mod application;
mod boards;
mod chat;
mod companion;
mod firmware;
mod identity;
mod keyed;
mod nodes;
mod operators;
mod phone;
mod promises;
mod provisioning;
#[cfg(feature = "postgres")]
mod several;
mod stage;
mod strangers;
mod waits;

use std::net::SocketAddr;
use std::path::Path;

use handfast_cli::config::{ServeSettings, SetupOptions};
use handfast_core::grant::scope::ScopesBuf;
use handfast_server::admin::{DeviceView, IssuedView, StatusView};
use hyper::Method;
use serde_json::json;
use tokio::sync::mpsc;

use crate::End;
use crate::args;
use crate::client::{ask, read};
use crate::hints::NextElsewhere;
use crate::serve::Running;

use application::Ear;
use keyed::Scene;
use nodes::Pi;
use stage::Stage;

pub(crate) async fn run(args: args::Demo) -> Result<(), End> {
    let home = tempfile::Builder::new().prefix("handfast-demo-").tempdir().map_err(End::refused)?;
    let mut stage = Stage::open();
    let outcome = match args.gateways {
        #[cfg(feature = "postgres")]
        Some(number) => several::play(&mut stage, home.path(), number).await,
        #[cfg(not(feature = "postgres"))]
        Some(_) => Err(End::Refused("this program was built without PostgreSQL".to_owned())),
        None => play(&mut stage, home.path(), &args).await,
    };
    match outcome {
        Ok(()) => Ok(stage.close()?),
        Err(End::Refused(problem) | End::Usage(problem)) => {
            Err(End::Refused(format!("the demo failed: {problem}")))
        }
        Err(unwritten @ End::Unwritten(_)) => Err(unwritten),
    }
}

async fn play(stage: &mut Stage, home: &Path, args: &args::Demo) -> Result<(), End> {
    let data = home.join("gateway");

    stage.chapter("A node asks, an operator approves, a token opens the link");
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let (ear, mut done) = mpsc::unbounded_channel();
    let gateway = start(&data, anywhere, anywhere, &ear).await?;
    let address = gateway.address;
    let tcp = gateway.tcp.first().copied().unwrap_or(anywhere);
    stage.step(
        "gateway",
        format!(
            "listens on ws://{address}; registry in a SQLite file, operator's socket beside it"
        ),
    );

    let mut kitchen = Pi::start(home, address, "Kitchen Pi", "Kitchen")?;
    let mut garden = Pi::start(home, address, "Garden Pi", "Garden")?;
    let mut attic = Pi::start(home, address, "Attic Pi", "Attic")?;
    for pi in [&mut kitchen, &mut garden, &mut attic] {
        let id = pi.waits_for_approval().await?;
        stage.step("node", format!("{} asks and waits as {id}", pi.name));
    }
    let status: StatusView = read(&ask(&data, Method::GET, "/api/v1/status", None).await?)?;
    hold(status.nodes.pending == 3 && status.linked == 0, "three nodes wait and none is linked")?;
    stage.step("operator", "sees three nodes waiting; none of them can do anything yet".to_owned());

    for pi in [&mut kitchen, &mut garden, &mut attic] {
        let token = approve(&data, pi).await?;
        stage.step(
            "operator",
            format!(
                "approves {}; its token is shown once, the registry keeps PBKDF2(token)",
                pi.name
            ),
        );
        pi.enter(&token).await?;
        pi.linked().await?;
        stage.step("node", format!("{} keeps its token, proves it, and its link is open", pi.name));
    }
    let twice = decide(&data, &kitchen, "pair").await;
    hold(matches!(twice, Err(End::Refused(_))), "approving twice is refused")?;
    stage.step(
        "operator",
        "approves Kitchen Pi once more by mistake: refused, its token stays".to_owned(),
    );

    stage.chapter("Decisions reach a live link at once");
    decide(&data, &kitchen, "mute").await?;
    kitchen.refused(handfast_core::Refusal::Muted).await?;
    stage.step("operator", "mutes Kitchen Pi: it is told, and its link is closed".to_owned());
    decide(&data, &kitchen, "unmute").await?;
    kitchen.restart().await?;
    kitchen.linked().await?;
    stage.step(
        "node",
        "Kitchen Pi is unmuted, restarts, and is back with what it had kept".to_owned(),
    );
    decide(&data, &attic, "unpair").await?;
    attic.refused(handfast_core::Refusal::InvalidCredentials).await?;
    attic.restart().await?;
    attic.refused(handfast_core::Refusal::InvalidCredentials).await?;
    stage.step(
        "operator",
        "unpairs Attic Pi: its link is closed, and its token opens nothing any more".to_owned(),
    );

    stage.chapter("Nothing acknowledged is lost");
    gateway.stop().await;
    let gateway = start(&data, address, tcp, &ear).await?;
    stage.step("gateway", "is stopped and started again on the same data".to_owned());
    for pi in [&mut kitchen, &mut garden] {
        pi.linked().await?;
        stage.step("node", format!("{} came back by itself", pi.name));
    }

    let mut scene = Scene::open(home, &data, &gateway).await?;
    let mut phone = scene.pins(stage).await?;
    let mut tablet = scene.code(stage).await?;
    let desk = scene.approval(stage).await?;
    scene.permissions(stage, &gateway.gateway, desk, &mut done).await?;
    gateway.stop().await;
    let gateway = start(&data, address, tcp, &ear).await?;
    for paired in [&mut phone, &mut tablet] {
        paired.is_linked().await?;
        stage.step(
            "node",
            format!(
                "the gateway is stopped and started again: {} links by itself, with what it kept",
                paired.name
            ),
        );
    }

    companion::play(stage, home, &data, &gateway, &mut done).await?;
    promises::play(stage, &Scene::open(home, &data, &gateway).await?, &gateway, &mut done).await?;
    identity::play(stage, &Scene::open(home, &data, &gateway).await?, &gateway).await?;
    provisioning::play(stage, &Scene::open(home, &data, &gateway).await?).await?;
    strangers::play(stage, &data, &gateway).await?;
    operators::play(stage, &data, address).await?;

    stage.chapter("The same state machines in a microcontroller");
    if args.boards {
        let image = firmware::build(stage).await?;
        firmware::play(stage, &image, home, &data, address).await?;
        let mut scene = Scene::open(home, &data, &gateway).await?;
        boards::play(stage, &image, &mut scene, &gateway).await?;
    } else {
        stage.note(&format!(
            "an emulated Cortex-M4F plays it, and its image takes minutes to build the first time: {}",
            NextElsewhere::DemoWithBoards.hint()
        ));
    }

    stage.chapter("Several gateways over one registry");
    stage.note(&format!(
        "three of them over a PostgreSQL of the demo's own, one of which is killed: {}",
        NextElsewhere::DemoWithGateways.hint()
    ));

    for pi in [kitchen, garden, attic] {
        pi.stop().await?;
    }
    gateway.stop().await;
    Ok(())
}

async fn start(
    data: &Path,
    listen: SocketAddr,
    tcp: SocketAddr,
    ear: &mpsc::UnboundedSender<String>,
) -> Result<Running, End> {
    let profiles = vec![(
        promises::INSTALLER.to_owned(),
        ScopesBuf::parse(promises::INSTALLER_MAY).map_err(End::refused)?,
    )];
    let setup = SetupOptions { profiles, ..SetupOptions::default() };
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = ServeSettings {
        listen,
        listen_tcp: vec![tcp.into()],
        listen_mtls: vec![anywhere.into()],
        setup,
        ..ServeSettings::default()
    };
    Running::start(crate::serve::in_file(data, false)?, data, &settings, None, |builder| {
        builder.application(Ear(ear.clone()))
    })
    .await
}

async fn approve(data: &Path, pi: &Pi) -> Result<String, End> {
    let answer =
        ask(data, Method::POST, &format!("/api/v1/devices/{}/pair", pi.id()?), Some(json!({})))
            .await?;
    let token = read::<IssuedView>(&answer)?.token;
    token.ok_or_else(|| End::Refused(format!("{} was approved without a token", pi.name)))
}

async fn decide(data: &Path, pi: &Pi, verb: &str) -> Result<DeviceView, End> {
    read(&ask(data, Method::POST, &format!("/api/v1/devices/{}/{verb}", pi.id()?), None).await?)
}

/// Ends the demo with an error if a condition does not hold.
fn hold(holds: bool, what: &str) -> Result<(), End> {
    if holds { Ok(()) } else { Err(End::Refused(format!("this did not hold: {what}"))) }
}
