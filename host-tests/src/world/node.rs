//! A node's adapter: carries out the effects of its machine in order, over a flash memory that
//! keeps only what was written.

use std::net::IpAddr;

use handfast_core::flow::registration::node::{
    Effect, Input, RegistrationMemory, RegistrationNode, RegistrationNodeEvent, Timing,
};
use handfast_core::limits::SCRATCH;
use handfast_core::wire::close::Close;
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::wire::token::Token;
use handfast_core::{Entropy, Label, Machine, NodeId};

use super::network::{Client, ConnId, Frame, Side};
use super::{Event, World};

/// A node with its surroundings.
#[derive(Debug)]
pub struct NodeHost {
    /// The machine; `None` without power.
    pub machine: Option<RegistrationNode>,
    /// The state that survives a power cut.
    pub flash: Flash,
    /// The node's connection.
    pub conn: Option<ConnId>,
    /// Number of starts; answers to an earlier one are void.
    pub boot: u32,
    /// Number of effects until power fails.
    pub fuel: Option<u32>,
    /// The node's name for people.
    pub name: String,
    /// The address of its connections.
    pub address: IpAddr,
    /// Events that its owner was told, the newest last.
    pub news: Vec<String>,
}

/// [`RegistrationMemory`] as it stands in flash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flash {
    /// The flash is empty.
    Blank,
    /// The node id alone.
    Asked(NodeId),
    /// The node id and the token.
    Paired(NodeId, String),
}

impl Flash {
    fn of(memory: &RegistrationMemory) -> Self {
        match memory {
            RegistrationMemory::Blank => Self::Blank,
            RegistrationMemory::Asked { node_id } => Self::Asked(*node_id),
            RegistrationMemory::Paired { node_id, token } => {
                Self::Paired(*node_id, token.expose().to_owned())
            }
        }
    }

    fn read(&self) -> RegistrationMemory {
        match self {
            Self::Blank => RegistrationMemory::Blank,
            Self::Asked(node_id) => RegistrationMemory::Asked { node_id: *node_id },
            Self::Paired(node_id, token) => RegistrationMemory::Paired {
                node_id: *node_id,
                token: Token::parse(token).expect("only tokens are kept"),
            },
        }
    }

    /// Returns the node id, if there is one.
    #[must_use]
    pub const fn node_id(&self) -> Option<NodeId> {
        match self {
            Self::Blank => None,
            Self::Asked(node_id) | Self::Paired(node_id, _) => Some(*node_id),
        }
    }
}

/// An owned input of a node.
#[derive(Debug)]
pub(super) enum NodeInput {
    Tick,
    Connected,
    Text(String),
    Disconnected,
    Kept,
    Token(String),
    AskAgain,
    Forget,
}

enum Act {
    Connect,
    Send(String),
    Close(Close),
    Keep(Flash),
    Tell(String),
}

impl Act {
    fn of(effect: Effect<'_>) -> Self {
        match effect {
            Effect::Connect => Self::Connect,
            Effect::Send(text) => Self::Send(text.to_owned()),
            Effect::Close(close) => Self::Close(close),
            Effect::Keep(memory) => Self::Keep(Flash::of(&memory)),
            Effect::Tell(news) => Self::Tell(match news {
                RegistrationNodeEvent::RetryIn(_) => "RetryIn".to_owned(),
                news => format!("{news:?}"),
            }),
        }
    }
}

impl NodeHost {
    pub(super) fn new(index: usize, address: IpAddr) -> Self {
        let name = format!("node \"{index}\"");
        Self {
            machine: None,
            flash: Flash::Blank,
            conn: None,
            boot: 0,
            fuel: None,
            name,
            address,
            news: Vec::new(),
        }
    }

    /// Returns the node's pairing request.
    ///
    /// # Panics
    /// Never: the name is a label.
    #[must_use]
    pub fn request(&self) -> PairRequest<'_> {
        let label = |text| Label::parse(text).expect("a label");
        let profile =
            Profile::parse(r#"{"board":"simulated","microphones":2}"#).expect("an object");
        PairRequest { name: label(&self.name), room: label("Küche"), profile }
    }
}

impl World {
    pub(super) fn switch_on(&mut self, node: usize) {
        let now = self.instant();
        let host = &mut self.nodes[node];
        if host.machine.is_none() {
            host.boot += 1;
            host.machine = Some(RegistrationNode::boot(now, host.flash.read(), Timing::DEFAULT));
        }
    }

