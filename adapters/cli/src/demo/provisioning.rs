//! The part of the demo with a node that has neither screen nor network: a phone gives it both, and
//! the invitation of its gateway, over a sealed exchange.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use handfast_core::crypto::code::Code;
use handfast_core::flow::provisioning::sealed::ExchangeHandle;
use handfast_core::flow::provisioning::sealed::phone::{Effect, Input, SealedPhone};
use handfast_core::limits::SCRATCH;
use handfast_core::wire::provisioning::sealed::{Call, PartBytes};
use handfast_core::{Entropy, Instant as CoreInstant, Machine};
use handfast_node::StateDir;
use handfast_node::native::{NativeConfig, NativeNode};
use handfast_node::provisioning::{
    NodeInfo, NodeLabel, Provisioner, ProvisionerConfig, SimulatedRadio,
};
use handfast_server::admin::MintedView;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::hold;
use super::keyed::Scene;
use super::phone::PATIENCE;
use super::stage::Stage;
use crate::End;
use crate::client::{ask, read};

/// The name of the node at the gateway.
const NAME: &str = "Cellar-Pi";
/// Interval of the phone's questions.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// The password that the simulated radio takes for a wrong one.
const WRONG: &str = "correct hoarse";

/// Plays the life of a node that a phone sets up.
pub(super) async fn play(stage: &mut Stage, scene: &Scene<'_>) -> Result<(), End> {
    stage.chapter("A node without a screen gets its network and its gateway from a phone");
    let state = scene.home.join("cellar");
    let node = Node::start(&state).await?;
    let label = NodeLabel::of(&state).map_err(End::refused)?;
    stage.step("node", format!("{NAME} offers its access point; its label has the proof"));

    let mut phone = Phone::at(&node.address);
    let told = phone.prove("ABCD-EFGH-JKLM").await?;
    hold(matches!(told, Told::Wrong), "another proof is refused")?;
    let mut phone = Phone::proven(&node.address, &label).await?;
    stage.step("phone", "tries a wrong proof in vain, then proves the label's".to_owned());
    let networks = phone.call(Call::Scan, "").await?;
    let names: Vec<_> = networks["networks"].as_array().into_iter().flatten().collect();
    hold(names.len() == 4, "four networks are in reach")?;
    stage.step(
        "phone",
        format!("sees {} networks, the strongest {}", names.len(), text(&names[0]["ssid"])),
    );

    for (network, security) in [("HomeNetwork", "WPA2"), ("IoT_Network", "WPA3")] {
        let invitation = invitation(scene.data).await?;
        phone.provision(network, WRONG, &invitation).await?;
        let failed = phone.until("say what is wrong", |it| it["error_code"].is_string()).await?;
        hold(failed["error_code"] == "wrong_password", "a wrong password is called so")?;
        phone.until("offer its access point again", |it| it["hotspot_restored"] == true).await?;
        stage.step("node", format!("{security}: \u{201c}{}\u{201d}", text(&failed["error"])));
    }
    let invitation = invitation(scene.data).await?;
    phone.provision("HomeNetwork", "correct horse", &invitation).await?;
    phone.until("be provisioned", |it| it["progress_percent"] == 100).await?;
    stands(scene.data, "online").await?;
    stage.step("node", format!("joins, pairs by the sealed invitation, and {NAME} is online"));

    let body = json!({ "wifi_ssid": "IoT_Network", "wifi_password": "correct horse" });
    let taken = phone.call(Call::Network, &body.to_string()).await?;
    hold(taken["success"] == true, "it takes another network")?;
    phone.until("have changed its network", |it| it["progress_percent"] == 100).await?;
    stands(scene.data, "online").await?;
    stage.step("phone", "moves it to another Wi-Fi: it stays paired, and is online".to_owned());

    node.stop().await;
    stands(scene.data, "offline").await?;
    let node = Node::start(&state).await?;
    stands(scene.data, "online").await?;
    stage.step("node", "is switched off and on, and is back by itself".to_owned());

    let mut phone = Phone::proven(&node.address, &label).await?;
    let reset = phone.call(Call::FactoryReset, "").await?;
    hold(reset["success"] == true, "it is reset")?;
    stands(scene.data, "offline").await?;
    // With its keys the exchange has ended.
    let mut phone = Phone::proven(&node.address, &label).await?;
    let info = phone.call(Call::Info, "").await?;
    hold(info["previously_provisioned"] == false, "it knows nothing any more")?;
    stage.step("phone", "resets it: its network, its keys and its gateway are gone".to_owned());
    node.stop().await;
    Ok(())
}

