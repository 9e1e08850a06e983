//! The part of the demo with several gateways over one registry in PostgreSQL. Each gateway is a
//! process, and is killed as a power cut would.

mod database;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use handfast_core::wire::invite::Invite;
use handfast_node::native::NativeEvent;
use handfast_server::admin::{GatewayList, GatewayView, MintedView, PairingView};
use handfast_server::keys::file::{self as key_file, Use};
use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::hold;
use super::keyed::shows;
use super::phone::{PATIENCE, Phone};
use super::stage::Stage;
use crate::End;
use crate::client::{ask, encoded, read};
use database::Database;

/// Name of the node that is followed from gateway to gateway.
const LAMP: &str = "Hall Lamp";

/// A gateway in a process of its own.
struct GatewayProcess {
    name: String,
    data: PathBuf,
    /// Its listener, as a node is told it.
    url: String,
    child: Child,
}

impl GatewayProcess {
    /// Starts a gateway, and waits until it serves.
    async fn start(home: &Path, name: &str, listen: &str, store: &str) -> Result<Self, End> {
        let data = home.join(name);
        let program = std::env::current_exe().map_err(End::refused)?;
        let log = std::fs::File::create(home.join(format!("{name}.log"))).map_err(End::refused)?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", listen, "--store", store, "--gateway-id", name]);
        command.arg("--store-key").arg(home.join(key_file::FILE_NAME)).arg("--data").arg(&data);
        // What is set for other gateways of this machine is not for these.
        let ours = std::env::vars_os().map(|(name, _)| name);
        ours.filter(|name| name.to_string_lossy().starts_with("HANDFAST_")).for_each(|name| {
            command.env_remove(name);
        });
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().map_err(End::refused)?;
        let out = child.stdout.take().map(BufReader::new);
        let mut lines = out.ok_or_else(|| End::Refused(format!("{name} has no output")))?.lines();
        let reading = async {
            let first = lines.next_line().await.map_err(End::refused)?.unwrap_or_default();
            let url = first.strip_prefix("handfast gateway: ");
            let url = url.and_then(|rest| rest.split(' ').next()).map(str::to_owned);
            url.ok_or_else(|| End::Refused(format!("{name} did not start: see {name}.log")))
        };
        let url = tokio::time::timeout(PATIENCE, reading).await;
        let url = url.map_err(|_| End::Refused(format!("{name} did not start in time")))??;
        // Somebody has to read what it prints, or it would wait for that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { name: name.to_owned(), data, url, child })
    }

    /// Kills the process as `kill -9` does.
    async fn kill(&mut self) -> Result<(), End> {
        self.child.kill().await.map_err(End::refused)
    }

    /// Returns the fingerprint that it shows.
    async fn fingerprint(&self) -> Result<String, End> {
        let pairing = ask(&self.data, Method::GET, "/api/v1/pairing", None).await?;
        Ok(read::<PairingView>(&pairing)?.fingerprint)
    }
}

/// Plays several gateways: one identity, a death, a revocation elsewhere.
pub(super) async fn play(stage: &mut Stage, home: &Path, number: u8) -> Result<(), End> {
    stage.chapter("Several gateways over one registry in PostgreSQL, each a process");
    let database = Database::start().await?;
    let version = &database.version;
    stage.step("database", format!("PostgreSQL {version} in a temporary folder, on a Unix socket"));
    key_file::load_or_create(&home.join(key_file::FILE_NAME), Use::Store).map_err(End::refused)?;
    let mut gateways = Vec::new();
    for nth in 1..=number {
        let name = format!("gateway-{nth}");
        let started = GatewayProcess::start(home, &name, "127.0.0.1:0", &database.address).await?;
        stage.step("gateway", format!("{name} listens on {}", started.url));
        gateways.push(started);
    }
    let played = with(stage, home, &mut gateways, &database.address).await;
    for mut gateway in gateways {
        // One that was killed has ended already.
        let _ = gateway.kill().await;
    }
    database.stop().await;
    played
}

/// Waits until a gateway sees all others. One is known by its sign of life, which it gives once in a
/// while: on a busy machine the latest may be too old at the moment.
async fn all_present(seen_by: &GatewayProcess) -> Result<Vec<GatewayView>, End> {
    loop {
        let list = ask(&seen_by.data, Method::GET, "/api/v1/gateways", None).await?;
        let list = read::<GatewayList>(&list)?.gateways;
        if list.iter().all(|one| one.is_present) {
            return Ok(list);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn with(
    stage: &mut Stage,
    home: &Path,
    gateways: &mut [GatewayProcess],
    store: &str,
) -> Result<(), End> {
    let [first, second, .., last] = gateways else {
        return Err(End::Refused("this chapter needs three gateways".to_owned()));
    };
    let shown = first.fingerprint().await?;
    for other in [&*second, &*last] {
        hold(other.fingerprint().await? == shown, "every gateway has the same fingerprint")?;
    }
    stage.step("operator", format!("sees one gateway: each shows the fingerprint {shown}"));

    let body = json!({ "kind": "qr", "permissions": { "read": ["/lights/**"] }, "expires_seconds": 300, "uses": 1 });
    let minted = ask(&second.data, Method::POST, "/api/v1/pairing/codes", Some(body)).await?;
    let text = read::<MintedView>(&minted)?.invitation;
    let text = text.ok_or_else(|| End::Refused("there is no invitation".to_owned()))?;
    let invite = Invite::parse(&text).map_err(End::refused)?;
    let addresses = [&first.url, &second.url, &last.url].map(String::as_str);
    let mut lamp = Phone::start(home, &addresses, LAMP)?;
    shows(&lamp, invite).await;
    lamp.is_paired().await?;
    stage.step(
        "node",
        format!(
            "{LAMP} shows a code of {} to {}: paired and linked there; it knows the addresses of all",
            second.name, first.name
        ),
    );

    let killed = Instant::now();
    first.kill().await?;
    lamp.is_linked().await?;
    let back = killed.elapsed();
    stage.step(
        "gateway",
        format!(
            "{} is killed (kill -9): {LAMP} is linked with another one {:.0} ms later",
            first.name,
            back.as_secs_f64() * 1000.0
        ),
    );

    let path = format!("/api/v1/paired/{}/revoke", encoded(LAMP));
    let asked = Instant::now();
    let (revoked, cut) = tokio::join!(
        async {
            let answer = ask(&last.data, Method::POST, &path, None).await;
            answer.map(|_| asked.elapsed())
        },
        async {
            let cut = lamp
                .until("be cut off", |event| matches!(event, NativeEvent::Unpaired).then_some(()));
            cut.await.map(|()| asked.elapsed())
        }
    );
    let [revoked, cut] = [revoked?, cut?].map(|took| took.as_secs_f64() * 1000.0);
    stage.step(
        "operator",
        format!(
            "revokes {LAMP} on {}, which is durable after {revoked:.1} ms; its link with another gateway is cut after {cut:.1} ms",
            last.name
        ),
    );

    let address = first.url.split("://").nth(1).unwrap_or_default().to_owned();
    let name = first.name.clone();
    *first = GatewayProcess::start(home, &name, &address, store).await?;
    let list = tokio::time::timeout(PATIENCE, all_present(second)).await;
    let list = list.map_err(|_| End::Refused("not every gateway is there again".to_owned()))??;
    let names: Vec<_> = list.iter().map(|one| one.name.as_str()).collect();
    stage
        .step("gateway", format!("{name} is started again, and {} are in touch", names.join(", ")));
    Ok(())
}
