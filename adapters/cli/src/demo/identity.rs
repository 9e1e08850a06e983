//! The part of the demo with identity: certificates, mutual TLS, tasks, a copied node, and the end of
//! all of it.

use std::path::Path;
use std::time::{Duration, Instant};

use handfast_core::flow::native::node::PairMethod;
use handfast_core::wire::invite::Invite;
use handfast_node::capability::{Capabilities, Echo, SystemHealth};
use handfast_node::native::NativeEvent;
use handfast_server::admin::{
    CertificateList, DeviceList, DeviceView, DispatchView, MintedView, RevokedView,
};
use hyper::Method;
use serde_json::{Value, json};

use super::hold;
use super::keyed::{Scene, shows};
use super::phone::{PATIENCE, Phone};
use super::stage::Stage;
use crate::End;
use crate::client::{ask, encoded, read};
use crate::serve::Running;

/// Interval of looks at the gateway.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Time after a new mark in which an older one may come from a link that began before.
const SLOW_LINK: Duration = Duration::from_secs(12);

/// The name of the node that is paired by a code, and links over mutual TLS.
const WORKSHOP: &str = "Workshop Pi";
/// The name of the node that is approved by its fingerprint, and copied.
const LATHE: &str = "Lathe";

/// Plays the life of two nodes with certificates.
pub(super) async fn play(
    stage: &mut Stage,
    scene: &Scene<'_>,
    gateway: &Running,
) -> Result<(), End> {
    stage.chapter("A code or a fingerprint becomes a certificate, and a copy is noticed");
    let workshop = by_code(stage, scene).await?;
    let lathe = by_fingerprint(stage, scene).await?;
    let workshop = over_mutual_tls(stage, scene, gateway, workshop).await?;
    does_a_task(stage, scene.data).await?;
    let mut workshop = renews(stage, scene, gateway, workshop).await?;
    let mut lathe = is_copied(stage, scene, lathe).await?;

    for (phone, link) in [(&mut workshop, "over mutual TLS"), (&mut lathe, "native")] {
        let path = format!("/api/v1/paired/{}/revoke", encoded(phone.name));
        let revoked: RevokedView = read(&ask(scene.data, Method::POST, &path, None).await?)?;
        let id = revoked.node_id.unwrap_or_default();
        phone
            .until("be cut off", |event| {
                matches!(event, NativeEvent::Unpaired | NativeEvent::PairAgain).then_some(())
            })
            .await?;
        until(scene.data, &id, "be offline", |view| view.status == "offline").await?;
        stage.step(
            "operator",
            format!("revokes {}: its link ({link}) is cut, its certificates are void", phone.name),
        );
    }
    let left = certificates(scene.data).await?.certificates;
    let names = [WORKSHOP, LATHE];
    let is_theirs = |name: &Option<String>| name.as_deref().is_some_and(|it| names.contains(&it));
    hold(
        !left.iter().any(|one| is_theirs(&one.friendly_name)),
        "no certificate of a revoked node is in force",
    )
}

fn can() -> Result<Capabilities, End> {
    let echo = Capabilities::none().with(Echo).map_err(End::refused)?;
    echo.with(SystemHealth).map_err(End::refused)
}

/// Pairs a node by a code, which brings it a certificate.
async fn by_code(stage: &mut Stage, scene: &Scene<'_>) -> Result<Phone, End> {
    let body = json!({ "kind": "qr", "permissions": { "read": ["/workshop/**"] }, "expires_seconds": 300 });
    let answer = ask(scene.data, Method::POST, "/api/v1/pairing/codes", Some(body)).await?;
    let minted: MintedView = read(&answer)?;
    let text = minted.invitation.ok_or_else(|| End::Refused("there is no invitation".into()))?;
    stage.step("operator", format!("makes the code {} for one node", minted.selector));
    let invite = Invite::parse(&text).map_err(End::refused)?;
    let state = scene.home.join("workshop");
    let mut workshop = Phone::start_in(&state, &[&scene.tcp], WORKSHOP, can()?)?;
    shows(&workshop, invite).await;
    workshop.is_paired().await?;
    let serial = certified(scene.data, WORKSHOP).await?;
    stage.step(
        "node",
        format!(
            "{WORKSHOP} shows it, and is given certificate {} for a key that never left it",
            serial.get(..8).unwrap_or_default()
        ),
    );
    Ok(workshop)
}

