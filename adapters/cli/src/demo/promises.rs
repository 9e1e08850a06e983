//! The part of the demo with delegated rights: limited by their source, narrowed at once, and ended
//! with it.

use std::path::Path;

use handfast_core::grant::scope::Action;
use handfast_node::native::NativeEvent;
use handfast_server::admin::{MintedView, PairedView, SessionList, SessionView, StartedView};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::application::heard;
use super::companion::companion;
use super::hold;
use super::keyed::Scene;
use super::stage::Stage;
use super::waits::not_allowed;
use crate::End;
use crate::client::{ask, read};
use crate::serve::Running;

/// The profile of companions that may invite nodes for the lights.
pub(super) const INSTALLER: &str = "installer";

/// The permissions of that profile.
pub(super) const INSTALLER_MAY: &str = "admin:/gateway/pairing/codes\nwrite:/lights/**";

/// Plays an installer's session: it invites two nodes, the operator narrows the permissions of one
/// of them, and the session ends.
pub(super) async fn play(
    stage: &mut Stage,
    scene: &Scene<'_>,
    gateway: &Running,
    done: &mut mpsc::UnboundedReceiver<String>,
) -> Result<(), End> {
    stage.chapter("A right that was passed on is no wider than its source, and ends with it");
    let installer = Installer::set_up(scene, gateway).await?;
    stage.step(
        "operator",
        format!(
            "sets up Ivo's phone as an installer: it may {}",
            INSTALLER_MAY.replace('\n', " and ")
        ),
    );

    let (status, refused) = installer.asks_for_a_code(json!({ "admin": ["/**"] })).await?;
    let code = refused["error"]["code"].as_str().unwrap_or_default();
    hold(
        status == StatusCode::FORBIDDEN && code == "wider_than_yours",
        "nobody passes on more than is theirs",
    )?;
    stage.step(
        "companion",
        "asks for a code that allows admin:/**: refused, wider_than_yours".to_owned(),
    );

    let (status, minted) = installer.asks_for_a_code(json!({ "write": ["/lights/**"] })).await?;
    hold(status == StatusCode::OK, "what is theirs may be passed on")?;
    let minted: MintedView = read(&minted.to_string())?;
    let invitation =
        minted.invitation.ok_or_else(|| End::Refused("there is no invitation".to_owned()))?;
    let mut lamp = scene.scan(&invitation, "Lamp").await?;
    lamp.is_paired().await?;
    lamp.owner
        .send_app(Action::Write, "/lights/hall", b"on".to_vec())
        .await
        .map_err(End::refused)?;
    hold(heard(done).await? == "write /lights/hall", "the node may do what the code says")?;
    let mut spotlight = scene.scan(&invitation, "Spotlight").await?;
    spotlight.is_paired().await?;
    stage.step(
        "node",
        "Lamp and Spotlight are paired with the installer's code for /lights/**; Lamp writes to /lights/hall".to_owned(),
    );

    let narrow = json!({ "permissions": { "write": ["/lights/attic"] } });
    let view: PairedView = read(
        &ask(scene.data, Method::POST, "/api/v1/paired/Lamp/permissions", Some(narrow)).await?,
    )?;
    let in_force = view.in_force.map(|in_force| in_force.permissions.write);
    hold(
        in_force == Some(vec!["/lights/attic".to_owned()]),
        "what is decided is shown as in force",
    )?;
    lamp.owner
        .send_app(Action::Write, "/lights/hall", b"off".to_vec())
        .await
        .map_err(End::refused)?;
    not_allowed(&mut lamp, "/lights/hall").await?;
    hold(done.try_recv().is_err(), "what is refused does not reach the application")?;
    stage.step(
        "operator",
        "narrows Lamp to /lights/attic: what it writes to /lights/hall is refused at once"
            .to_owned(),
    );

    let ended: SessionView = read(
        &ask(scene.data, Method::POST, &format!("/api/v1/sessions/{}/revoke", installer.id), None)
            .await?,
    )?;
    hold(ended.revoked_at.is_some(), "the session is revoked")?;
    spotlight
        .until("be out", |event| {
            matches!(event, NativeEvent::Unpaired | NativeEvent::PairAgain | NativeEvent::Expired)
                .then_some(())
        })
        .await?;
    let (status, _) = installer.asks_for_a_code(json!({ "write": ["/lights/**"] })).await?;
    hold(status == StatusCode::UNAUTHORIZED, "an ended session opens nothing")?;
    stage.step(
        "operator",
        "ends the installer's session: Spotlight is out with it; Lamp stays, with what the operator decided".to_owned(),
    );
    lamp.owner
        .send_app(Action::Write, "/lights/attic", b"on".to_vec())
        .await
        .map_err(End::refused)?;
    hold(heard(done).await? == "write /lights/attic", "what the operator decided stays")?;
    keeps_a_backup(stage, scene.home, scene.data)
}

/// Makes a copy of the registry while the gateway runs.
fn keeps_a_backup(stage: &mut Stage, home: &Path, data: &Path) -> Result<(), End> {
    let file = home.join("registry.backup");
    let made =
        handfast_store::backup(&data.join(crate::data::DATABASE), &file).map_err(End::refused)?;
    hold(file.exists() && made.nodes > 0, "there is a backup")?;
    stage.step(
        "operator",
        format!("handfast backup: {} nodes in one file, while the gateway runs; an older registry is noticed", made.nodes),
    );
    Ok(())
}

/// A companion that may invite nodes.
struct Installer {
    address: String,
    id: String,
    bearer: String,
}

impl Installer {
    async fn set_up(scene: &Scene<'_>, gateway: &Running) -> Result<Self, End> {
        let address = gateway.address.to_string();
        let body = json!({ "public_url": format!("ws://{address}"), "for_device": "Ivo's phone", "profile": INSTALLER });
        let started: StartedView =
            read(&ask(scene.data, Method::POST, "/api/v1/setup", Some(body)).await?)?;
        let file = scene.home.join("installer.json");
        let scanned = companion(&file, &["--code", "-", "--json"], &started.payload).await?;
        hold(scanned.status.success(), "the installer's phone gets a session")?;
        let kept: Value = read(&std::fs::read_to_string(&file).map_err(End::refused)?)?;
        let bearer = kept["session_token"].as_str().unwrap_or_default().to_owned();
        let list: SessionList =
            read(&ask(scene.data, Method::GET, "/api/v1/sessions", None).await?)?;
        let own = list.sessions.into_iter().find(|session| session.profile == INSTALLER);
        let id =
            own.ok_or_else(|| End::Refused("the installer's session is not listed".to_owned()))?.id;
        Ok(Self { address, id, bearer })
    }

    /// Requests a code over HTTP, as any program with the session could.
    async fn asks_for_a_code(&self, permissions: Value) -> Result<(StatusCode, Value), End> {
        let stream = TcpStream::connect(&self.address).await.map_err(End::refused)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(End::refused)?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        let body =
            json!({ "kind": "qr", "permissions": permissions, "uses": 2, "expires_seconds": 300 })
                .to_string();
        let request = Request::post("/api/v1/pairing/codes")
            .header("host", &self.address)
            .header("authorization", format!("Bearer {}", self.bearer))
            .body(Full::new(Bytes::from(body)))
            .map_err(End::refused)?;
        let response = sender.send_request(request).await.map_err(End::refused)?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(End::refused)?.to_bytes();
        connection.abort();
        Ok((status, serde_json::from_slice(&bytes).map_err(End::refused)?))
    }
}