/// Waits until the gateway lists the node with this status.
async fn stands(data: &Path, status: &str) -> Result<(), End> {
    let begun = Instant::now();
    loop {
        let list = ask(data, Method::GET, "/api/v1/paired", None).await?;
        let list: Value = read(&list)?;
        let listed = list["items"].as_array().into_iter().flatten();
        let mut ours = listed.map(|one| &one["device"]).filter(|it| it["friendly_name"] == NAME);
        if ours.any(|device| device["status"] == status) {
            return Ok(());
        }
        hold(begun.elapsed() < PATIENCE, &format!("{NAME} should be {status} at the gateway"))?;
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn invitation(data: &Path) -> Result<String, End> {
    let body =
        json!({ "kind": "qr", "permissions": { "read": ["/cellar/**"] }, "expires_seconds": 300 });
    let answer = ask(data, Method::POST, "/api/v1/pairing/codes", Some(body)).await?;
    let minted: MintedView = read(&answer)?;
    minted.invitation.ok_or_else(|| End::Refused("there is no invitation".into()))
}

/// A node that is provisioned, and links whenever it is.
struct Node {
    address: String,
    tasks: [JoinHandle<()>; 2],
}

impl Node {
    async fn start(state: &Path) -> Result<Self, End> {
        let config = ProvisionerConfig {
            state: state.to_owned(),
            info: NodeInfo { node_id: NAME.to_owned(), ..NodeInfo::of_this_machine("") },
            listen: ([127, 0, 0, 1], 0).into(),
            captive_port: None,
            plain: false,
            protected_only: false,
            share_settings: false,
            window: Duration::from_secs(600),
            gateway_key: None,
            country: None,
            ca: None,
        };
        let radio = Box::new(SimulatedRadio::new(Some(WRONG.to_owned())));
        let provisioner = Provisioner::new(config, radio).await.map_err(End::refused)?;
        let (address, mut operates) = (provisioner.address().to_string(), provisioner.operates());
        let state = state.to_owned();
        let provisions = tokio::spawn(async move {
            drop(provisioner.run(std::future::pending()).await);
        });
        let links = tokio::spawn(async move {
            while operates.wait_for(|operates| *operates).await.is_ok() {
                // What is read of the state is let go before the next wait.
                let rests = async { drop(operates.wait_for(|operates| !*operates).await) };
                tokio::select! {
                    () = link(state.clone()) => tokio::time::sleep(ASK_EVERY).await,
                    () = rests => {}
                }
            }
        });
        Ok(Self { address, tasks: [provisions, links] })
    }

    /// Ends the node as if it were switched off.
    async fn stop(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

async fn link(state: PathBuf) {
    let Ok(Some((identity, _))) = StateDir::at(&state).load_native() else { return };
    let Ok(config) = NativeConfig::new(identity, state) else { return };
    let Ok(node) = NativeNode::new(config) else { return };
    drop(node.run(std::future::pending()).await);
}

/// What the phone's owner is told.
enum Told {
    Proven,
    Wrong,
    Lost,
    Answered(Value),
}

/// A phone with core's machine, over HTTP.
struct Phone {
    address: String,
    machine: SealedPhone,
    answer: Vec<u8>,
}

impl Phone {
    fn at(address: &str) -> Self {
        Self { address: address.to_owned(), machine: SealedPhone::default(), answer: Vec::new() }
    }

    /// Returns a phone that has proven what is on the label, after the waits for wrong guesses.
    async fn proven(address: &str, label: &NodeLabel) -> Result<Self, End> {
        let mut phone = Self::at(address);
        let begun = Instant::now();
        loop {
            match phone.prove(&label.proof()).await? {
                Told::Proven => return Ok(phone),
                Told::Wrong if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(ASK_EVERY).await;
                }
                Told::Wrong | Told::Lost | Told::Answered(_) => {
                    return Err(End::Refused("the node does not take its own proof".into()));
                }
            }
        }
    }

    async fn prove(&mut self, proof: &str) -> Result<Told, End> {
        let proof = Code::parse(proof).map_err(|_| End::Refused("that is no proof".into()))?;
        self.go(Input::Start { proof, entropy: [draw()?, draw()?] }).await
    }

    async fn provision(
        &mut self,
        network: &str,
        password: &str,
        invitation: &str,
    ) -> Result<(), End> {
        let body = json!({
            "wifi_ssid": network, "wifi_password": password, "room": "Cellar", "node_id": NAME,
            "gateway": invitation,
        });
        let begun = Instant::now();
        // A failure is shown for a moment, in which nothing else is taken.
        while self.call(Call::Provision, &body.to_string()).await?["success"] != true {
            hold(begun.elapsed() < PATIENCE, "the node takes the settings")?;
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    async fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value, End> {
        let begun = Instant::now();
        loop {
            let status = self.call(Call::Status, "").await?;
            if is(&status) {
                return Ok(status);
            }
            hold(begun.elapsed() < PATIENCE, &format!("{NAME} should {what}, and says {status}"))?;
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn call(&mut self, call: Call, body: &str) -> Result<Value, End> {
        let bytes = PartBytes::new(body.as_bytes());
        let bytes = bytes.ok_or_else(|| End::Refused("the settings are too long".into()))?;
        match self.go(Input::Part { call, bytes, last: true }).await? {
            Told::Answered(answer) => Ok(answer),
            Told::Proven | Told::Wrong | Told::Lost => {
                Err(End::Refused("the node gave no answer".into()))
            }
        }
    }

    async fn go(&mut self, input: Input<'_>) -> Result<Told, End> {
        let mut told = None;
        let mut post = self.step(input, &mut told);
        while let Some((handle, bytes)) = post.take() {
            let mut answer = exchange(&self.address, handle, &bytes).await?;
            post = self.step(Input::Answer(&mut answer, draw()?), &mut told);
        }
        told.ok_or_else(|| End::Refused("the phone was told nothing".into()))
    }

    fn step(
        &mut self,
        input: Input<'_>,
        told: &mut Option<Told>,
    ) -> Option<(Option<ExchangeHandle>, Vec<u8>)> {
        let (mut scratch, mut post) = ([0; SCRATCH], None);
        for effect in self.machine.step(CoreInstant::from_millis(0), input, &mut scratch) {
            match effect {
                Effect::Post(handle, bytes) => post = Some((handle, bytes.to_vec())),
                Effect::Proven(_) => *told = Some(Told::Proven),
                Effect::Wrong(_) | Effect::Later(_) => *told = Some(Told::Wrong),
                Effect::Lost => *told = Some(Told::Lost),
                Effect::More => {}
                Effect::Answer { bytes, last, .. } => {
                    self.answer.extend_from_slice(bytes);
                    if last {
                        let body = std::mem::take(&mut self.answer);
                        let answer = serde_json::from_slice(&body).unwrap_or_default();
                        *told = Some(Told::Answered(answer));
                    }
                }
            }
        }
        post
    }
}

fn draw<const N: usize>() -> Result<Entropy<N>, End> {
    Entropy::try_draw(&mut getrandom::SysRng).map_err(End::refused)
}

/// Sends one message, and returns the answer to it.
async fn exchange(
    address: &str,
    handle: Option<ExchangeHandle>,
    bytes: &[u8],
) -> Result<Vec<u8>, End> {
    let handle: String = handle.map_or_else(String::new, |handle| {
        let digits = handle.as_bytes().iter().map(|byte| format!("{byte:02x}"));
        format!("/{}", digits.collect::<String>())
    });
    let head = format!(
        "POST /api/v1/sealed{handle} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    let mut stream = TcpStream::connect(address).await.map_err(End::refused)?;
    stream.write_all(&[head.as_bytes(), bytes].concat()).await.map_err(End::refused)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(End::refused)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let body =
        end.and_then(|end| answer.get(end + 4..)).filter(|_| answer.starts_with(b"HTTP/1.1 200"));
    body.map(<[u8]>::to_vec).ok_or_else(|| End::Refused("the node refused a message".into()))
}