/// Approves a node whose fingerprint was compared, exactly as it was shown.
async fn by_fingerprint(stage: &mut Stage, scene: &Scene<'_>) -> Result<Phone, End> {
    let state = scene.home.join("lathe");
    let mut lathe = Phone::start_in(&state, &[&scene.tcp], LATHE, can()?)?;
    lathe.asks(PairMethod::Approval, None).await;
    lathe
        .until("wait", |event| matches!(event, NativeEvent::WaitsForApproval { .. }).then_some(()))
        .await?;
    let answer = ask(scene.data, Method::GET, "/api/v1/devices?filter=pending", None).await?;
    let own = lathe.fingerprint()?.to_string();
    let waiting = read::<DeviceList>(&answer)?.devices;
    let waiting = waiting.iter().find(|device| device.fingerprint.as_deref() == Some(&own));
    let waiting = waiting
        .ok_or_else(|| End::Refused("nobody waits with the fingerprint that it shows".into()))?;
    stage.step("operator", format!("compares {own} with what {LATHE} shows: it is the same"));
    let path = format!("/api/v1/devices/{}/pair", waiting.node_id);
    let other = json!({ "seen": "00".repeat(32) });
    let refused = ask(scene.data, Method::POST, &path, Some(other)).await;
    hold(matches!(refused, Err(End::Refused(_))), "what was not seen is not approved")?;
    let seen = json!({ "seen": waiting.seen, "permissions": { "read": ["/workshop/**"] } });
    ask(scene.data, Method::POST, &path, Some(seen)).await?;
    lathe.is_paired().await?;
    certified(scene.data, LATHE).await?;
    stage.step("operator", format!("approves what was seen, and nothing else: {LATHE} is paired"));
    Ok(lathe)
}

/// Links a node by its certificate.
async fn over_mutual_tls(
    stage: &mut Stage,
    scene: &Scene<'_>,
    gateway: &Running,
    workshop: Phone,
) -> Result<Phone, End> {
    let at = gateway.mtls.first().map(|at| format!("mtls://{at}"));
    let at = at.ok_or_else(|| End::Refused("the gateway asks for no certificates".into()))?;
    let state = workshop.off().await;
    let mut workshop = Phone::start_in(&state, &[&at], WORKSHOP, can()?)?;
    workshop.is_linked().await?;
    until(scene.data, WORKSHOP, "link by its certificate", |view| view.status == "online").await?;
    stage.step("node", format!("{WORKSHOP} links at {at}: TLS 1.3, and both show certificates"));
    Ok(workshop)
}

/// Evicts a node, which fetches a new certificate with its own key, and links by that.
async fn renews(
    stage: &mut Stage,
    scene: &Scene<'_>,
    gateway: &Running,
    workshop: Phone,
) -> Result<Phone, End> {
    let at = gateway.mtls.first().map(|at| format!("mtls://{at}")).unwrap_or_default();
    let before = certified(scene.data, WORKSHOP).await?;
    let state = workshop.off().await;
    let mut workshop = Phone::start_in(&state, &[&at, &scene.tcp], WORKSHOP, can()?)?;
    workshop.is_linked().await?;
    ask(scene.data, Method::POST, &format!("/api/v1/devices/{}/evict", encoded(WORKSHOP)), None)
        .await?;
    workshop
        .until("renew its certificate", |event| {
            matches!(event, NativeEvent::CertificateRenewed).then_some(())
        })
        .await?;
    let after = certified(scene.data, WORKSHOP).await?;
    hold(before != after, "the new certificate is another one")?;
    let state = workshop.off().await;
    let mut workshop = Phone::start_in(&state, &[&at], WORKSHOP, can()?)?;
    workshop.is_linked().await?;
    stage.step(
        "node",
        format!(
            "{WORKSHOP} is evicted, and its certificate void: it renews by its key, as {}",
            after.get(..8).unwrap_or_default()
        ),
    );
    Ok(workshop)
}

/// Gives a node a task, and waits for its result.
async fn does_a_task(stage: &mut Stage, data: &Path) -> Result<(), End> {
    let view = gives(data, WORKSHOP, "echo", json!({ "turn": "left" })).await?;
    hold(view.state == "succeeded", "the task succeeds")?;
    hold(view.result == Some(json!({ "turn": "left" })), "the node answers what it was given")?;
    stage.step("operator", format!("gives {WORKSHOP} the task echo: pushed, run once, answered"));
    Ok(())
}

