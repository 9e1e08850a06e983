//! Records the messages of a native gateway while a node with known randomness pairs by each method
//! and then links, so that an image can play them back: the gateway's own work is done here, on the
//! host.

#![allow(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "on the host, where a panic is a build that fails"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::gateway::{
    self, Confirmation, FrameContext, IssuedCertificate, KnownPeer, NativeConnection, Offer,
    PairVerdict, Prepared,
};
use handfast_core::flow::native::node::{
    self, CertificateWish, NativeMemory, Node, NodeIdentity, PairMethod, Timing,
};
use handfast_core::grant::capability::Holder;
use handfast_core::grant::certificate::{CompactFields, Serial, issue_compact};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::setup_code::{SetupKey, Terms, issue};
use handfast_core::limits::{
    Limits, NATIVE_NODE_SCRATCH, NATIVE_SCRATCH, SETUP_TOKEN_CHARS, STREAM_FRAME,
};
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::secret::Secret;
use handfast_core::wire::frame::encode;
use handfast_core::wire::native::pair::{AskedScopes, BootstrapToken, Selector};
use handfast_core::wire::native::part::Object;
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::wire::setup::ProfileName;
use handfast_core::{Entropy, Instant, Label, Machine, NodeId, Span, UnixTime};

include!("src/native/known.rs");

const START: Instant = Instant::from_millis(0);
const TODAY: UnixTime = UnixTime::from_secs(1_750_000_000);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/native/known.rs");
    let mut text = String::from(
        "/// The recording of each flow: after how many messages of the node on which connection, and what.\npub(super) const SAID: [&[(u32, u32, &[u8])]; 4] = [\n",
    );
    let (mut size, mut setup_code) = (0, String::new());
    for flow in Flow::ALL {
        text.push_str("&[\n");
        let play = Play::new(flow);
        setup_code.clone_from(&play.setup_code);
        for Said { connection, heard, message } in play.run() {
            let mut room = [0; STREAM_FRAME];
            let frame = encode(&message, &mut room).map_err(|error| format!("{error:?}"))?;
            // A list entry takes the bytes and two numbers, an address and a length.
            size += frame.len() + 16;
            writeln!(text, "    ({connection}, {heard}, &{frame:?}),")?;
        }
        text.push_str("],\n");
    }
    let gateway = Fingerprint::of(gateway_keys().channel.public()).to_string();
    writeln!(
        text,
        "];\n/// Bytes of flash that they take on a board.\npub(super) const SAID_BYTES: u32 = {size};\n/// The gateway's fingerprint.\npub(super) const GATEWAY: &str = {gateway:?};\n/// The setup code that the node shows.\npub(super) const SETUP_CODE: &str = {setup_code:?};",
    )?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("said.rs"), text)?;
    Ok(())
}

/// Returns `true` if the node wants a certificate.
fn wants_certificate() -> bool {
    env::var_os("CARGO_FEATURE_IDENTITY").is_some()
}

/// A message of the gateway, and the point at which it is sent.
struct Said {
    connection: u32,
    heard: u32,
    message: Vec<u8>,
}

/// Makes a setup code that pairs a device, with the key for those that are bound to the gateway.
fn setup_code(key: &SetupKey) -> String {
    let profile = ProfileName::parse("device-v1").expect("a profile");
    let device_label = Some(label(NAME));
    let terms = Terms { profile, device_label, ttl: Span::from_secs(600), bound: true };
    let mut room = [0; SETUP_TOKEN_CHARS];
    let entropy = Entropy::from_recorded([0x66; 16]);
    issue(key, &terms, TODAY, &entropy, &mut room).expect("a setup code").token.to_owned()
}

fn gateway_keys() -> OwnKeys {
    OwnKeys::generate(&Entropy::from_recorded([0x77; 64]))
}

/// Both machines, and the gateway's stored records.
struct Play {
    flow: Flow,
    setup: [SetupKey; 1],
    setup_code: String,
    keys: OwnKeys,
    gateway_keys: OwnKeys,
    record: Record,
    grants: Vec<Grant>,
    connection: u32,
    heard: u32,
    said: Vec<Said>,
}

fn label(text: &str) -> Label<'_> {
    Label::parse(text).expect("a label")
}

