//! A node: its flash, the real machine, and an adapter that carries out its effects.

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::flow::native::node::{
    CertificateWish, Effect, Input, NativeMemory, Node, NodeIdentity, PairMethod, Timing,
};
use handfast_core::limits::{CERTIFICATES_BYTES, NATIVE_SETUP_SCRATCH};
use handfast_core::link::board::{Board, Taken};
use handfast_core::wire::native::link::{
    Announce, App, DispatchAnswer, DispatchId, DispatchOutcome, DispatchResult, Renew,
};
use handfast_core::wire::native::pair::{AskedScopes, BootstrapToken, Csr};
use handfast_core::wire::native::part::{Assembled, Assembly};
use handfast_core::wire::native::{CapabilityName, Payload};
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::{Entropy, Label, Machine};

use super::World;
use super::copies::Flash;
use super::wires::{ConnId, Side};

/// A node with its surroundings.
#[derive(Debug)]
pub struct NodeHost {
    /// The node's keys, in flash.
    pub keys: OwnKeys,
    /// The node's name for people.
    pub name: String,
    /// The stored pairing, in flash.
    pub memory: NativeMemory,
    /// The capability token, in flash.
    pub chain: Option<Vec<u8>>,
    /// The machine; `None` without power.
    pub machine: Option<Node>,
    /// Number of starts; answers to an earlier one are void.
    pub life: u32,
    /// Time in milliseconds at which power returns.
    pub on_at: Option<u64>,
    /// Number of effects until power fails.
    pub fuel: Option<u32>,
    /// The node's connection.
    pub conn: Option<ConnId>,
    /// Events that the owner was told.
    pub news: Vec<String>,
    /// Messages of the gateway's application.
    pub apps: Vec<(String, Vec<u8>)>,
    /// Bearer tokens that the node received.
    pub bearers: Vec<String>,
    /// The setup code that the owner scanned; a restart forgets it.
    pub setup: Option<String>,
    /// The certificate request that the node pairs and renews with.
    pub csr: Option<Vec<u8>>,
    /// The certificate, in flash.
    pub certificate: Option<Vec<u8>>,
    /// `true` if no certificate that comes counts for the node.
    pub refuses_certificates: bool,
    /// The way to link: over TLS with a certificate (`true`) or a signature (`false`); `None` for
    /// Noise.
    pub tls: Option<bool>,
    /// The gateway that it calls.
    pub calls: usize,
    /// `true` if the latest call went over TLS.
    pub dialled_tls: bool,
    /// The gateway's addresses, in flash.
    pub addresses: Option<String>,
    /// `true` for a node that keeps addresses from its next start on.
    pub keeps_addresses: bool,
    /// The board of tasks, in flash.
    pub board: Board<8>,
    /// A copy of the state in flash.
    pub copy: Option<Flash>,
    /// The tasks that were run, in order.
    pub ran: Vec<DispatchId>,
    /// `true` while a write to flash is under way.
    pub keeping: bool,
    /// The object that came in parts.
    came: Option<Vec<u8>>,
    /// The certificate of the next memory.
    certified: Option<Vec<u8>>,
    staged: Option<Vec<u8>>,
    assembly: Assembly,
    room: Box<[u8; CERTIFICATES_BYTES]>,
}

/// An input of a node.
#[derive(Debug)]
pub enum NodeIn {
    /// The deadline has passed.
    Tick,
    /// The connection is open.
    Connected,
    /// A frame from the gateway.
    Frame(Vec<u8>),
    /// The connection is lost.
    Disconnected,
    /// The memory is in flash.
    Kept,
    /// The memory is in flash, and the certificate that came is not.
    KeptWithout,
    /// The owner starts pairing.
    Pair(PairMethod, Option<Fingerprint>),
    /// The owner types a code.
    Code(String),
    /// The application sends a message.
    App(Action, String, Vec<u8>),
    /// The application subscribes to a pattern.
    Subscribe(String),
    /// The owner asks for a new chain (`true`) or bearer token (`false`).
    Renew(bool),
    /// A TLS connection is open; `true` if the node has shown its certificate.
    ConnectedTls([u8; 32], bool),
    /// The node asks for a new certificate.
    RenewCertificate,
    /// The node offers a capability.
    Announce(&'static str),
    /// A task runs (`false`) or is done (`true`).
    Outcome(DispatchId, bool),
    /// A task was cancelled while it ran.
    Stopped(DispatchId),
    /// The board's knowledge of a task is sent.
    Answer(DispatchId, u64),
    /// The owner erases the pairing.
    Forget,
}

/// One step of a node: its input as bytes, and the frames that it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedStep {
    /// Milliseconds since the node started.
    pub at: u64,
    /// The name of the input.
    pub input: String,
    /// The entropy that came with the input.
    pub entropy: [u8; 32],
    /// The received frame, or the typed code.
    pub bytes: Vec<u8>,
    /// The frames that the node sent.
    pub sends: Vec<Vec<u8>>,
}