/// Links a copy of a node's state, which the gateway notices.
async fn is_copied(stage: &mut Stage, scene: &Scene<'_>, lathe: Phone) -> Result<Phone, End> {
    let state = scene.home.join("lathe");
    let record = state.join("native.json");
    let marked = async {
        while stored(&record).await?["mark"].is_null() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok::<_, End>(())
    };
    tokio::time::timeout(PATIENCE, marked)
        .await
        .map_err(|_| End::Refused("the node was given no mark".into()))??;
    let given = Instant::now();
    let state = lathe.off().await;
    // A copy from before the mark, as in a backup of the day on which the node was paired.
    let copied = scene.home.join("lathe-of-yesterday");
    copy(&state, &copied).await?;
    let mut yesterday = stored(&copied.join("native.json")).await?;
    if let Some(record) = yesterday.as_object_mut() {
        record.remove("mark");
    }
    tokio::fs::write(copied.join("native.json"), yesterday.to_string())
        .await
        .map_err(End::refused)?;

    let mut lathe = Phone::start_in(&state, &[&scene.tcp], LATHE, can()?)?;
    lathe.is_linked().await?;
    let view = device(scene.data, LATHE).await?;
    hold(view.quarantine.is_none(), "the node itself is no copy")?;
    stage.note("the gateway waits 10 s for a slow link before it takes an older mark for a copy's");
    tokio::time::sleep(SLOW_LINK.saturating_sub(given.elapsed())).await;
    let copy = Phone::start_in(&copied, &[&scene.tcp], LATHE, can()?)?;
    until(scene.data, LATHE, "be in quarantine", |view| view.quarantine.is_some()).await?;
    let refused = gives(scene.data, LATHE, "echo", json!({})).await;
    hold(matches!(refused, Err(End::Refused(_))), "a node in quarantine is given no task")?;
    stage.step(
        "gateway",
        format!("a copy of {LATHE}'s state links: noticed, muted, given no task until you decide"),
    );
    copy.off().await;
    let state = lathe.off().await;
    let path = format!("/api/v1/devices/{LATHE}/release");
    ask(scene.data, Method::POST, &path, None).await?;
    let mut lathe = Phone::start_in(&state, &[&scene.tcp], LATHE, can()?)?;
    lathe.is_linked().await?;
    until(scene.data, LATHE, "be free", |view| view.quarantine.is_none()).await?;
    let view = gives(scene.data, LATHE, "echo", json!({})).await?;
    hold(view.state == "succeeded", "the released node does its task")?;
    stage.step(
        "operator",
        format!("releases {LATHE}, which was restored from a backup: it goes on"),
    );
    Ok(lathe)
}

/// Gives a node a task, and waits for its end.
pub(super) async fn gives(
    data: &Path,
    node: &str,
    capability: &str,
    input: Value,
) -> Result<DispatchView, End> {
    let tasks = format!("/api/v1/nodes/{}/dispatches", encoded(node));
    let body = json!({ "capability": capability, "input": input, "timeout_seconds": 20 });
    let mut view: DispatchView = read(&ask(data, Method::POST, &tasks, Some(body)).await?)?;
    while !view.over {
        let path = format!("{tasks}/{}?wait_seconds=20&known={}", view.id, view.seen);
        view = read(&ask(data, Method::GET, &path, None).await?)?;
    }
    Ok(view)
}

async fn certificates(data: &Path) -> Result<CertificateList, End> {
    read(&ask(data, Method::GET, "/api/v1/certs", None).await?)
}

/// Waits until a node has a certificate, and returns its serial number.
async fn certified(data: &Path, name: &str) -> Result<String, End> {
    let waiting = async {
        loop {
            let found = certificates(data).await?.certificates;
            let own = found.into_iter().find(|one| one.friendly_name.as_deref() == Some(name));
            match own {
                Some(own) => return Ok(own.serial),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.map_err(|_| End::Refused(format!("{name} was given no certificate in time")))?
}

async fn device(data: &Path, which: &str) -> Result<DeviceView, End> {
    let path = format!("/api/v1/devices/{}?glance=true", encoded(which));
    read(&ask(data, Method::GET, &path, None).await?)
}

/// Waits until a node stands like this at the gateway.
async fn until(
    data: &Path,
    which: &str,
    what: &str,
    stands: impl Fn(&DeviceView) -> bool,
) -> Result<(), End> {
    let waiting = async {
        while !stands(&device(data, which).await?) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.map_err(|_| End::Refused(format!("{which} did not {what} in time")))?
}

async fn stored(path: &Path) -> Result<Value, End> {
    read(&tokio::fs::read_to_string(path).await.map_err(End::refused)?)
}

/// Copies a state directory with its permissions.
async fn copy(from: &Path, to: &Path) -> Result<(), End> {
    let copied = tokio::process::Command::new("cp").arg("-a").arg(from).arg(to).status().await;
    hold(copied.map_err(End::refused)?.success(), "a state directory is copied")
}