impl Play {
    fn new(flow: Flow) -> Self {
        let keys = OwnKeys::generate(&Entropy::from_recorded([CHANCE; 64]));
        let (node_id, id) = (NodeId::from_bytes([0xaa; 16]), GrantId::from_bytes([0xbb; 16]));
        let record = Record {
            node_id,
            name: label(NAME).into(),
            room: label(ROOM).into(),
            address: [127, 0, 0, 1].into(),
            keys: Some(Holder::of(&keys)),
            asked_at: TODAY,
            asked: Asked::by(AskMethod::Approval),
            standing: Standing::Paired { credential: Credential::Keys, mode: Mode::Full },
        };
        let (capability, scopes, expires) = (None, ScopesBuf::default(), None);
        let grants = vec![Grant {
            id,
            node_id,
            capability,
            scopes,
            not_before: TODAY,
            expires,
            moved: 0,
            state: State::Active,
            maker: Maker::Operator,
        }];
        let setup = [SetupKey::new(&Secret::new([0x88; 32])).expect("a key")];
        let setup_code = setup_code(&setup[0].bound_to(gateway_keys().channel.public()));
        let gateway_keys = gateway_keys();
        let (connection, heard, said) = (0, 0, Vec::new());
        Self {
            flow,
            setup,
            setup_code,
            keys,
            gateway_keys,
            record,
            grants,
            connection,
            heard,
            said,
        }
    }

    /// Runs until the first heartbeat of the link.
    fn run(mut self) -> Vec<Said> {
        let mut node = Node::boot(START, NativeMemory::Blank, Timing::DEFAULT);
        let mut gateway = None;
        let mut inputs = vec![In::Pair];
        let mut ticks = 0;
        while let Some(input) = inputs.pop() {
            let mut answers = Vec::new();
            for effect in self.node(&mut node, &input) {
                match effect {
                    Do::Connect => {
                        (self.connection, self.heard) = (self.connection + 1, 0);
                        let accepted = NativeConnection::accepted(START, Limits::DEFAULT);
                        gateway = Some(match wants_certificate() {
                            true => accepted.issuing_certificates(),
                            false => accepted,
                        });
                        answers.push(In::Connected);
                    }
                    Do::Close => answers.push(In::Disconnected),
                    Do::Keep => answers.push(In::Kept),
                    Do::PinWanted => answers.push(In::Pin),
                    Do::Send(frame) => {
                        self.heard += 1;
                        let machine = gateway.as_mut().expect("a connection is open");
                        for message in self.gateway(machine, &frame) {
                            let (connection, heard) = (self.connection, self.heard);
                            self.said.push(Said { connection, heard, message: message.clone() });
                            answers.push(In::Frame(message));
                        }
                    }
                }
            }
            answers.reverse();
            inputs.extend(answers);
            if inputs.is_empty() && !(self.connection == 2 && self.heard >= 4) {
                ticks += 1;
                let (flow, state) = (self.flow, node.state_name());
                assert!(ticks < 10, "{flow:?}: the node does not link, and stays in {state}");
                inputs.push(In::Tick);
            }
        }
        self.said
    }

    fn node(&self, node: &mut Node, input: &In) -> Vec<Do> {
        let about = PairRequest { name: label(NAME), room: label(ROOM), profile: Profile::EMPTY };
        let own = NodeIdentity {
            keys: &self.keys,
            about,
            setup: BootstrapToken::new(&self.setup_code),
            wants: AskedScopes::NONE,
            certificate: match wants_certificate() {
                true => CertificateWish::Compact,
                false => CertificateWish::None,
            },
            dispatch: false,
        };
        let entropy = || Entropy::from_recorded([CHANCE; 32]);
        let mut frame;
        let input = match input {
            In::Pair => {
                let selector = Selector::parse(SELECTOR).expect("a selector");
                let code = Code::parse(PIN).expect("a code");
                let (method, expect) = match self.flow {
                    Flow::Pin => (PairMethod::Pin, None),
                    Flow::Code => (PairMethod::Code { selector, code }, None),
                    Flow::Setup => {
                        let gateway = Fingerprint::of(self.gateway_keys.channel.public());
                        (PairMethod::Setup, Some(gateway))
                    }
                    Flow::Approval => (PairMethod::Approval, None),
                };
                node::Input::Pair(method, expect)
            }
            In::Tick => node::Input::Tick(Heartbeat::default()),
            In::Connected => node::Input::Connected(entropy(), own),
            In::Disconnected => node::Input::Disconnected(Entropy::from_recorded([CHANCE; 2])),
            In::Kept => node::Input::Kept,
            In::Pin => node::Input::CodeEntered(Code::parse(PIN).expect("a PIN"), entropy(), own),
            In::Frame(bytes) => {
                frame = bytes.clone();
                node::Input::Frame { bytes: &mut frame, entropy: entropy(), own }
            }
        };
        let mut scratch = [0; NATIVE_NODE_SCRATCH];
        let dos =
            node.step(START, input, &mut scratch).into_iter().filter_map(|effect| match effect {
                node::Effect::Connect => Some(Do::Connect),
                node::Effect::Send(frame) => Some(Do::Send(frame.to_vec())),
                node::Effect::Close(_) => Some(Do::Close),
                node::Effect::Keep => Some(Do::Keep),
                node::Effect::Tell(node::NativeNodeEvent::TypeThePin { .. }) => Some(Do::PinWanted),
                _ => None,
            });
        dos.collect()
    }

