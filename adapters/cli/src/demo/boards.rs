//! The demo's boards with keys: one pairs by PIN over Ethernet, does tasks and answers a message, one
//! pairs over its serial line, and the operator revokes one of them.

use std::path::Path;
use std::time::Duration;

use handfast_cli::qemu::{Image, RunningBoard};
use handfast_server::Gateway;
use handfast_server::admin::{CapabilityList, PairingView, RevokedView, SentToNodeView};
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::firmware::{HOST, after, device};
use super::hold;
use super::identity::gives;
use super::keyed::Scene;
use super::phone::PATIENCE;
use super::stage::Stage;
use super::waits::other;
use crate::End;
use crate::client::{LineStream, ask, encoded, read};
use crate::serve::Running;

/// Speed of the line. A pseudo-terminal has none, but the gateway's configuration needs one.
const BAUD: u32 = 115_200;

/// Interval of looks at the gateway.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) async fn play(
    stage: &mut Stage,
    image: &Image,
    scene: &mut Scene<'_>,
    gateway: &Running,
) -> Result<(), End> {
    let view = scene.window(true).await?;
    hold(view.open, "pairing is open")?;
    stage.step("operator", "opens pairing for two boards with keys of their own".to_owned());

    let port = gateway
        .tcp
        .first()
        .ok_or_else(|| End::Refused("the gateway listens on no TCP address".to_owned()))?
        .port();
    let mut door = DemoBoard::at_the_network(image, scene.home, "Door Sensor", port).await?;
    stage.step(
        "device",
        format!(
            "Door Sensor boots, and knows of its gateway only tcp://{HOST}:{port}, over Ethernet"
        ),
    );
    pair(stage, scene, &mut door, "Ethernet").await?;
    compare(stage, scene.data, &mut door).await?;
    does_tasks(stage, scene.data, &mut door).await?;
    answers_messages(stage, scene.data, &mut door).await?;

    let mut valve = DemoBoard::at_the_line(image, scene.home, "Valve", &gateway.gateway).await?;
    stage.step(
        "device",
        "Valve boots on a serial line that the gateway serves, too; it knows no address at all"
            .to_owned(),
    );
    pair(stage, scene, &mut valve, "the serial line").await?;
    compare(stage, scene.data, &mut valve).await?;
    scene.window(false).await?;

    let path = format!("/api/v1/paired/{}/revoke", encoded(door.name));
    let revoked: RevokedView = read(&ask(scene.data, Method::POST, &path, None).await?)?;
    hold(
        revoked.node_id.as_deref() == Some(door.id.as_str()),
        "the board that was named is revoked",
    )?;
    door.says("unpaired by the operator").await?;
    device(scene.data, &door.id, "be cut off", |view| {
        view.standing == "revoked" && view.status == "offline"
    })
    .await?;
    device(scene.data, &valve.id, "stay linked", |view| {
        view.standing == "paired" && view.status == "online"
    })
    .await?;
    stage.step(
        "operator",
        "revokes Door Sensor: its console says so, its link is cut, and that of Valve stays"
            .to_owned(),
    );

    door.types("pair pin").await?;
    door.says("refused: this node was revoked for good").await?;
    stage.step(
        "device",
        "Door Sensor asks once more: refused, for its key is out for good".to_owned(),
    );
    door.machine.kill().await;
    valve.machine.kill().await;
    Ok(())
}

/// A board under QEMU, with its own directory for its flash.
struct DemoBoard {
    name: &'static str,
    machine: RunningBoard,
    /// The gateway's end of its serial line.
    _line: Option<BoardLine>,
    /// The node id of its link; empty until it is linked.
    id: String,
}

impl DemoBoard {
    async fn at_the_network(
        image: &Image,
        home: &Path,
        name: &'static str,
        port: u16,
    ) -> Result<Self, End> {
        let machine =
            RunningBoard::start(image, &folder(home, name)?).await.map_err(End::refused)?;
        Self::booted(name, machine, None, &format!("gateway tcp {HOST} {port}")).await
    }

    async fn at_the_line(
        image: &Image,
        home: &Path,
        name: &'static str,
        gateway: &Gateway,
    ) -> Result<Self, End> {
        let machine = RunningBoard::start_with_serial(image, &folder(home, name)?)
            .await
            .map_err(End::refused)?;
        let path = machine
            .serial()
            .ok_or_else(|| End::Refused(format!("{name} has no serial line")))?
            .to_owned();
        let serving =
            handfast_server::serve_serial(gateway.clone(), path, BAUD, std::future::pending());
        let line = BoardLine(tokio::spawn(serving));
        Self::booted(name, machine, Some(line), "gateway uart").await
    }

    async fn booted(
        name: &'static str,
        machine: RunningBoard,
        line: Option<BoardLine>,
        gateway: &str,
    ) -> Result<Self, End> {
        let mut board = Self { name, machine, _line: line, id: String::new() };
        board.says("Handfast node").await?;
        board.types(&format!("name {name}")).await?;
        board.types(gateway).await?;
        Ok(board)
    }

    async fn types(&mut self, line: &str) -> Result<(), End> {
        self.machine.line(line).await.map_err(End::refused)
    }

    async fn says(&mut self, part: &str) -> Result<String, End> {
        self.machine.expect(part).await.map_err(End::refused)
    }
}

/// A gateway's task for a serial line. The gateway keeps opening a line that went away, and the
/// system reuses the name of a closed terminal for the next one, so the line is served no longer
/// than its board lives.
struct BoardLine(JoinHandle<()>);