enum Do {
    Connect,
    Send(Vec<u8>),
    Close,
    Keep(NativeMemory),
    Feed(NodeIn),
    Work(DispatchId),
    Stop(DispatchId),
}

impl NodeHost {
    pub(super) fn new(at: usize, keys: OwnKeys) -> Self {
        Self {
            keys,
            name: format!("node {at}"),
            memory: NativeMemory::Blank,
            chain: None,
            machine: None,
            life: 0,
            on_at: None,
            fuel: None,
            conn: None,
            news: Vec::new(),
            apps: Vec::new(),
            bearers: Vec::new(),
            setup: None,
            csr: None,
            certificate: None,
            refuses_certificates: false,
            tls: None,
            calls: 0,
            dialled_tls: false,
            addresses: None,
            keeps_addresses: false,
            board: Board::new(),
            copy: None,
            ran: Vec::new(),
            keeping: false,
            came: None,
            certified: None,
            staged: None,
            assembly: Assembly::IDLE,
            room: Box::new([0; CERTIFICATES_BYTES]),
        }
    }

    /// Returns the name of the machine's state.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.machine.as_ref().map_or("off", Node::state_name)
    }

    /// Returns `true` if the owner was told an event with this prefix.
    #[must_use]
    pub fn heard(&self, news: &str) -> bool {
        self.news.iter().any(|heard| heard.starts_with(news))
    }
}

impl World {
    /// Switches a node on, if it is off.
    pub fn node_on(&mut self, at: usize) {
        let now = self.instant();
        let host = &mut self.nodes[at];
        if host.machine.is_none() {
            host.life += 1;
            host.on_at = None;
            host.keeping = false;
            host.staged = None;
            host.setup = None;
            host.board.after_boot();
            (host.came, host.certified) = (None, None);
            host.assembly = Assembly::IDLE;
            let node = Node::boot(now, host.memory, Timing::DEFAULT);
            host.machine = Some(if host.keeps_addresses { node.keeping_addresses() } else { node });
            self.note(|| format!("node {at} starts"));
        }
    }

    /// Takes a node's power.
    pub fn node_off(&mut self, at: usize) {
        self.note(|| format!("node {at} loses power"));
        let back = self.now + 1 + self.prng.below(20_000);
        let host = &mut self.nodes[at];
        host.machine = None;
        host.fuel = None;
        host.on_at = Some(back);
        let conn = host.conn.take();
        self.jobs.retain(|job| !job.is_of_node(at));
        if let Some(conn) = conn {
            self.leave(conn, Side::Client);
        }
    }