    /// Makes the node's certificate.
    fn certificate(&self) -> Vec<u8> {
        let fields = CompactFields {
            node_id: self.record.node_id,
            channel: *self.keys.channel.public(),
            signing: self.keys.signing.public(),
            epoch: 0,
            serial: Serial::new(&Entropy::from_recorded([0xdd; 20])),
            not_before: TODAY,
            not_after: TODAY.after(Span::from_secs(86_400)),
        };
        issue_compact(&fields, &self.gateway_keys.signing).expect("a certificate").to_vec()
    }

    /// Feeds a frame to the gateway and answers its effects until none are left.
    fn gateway(&self, machine: &mut NativeConnection, frame: &[u8]) -> Vec<Vec<u8>> {
        let known = KnownPeer {
            record: &self.record,
            grants: &self.grants,
            ceiling: None,
            clone: gateway::CloneStanding::default(),
        };
        let around = FrameContext {
            keys: &self.gateway_keys,
            older: None,
            in_force: None,
            setup: &self.setup,
            subscriptions_left: 0,
            now: TODAY,
        };
        let entropy = || Entropy::from_recorded([0x99; 32]);
        let certificate = self.certificate();
        let mut frame = frame.to_vec();
        let mut next =
            Some(gateway::Input::Frame { bytes: &mut frame, entropy: entropy(), around });
        let mut messages = Vec::new();
        while let Some(input) = next.take() {
            let mut scratch = [0; NATIVE_SCRATCH];
            for effect in machine.step(START, input, &mut scratch) {
                let answer = match effect {
                    gateway::Effect::Send(message) => {
                        messages.push(message.to_vec());
                        continue;
                    }
                    gateway::Effect::Request(gateway::NativeRequest::Enter(..)) => {
                        gateway::Input::Entered(Ok(()))
                    }
                    gateway::Effect::Request(gateway::NativeRequest::Find(_)) => {
                        gateway::Input::Found(Ok(Some(known)), TODAY, entropy())
                    }
                    gateway::Effect::Request(gateway::NativeRequest::Attach(..)) => {
                        gateway::Input::Attached(Ok(Some(known)), TODAY)
                    }
                    gateway::Effect::Ask(..) => {
                        let (id, code) =
                            (CodeId::from_bytes([0xcc; 16]), Code::parse(PIN).expect("a PIN"));
                        gateway::Input::Prepared(match self.flow {
                            Flow::Pin => Prepared::Pin { id, code, expires_in: 300, attempts: 5 },
                            Flow::Code => Prepared::Code { id: Some(id), code },
                            Flow::Setup => Prepared::Setup,
                            Flow::Approval => Prepared::Settle,
                        })
                    }
                    gateway::Effect::Request(gateway::NativeRequest::Reserve(_)) => {
                        gateway::Input::Reserved(Ok(4))
                    }
                    gateway::Effect::Request(gateway::NativeRequest::Spend(_)) => {
                        gateway::Input::Spent(Ok(true))
                    }
                    gateway::Effect::Issue(_) => {
                        let object = Object::CompactCertificate;
                        let bytes = &certificate[..];
                        let issued = IssuedCertificate { number: 1, object, bytes };
                        gateway::Input::Issued(Ok(Some(issued)))
                    }
                    gateway::Effect::Settle(_) => {
                        let (id, node_id, room) =
                            (self.grants[0].id, self.record.node_id, label(ROOM));
                        // The length is that of a device's chain with a few scopes.
                        let chain = Some(&[7; 300][..]);
                        gateway::Input::Settled(PairVerdict::Offered(Offer {
                            id,
                            node_id,
                            room,
                            token: None,
                            chain,
                            message: None,
                        }))
                    }
                    gateway::Effect::Request(gateway::NativeRequest::Activate(_)) => {
                        gateway::Input::Activated(Ok(Confirmation::Active(None)), TODAY)
                    }
                    _ => continue,
                };
                next = Some(answer);
            }
        }
        messages
    }
}

enum In {
    Pair,
    Tick,
    Connected,
    Disconnected,
    Kept,
    Pin,
    Frame(Vec<u8>),
}

enum Do {
    Connect,
    Send(Vec<u8>),
    Close,
    Keep,
    PinWanted,
}