impl Drop for BoardLine {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn folder(home: &Path, name: &str) -> Result<std::path::PathBuf, End> {
    let folder = home.join(name.replace(' ', "-"));
    std::fs::create_dir(&folder).map_err(End::refused)?;
    Ok(folder)
}

/// Pairs by PIN as a person does: reads it from the gateway's display, mistypes it once, and types
/// it.
async fn pair(
    stage: &mut Stage,
    scene: &mut Scene<'_>,
    board: &mut DemoBoard,
    over: &str,
) -> Result<(), End> {
    let name = board.name;
    board.types("pair pin").await?;
    let pin = scene.shown_pin().await?;
    board.says("the gateway shows a PIN").await?;
    stage.step(
        "gateway",
        format!("is asked over {over} and shows: Pairing request from \"{name}\" / PIN: {pin}"),
    );

    board.types(&format!("pin {}", other(&pin))).await?;
    board.says("that was not it; 4 more").await?;
    stage.step(
        "device",
        format!("a wrong PIN is typed at the console of {name}: refused, 4 attempts left"),
    );

    board.types("pin").await?;
    board.types(&pin).await?;
    board.says("the gateway knows it, too").await?;
    board.id = after(&board.says("linked as ").await?, "linked as ")?;
    hold(
        !board.machine.transcript().contains(&pin),
        "the console does not show what is typed as PIN",
    )?;
    stage.step(
        "device",
        format!(
            "the right one is typed, masked: both sides prove it, and {name} is linked over {over}"
        ),
    );
    Ok(())
}

/// Compares the fingerprints that the board and the operator see, in both directions.
async fn compare(stage: &mut Stage, data: &Path, board: &mut DemoBoard) -> Result<(), End> {
    board.types("fingerprint").await?;
    let own = after(&board.says("this node ").await?, "this node ")?;
    let peer = after(&board.says("its gateway ").await?, "its gateway ")?;
    let seen = device(data, &board.id, "be linked", |view| {
        view.standing == "paired" && view.status == "online"
    })
    .await?;
    hold(seen.friendly_name == board.name, "the operator sees the board's name")?;
    hold(
        seen.fingerprint.as_deref() == Some(own.as_str()),
        "the operator sees the fingerprint that the board prints",
    )?;
    let gateway: PairingView = read(&ask(data, Method::GET, "/api/v1/pairing", None).await?)?;
    hold(gateway.fingerprint == peer, "the board prints the gateway's fingerprint")?;
    stage.step(
        "operator",
        format!("sees {} linked with the fingerprint {own}, as the board prints it", board.name),
    );
    Ok(())
}

/// Gives a board two tasks: one switches its pin, the other one asks who it is.
async fn does_tasks(stage: &mut Stage, data: &Path, board: &mut DemoBoard) -> Result<(), End> {
    let announced = async {
        let path = format!("/api/v1/nodes/{}/capabilities", board.id);
        loop {
            let can: CapabilityList = read(&ask(data, Method::GET, &path, None).await?)?;
            let names: Vec<_> = can.capabilities.into_iter().map(|one| one.name).collect();
            if ["pin", "system.identity"].iter().all(|name| names.iter().any(|has| has == name)) {
                return Ok::<_, End>(names);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let names = tokio::time::timeout(PATIENCE, announced).await.map_err(|_| {
        End::Refused(format!("{} did not say in time what it can do", board.name))
    })??;
    stage.step("device", format!("{} announces what it can do: {}", board.name, names.join(", ")));

    let done = gives(data, &board.id, "pin", json!(true)).await?;
    hold(done.state == "succeeded", "the board does its task")?;
    hold(done.result == Some(json!(true)), "the board answers that its pin is on")?;
    board.says("dispatched: pin").await?;
    board.says("dispatch done").await?;
    stage.step(
        "operator",
        format!("gives {} the task pin: its firmware switches the pin on, and says so", board.name),
    );

    let done = gives(data, &board.id, "system.identity", json!(null)).await?;
    hold(done.state == "succeeded", "the board says who it is")?;
    let said = done.result.unwrap_or_default();
    hold(said["node_id"] == json!(board.id), "the board that was asked answers")?;
    stage.step("device", format!("{} answers the task system.identity: {said}", board.name));
    Ok(())
}

/// Sends a board a message, and receives its answer among the messages of nodes.
async fn answers_messages(
    stage: &mut Stage,
    data: &Path,
    board: &mut DemoBoard,
) -> Result<(), End> {
    let mut messages = LineStream::follow(data, "/api/v1/messages").await?;
    messages.next().await?;
    let path = format!("/api/v1/devices/{}/send", board.id);
    let body = json!({ "address": "/light", "text": "off" });
    let sent: SentToNodeView = read(&ask(data, Method::POST, &path, Some(body)).await?)?;
    hold(sent.node_id == board.id && sent.sent == 3, "the message is sent to the board")?;
    board.says("the light is off").await?;
    stage.step(
        "operator",
        format!(
            "sends \"off\" to /light of {}: its firmware switches the light off, and says so",
            board.name
        ),
    );

    let answer = tokio::time::timeout(PATIENCE, messages.next())
        .await
        .map_err(|_| End::Refused(format!("{} did not answer in time", board.name)))??
        .ok_or_else(|| End::Refused("the gateway ended its messages".to_owned()))?;
    let answer: Value = read(&answer)?;
    hold(
        answer["node_id"] == json!(board.id)
            && answer["action"] == "write"
            && answer["address"] == "/light"
            && answer["text"] == "off",
        "the board answers with the level that it reads back",
    )?;
    stage.step(
        "device",
        format!("{} answers with the level that it reads back: /light is off", board.name),
    );
    Ok(())
}