    /// Feeds an input to a node.
    pub fn feed_node(&mut self, at: usize, input: NodeIn) {
        let now = self.instant();
        let mut bytes = [0; 34];
        self.prng.fill(&mut bytes);
        let host = &mut self.nodes[at];
        let Some(mut machine) = host.machine.take() else { return };
        let entropy = Entropy::from_recorded(*bytes.first_chunk().expect("32 bytes"));
        let chance = Entropy::from_recorded(*bytes.last_chunk().expect("2 bytes"));
        let label = |text| Label::parse(text).expect("a label");
        let about = PairRequest {
            name: label(&host.name),
            room: label("Kitchen"),
            profile: Profile::EMPTY,
        };
        let setup = host.setup.as_deref().and_then(BootstrapToken::new);
        let csr = host.csr.clone();
        let certificate = csr.as_deref().map_or(CertificateWish::None, |csr| {
            Csr::new(csr).map_or(CertificateWish::Compact, CertificateWish::X509)
        });
        let board = host.board.clone();
        let own = NodeIdentity {
            keys: &host.keys,
            about,
            setup,
            wants: AskedScopes::NONE,
            certificate,
            dispatch: true,
        };
        let before = machine.state_name();
        let what = match &input {
            NodeIn::Frame(frame) => format!("Frame of {}", frame.len()),
            other => format!("{other:?}"),
        };
        let received = match &input {
            NodeIn::Frame(frame) => frame.clone(),
            NodeIn::Code(code) => code.clone().into_bytes(),
            _ => Vec::new(),
        };
        // Over TLS no message is sealed again, and a short one is as good as a long one.
        let over_tls = host.conn.is_some_and(|conn| self.exporters.contains_key(&conn));
        let clear = matches!(&input, NodeIn::Frame(frame) if frame.len() <= 16 && !over_tls);
        let forgets = matches!(&input, NodeIn::Forget);
        let (mut frame, code, address, payload, wanted);
        let input = match input {
            NodeIn::Tick => {
                Input::Tick(Heartbeat { occupancy: Some(true), ..Heartbeat::default() })
            }
            NodeIn::Connected => Input::Connected(entropy, own),
            NodeIn::Frame(bytes) => {
                frame = bytes;
                Input::Frame { bytes: &mut frame, entropy, own }
            }
            NodeIn::Disconnected => Input::Disconnected(chance),
            NodeIn::Kept => Input::Kept,
            NodeIn::KeptWithout => Input::KeptWithout,
            NodeIn::Pair(wish, expect) => Input::Pair(wish, expect),
            NodeIn::Code(typed) => {
                code = typed;
                Input::CodeEntered(Code::parse(&code).expect("a code"), entropy, own)
            }
            NodeIn::App(action, to, bytes) => {
                (address, payload) = (to, bytes);
                let address = Address::parse(&address).expect("an address");
                Input::App(App {
                    action,
                    address,
                    bytes: Payload::new(&payload).expect("a payload"),
                })
            }
            NodeIn::Subscribe(pattern) => {
                wanted = pattern;
                Input::Subscribe(Pattern::parse(&wanted).expect("a pattern"))
            }
            NodeIn::Renew(chain) => Input::Renew(if chain { Renew::Chain } else { Renew::Token }),
            NodeIn::ConnectedTls(exporter, certified) => {
                let exporter = HandshakeHash::from_recorded(exporter);
                Input::ConnectedTls { exporter, certified, own }
            }
            NodeIn::RenewCertificate => Input::RenewCertificate(own),
            NodeIn::Announce(name) => Input::Announce(Announce {
                capability: CapabilityName::parse(name).expect("a name"),
                version: label("1"),
                available: true,
                idempotent: false,
            }),
            NodeIn::Outcome(id, done) => {
                let result = Payload::new(b"done").expect("a payload");
                let outcome = match done {
                    true => DispatchOutcome::Succeeded(result),
                    false => DispatchOutcome::Started,
                };
                Input::Outcome(DispatchResult { id, outcome })
            }
            NodeIn::Stopped(id) => {
                Input::Outcome(DispatchResult { id, outcome: DispatchOutcome::Cancelled })
            }
            NodeIn::Answer(id, number) => {
                Input::Answer(DispatchAnswer { id, number, known: board.answer(number, id) })
            }
            NodeIn::Forget => Input::Forget,
        };
        let mut scratch = [0; NATIVE_SETUP_SCRATCH];
        let effects = machine.step(now, input, &mut scratch);
        let mut todo = Vec::new();
        for effect in effects {
            match effect {
                Effect::Connect => todo.push(Do::Connect),
                Effect::Send(frame) => todo.push(Do::Send(frame.to_vec())),
                Effect::Close(_) => todo.push(Do::Close),
                Effect::Part(part) => match host.assembly.take(&part, &mut host.room[..]) {
                    Ok(Assembled::More(more)) => host.assembly = more,
                    Ok(Assembled::Whole { bytes, .. }) => {
                        host.came = Some(bytes.to_vec());
                        host.assembly = Assembly::IDLE;
                    }
                    Err(_) => host.assembly = Assembly::IDLE,
                },
                Effect::Chain(Some(chain)) => host.staged = Some(chain.to_vec()),
                Effect::Chain(None) => host.staged = host.came.take(),
                Effect::Certificate => host.certified = host.came.take(),
                Effect::CertificateKey(_) | Effect::Time(_) => {}
                // These nodes know where their gateway is.
                Effect::KeepAddresses(list) => host.addresses = Some(list.as_str().to_owned()),
                Effect::Search(_) | Effect::ConnectFound(_) | Effect::KeepFound => {}
                // The board is in flash before the task runs.
                Effect::Dispatch(task) => match host.board.take(task.number, task.id) {
                    Taken::Run => todo.push(Do::Work(task.id)),
                    Taken::Again(_) | Taken::TooOld | Taken::Full => {
                        todo.push(Do::Feed(NodeIn::Answer(task.id, task.number)));
                    }
                },
                Effect::Cancel(id) => todo.push(Do::Stop(id)),
                Effect::Query(id, number) => todo.push(Do::Feed(NodeIn::Answer(id, number))),
                Effect::Keep => todo.push(Do::Keep(*machine.memory())),
                Effect::Bearer(token) => host.bearers.push(token.expose().to_owned()),
                Effect::App(app) => {
                    host.apps
                        .push((app.address.as_str().to_owned(), app.bytes.as_bytes().to_vec()));
                }
                Effect::Tell(news) => host.news.push(format!("{news:?}")),
            }
        }
        let after = machine.state_name();
        host.machine = Some(machine);
        if let (0, Some(recording)) = (at, &mut self.recording) {
            let sends = todo.iter().filter_map(|effect| match effect {
                Do::Send(frame) => Some(frame.clone()),
                Do::Connect | Do::Close | Do::Keep(_) | Do::Feed(_) | Do::Work(_) | Do::Stop(_) => {
                    None
                }
            });
            recording.push(RecordedStep {
                at: self.now,
                input: what.split([' ', '(', '{']).next().unwrap_or_default().to_owned(),
                entropy: *bytes.first_chunk().expect("32 bytes"),
                bytes: received,
                sends: sends.collect(),
            });
        }
        self.note(|| format!("node {at}: {before} --{what}--> {after}"));
        self.steps += 1;
        self.visited.insert(after);
        for effect in todo {
            if !self.node_may(at) {
                return;
            }
            self.node_does(at, effect, clear, forgets);
        }
    }