    /// Cuts the power: only durable state is left.
    pub(super) fn cut_node(&mut self, node: usize) {
        self.note(|| format!("node {node} loses power"));
        let host = &mut self.nodes[node];
        host.machine = None;
        host.fuel = None;
        host.boot += 1;
        if let Some(conn) = host.conn.take() {
            self.vanish(conn, Side::Client);
        }
        let dark = 50 + self.prng.below(20_000);
        self.at(self.now + dark, Event::NodePower { node });
    }

    pub(super) fn node_hears(&mut self, node: usize, conn: ConnId, frame: Frame) {
        if self.nodes[node].conn != Some(conn) {
            return;
        }
        match frame {
            Frame::Opened => self.feed_node(node, NodeInput::Connected),
            Frame::Text(text) => self.feed_node(node, NodeInput::Text(text)),
            Frame::Ping => self.send(conn, Side::Client, Frame::Pong),
            Frame::Close(_) => self.on_gone(conn, Side::Client),
            Frame::Binary(_) | Frame::Pong => {}
        }
    }

    pub(super) fn node_lost(&mut self, node: usize, conn: ConnId) {
        if self.nodes[node].conn == Some(conn) {
            self.nodes[node].conn = None;
            self.feed_node(node, NodeInput::Disconnected);
        }
    }

    pub(super) fn on_flashed(&mut self, node: usize, boot: u32, flash: Flash) {
        if self.nodes[node].boot == boot {
            self.nodes[node].flash = flash;
            let finishes = self.now + self.prng.below(5);
            self.at(finishes, Event::FlashDone { node, boot });
        }
    }

    pub(super) fn feed_node(&mut self, node: usize, input: NodeInput) {
        let now = self.instant();
        let chance = Entropy::from_recorded(self.prng.bytes());
        let host = &mut self.nodes[node];
        let Some(mut machine) = host.machine.take() else { return };
        let mut scratch = [0; SCRATCH];
        let before = machine.state_name();
        let input_text = format!("{input:?}");
        let input = match &input {
            NodeInput::Tick => {
                Input::Tick(Heartbeat { occupancy: Some(true), ..Heartbeat::default() })
            }
            NodeInput::Connected => Input::Connected(host.request()),
            NodeInput::Text(text) => Input::Text(text),
            NodeInput::Disconnected => Input::Disconnected(chance),
            NodeInput::Kept => Input::Kept(host.flash.read()),
            NodeInput::Token(text) => Input::TokenEntered(Token::parse(text).expect("a token")),
            NodeInput::AskAgain => Input::AskAgain,
            NodeInput::Forget => Input::Forget,
        };
        let effects = machine.step(now, input, &mut scratch);
        let acts: Vec<Act> = effects.into_iter().map(Act::of).collect();
        let after = machine.state_name();
        self.check_redacted(&machine);
        self.nodes[node].machine = Some(machine);
        self.note(|| format!("node {node}: {before} + {input_text} -> {after}"));
        let mut closed = false;
        for act in acts {
            if self.burn_node(node) {
                return;
            }
            closed |= matches!(act, Act::Close(_));
            self.node_act(node, act);
        }
        if closed {
            // A closing machine hears of the end before any other input.
            self.feed_node(node, NodeInput::Disconnected);
        }
    }

    fn node_act(&mut self, node: usize, act: Act) {
        match act {
            Act::Connect => {
                let address = self.nodes[node].address;
                self.expect(self.nodes[node].conn.is_none(), || {
                    format!("node {node} connects twice")
                });
                let conn = self.dial(Client::Node(node), address);
                self.nodes[node].conn = Some(conn);
            }
            Act::Send(text) => {
                let conn = self.nodes[node].conn;
                self.check_node_sends(node, &text);
                self.expect(conn.is_some(), || {
                    format!("node {node} sends without a connection: {text}")
                });
                self.send(conn.expect("checked"), Side::Client, Frame::Text(text));
            }
            Act::Close(close) => {
                if let Some(conn) = self.nodes[node].conn.take() {
                    self.hang_up(conn, Side::Client, close);
                }
            }
            Act::Keep(flash) => {
                let boot = self.nodes[node].boot;
                let durable = self.now + 1 + self.prng.below(30);
                self.at(durable, Event::Flashed { node, boot, flash });
            }
            Act::Tell(news) => {
                self.check_news(node, &news);
                self.nodes[node].news.push(news);
            }
        }
    }

    /// Counts an effect; `true` if the power fails before it.
    fn burn_node(&mut self, node: usize) -> bool {
        match self.nodes[node].fuel {
            Some(0) => {
                self.cut_node(node);
                true
            }
            Some(left) => {
                self.nodes[node].fuel = Some(left - 1);
                false
            }
            None => false,
        }
    }
}