    pub(super) fn node_may(&mut self, at: usize) -> bool {
        match self.nodes[at].fuel {
            Some(0) => {
                self.node_off(at);
                false
            }
            Some(fuel) => {
                self.nodes[at].fuel = Some(fuel - 1);
                true
            }
            None => true,
        }
    }

    fn node_does(&mut self, at: usize, effect: Do, clear: bool, forgets: bool) {
        match effect {
            Do::Connect => self.job(super::Job::Dial { node: at }),
            Do::Feed(input) => self.job(super::Job::Node { node: at, input }),
            Do::Work(id) => self.job(super::Job::Work { node: at, id, begun: false }),
            Do::Stop(id) => self.stop_work(at, id),
            Do::Send(frame) => {
                if let Some(conn) = self.nodes[at].conn {
                    self.send(conn, Side::Gateway, frame);
                }
            }
            Do::Close => {
                if let Some(conn) = self.nodes[at].conn.take() {
                    self.leave(conn, Side::Client);
                }
                self.jobs.retain(|job| !matches!(job, super::Job::Dial { node } if *node == at));
                self.job(super::Job::Disconnected { node: at });
            }
            Do::Keep(memory) => {
                self.check_keep(at, &memory, clear, forgets);
                self.nodes[at].keeping = true;
                self.job(super::Job::Keep { node: at, memory });
            }
        }
    }

    /// Completes the write to flash, and then informs the machine.
    pub(super) fn flash(&mut self, at: usize, memory: NativeMemory) {
        let host = &mut self.nodes[at];
        host.memory = memory;
        let refused = host.refuses_certificates && host.certified.is_some();
        match memory {
            NativeMemory::Paired(_) => {
                if let Some(chain) = host.staged.take() {
                    host.chain = Some(chain);
                }
                if let Some(certificate) = host.certified.take().filter(|_| !refused) {
                    host.certificate = Some(certificate);
                }
            }
            NativeMemory::Blank => host.chain = None,
            NativeMemory::Asked { .. } => {}
        }
        self.note(|| format!("node {at} keeps {memory:?}"));
        if self.node_may(at) {
            let input = match refused {
                true => NodeIn::KeptWithout,
                false => NodeIn::Kept,
            };
            self.job(super::Job::Kept { node: at, input });
        }
    }
}
