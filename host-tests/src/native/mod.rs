//! A gateway and nodes of the native wire in virtual time: real machines, and around them small
//! models of a registry, flash, connections, people and a stranger. A seed drives them, and they
//! can fail between any two effects; the invariants of [`audit`] are checked after every event.

pub mod audit;
pub mod clock;
pub mod copies;
mod ending;
pub mod gateway;
pub mod identity;
pub mod machines;
pub mod node;
pub mod people;
pub mod raw;
pub mod registry;
mod schedule;
pub mod script;
pub mod sharing;
pub mod stranger;
pub mod wires;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::setup_code::SetupKey;
use handfast_core::limits::Limits;
use handfast_core::registry::codes::CodeId;
use handfast_core::secret::Secret;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{Entropy, Instant, Machine, NodeId, Span, UnixTime};

use crate::clocks::Clocks;
use crate::prng::Prng;
use audit::Audit;
use copies::{Backup, History};
use gateway::{Answer, Asked, GateIn, GatewayHost, GatewayIdentity, Seat};
use node::{NodeHost, NodeIn, RecordedStep};
use registry::Registry;
use sharing::SharedLog;
use wires::{ConnId, Item, OnTheWay, Passing, Side, Wire};

/// Returns a key for setup codes.
///
/// # Panics
/// If the number is 0.
#[must_use]
pub fn setup_key(number: u8) -> SetupKey {
    SetupKey::new(&Secret::new([number; 32])).expect("not all zero")
}

/// The whole simulated world.
pub struct World {
    /// Milliseconds since the world began.
    pub now: u64,
    /// The gateway's limits.
    pub limits: Limits,
    /// The simulated nodes.
    pub nodes: Vec<NodeHost>,
    /// The processes of the gateways, which share the registry.
    pub gateways: Vec<GatewayHost>,
    /// Keys and settings that all gateways have in common.
    pub identity: GatewayIdentity,
    /// The gateway at which the operators sit.
    pub desk: usize,
    /// The display: for each PIN the node's key, the code's id, and the PIN.
    pub display: Vec<(PublicKey, CodeId, String)>,
    /// The clocks of the registry's system.
    pub clocks: Clocks,
    /// The registry.
    pub store: Registry,
    /// The ends of the registry's entries.
    pub ends: clock::Ends,
    /// The connections by id.
    pub wires: BTreeMap<ConnId, Wire>,
    /// An attacker that sees, and may change, every frame.
    pub on_the_way: Option<OnTheWay>,
    /// All frames that were ever sent, in order, with connection and receiver.
    pub overheard: Vec<(ConnId, Side, Vec<u8>)>,
    /// The steps of the first node, in order, if a recording was begun.
    pub recording: Option<Vec<RecordedStep>>,
    /// The exporters of TLS connections.
    pub exporters: BTreeMap<ConnId, [u8; 32]>,
    /// Frames that strangers received, by connection.
    pub inbox: BTreeMap<ConnId, VecDeque<Vec<u8>>>,
    /// The history for the invariants.
    pub audit: Audit,
    /// The history of marks and tasks.
    pub history: History,
    /// Number of steps of all machines.
    pub steps: u64,
    /// Names of the states that occurred.
    pub visited: BTreeSet<&'static str>,
    /// `true` if due events happen in random order.
    pub shuffled: bool,
    /// What the gateways share besides the registry, if there are several.
    sharing: Option<SharedLog>,
    /// The gateway of each connection.
    homes: BTreeMap<ConnId, usize>,
    jobs: Vec<Job>,
    prng: Prng,
    opened: ConnId,
    rotations: u8,
    backup: Option<Backup>,
    trace: VecDeque<String>,
}

/// An operation under way.
#[allow(clippy::large_enum_variant, reason = "few of them live at once")]
#[derive(Debug)]
enum Job {
    Dial { node: usize },
    Disconnected { node: usize },
    Keep { node: usize, memory: NativeMemory },
    Kept { node: usize, input: NodeIn },
    Store { conn: ConnId, asked: Asked },
    Answer { conn: ConnId, answer: Answer },
    Node { node: usize, input: NodeIn },
    Work { node: usize, id: DispatchId, begun: bool },
    Claim { gateway: usize, node_id: NodeId, number: u64 },
}

impl Job {
    fn is_of_node(&self, at: usize) -> bool {
        matches!(self, Self::Dial { node } | Self::Disconnected { node } | Self::Keep { node, .. } | Self::Kept { node, .. } | Self::Node { node, .. } | Self::Work { node, .. } if *node == at)
    }

    const fn is_of_gateways(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Answer { .. })
    }

    fn is_of_conn(&self, of: ConnId) -> bool {
        matches!(self, Self::Store { conn, .. } | Self::Answer { conn, .. } if *conn == of)
    }
}

/// An event that can happen next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Job(usize),
    Arrives(ConnId, Side),
}

const EPOCH: u64 = 1_750_000_000;
const LONGEST_TRACE: usize = 400;
const MOST_OVERHEARD: usize = 4_000;

/// Scopes of nodes' grants, unless a test sets others.
pub const SCOPES: &str = "read:/lights/*\nwrite:/lights/*\nadmin:/own/**\n";

impl World {
    /// Creates a gateway and this many nodes, switched on for the first time.
    #[must_use]
    pub fn new(nodes: usize, seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let mut keys = || {
            let mut bytes = [0; 64];
            prng.fill(&mut bytes);
            OwnKeys::generate(&Entropy::from_recorded(bytes))
        };
        let identity = GatewayIdentity::new(keys());
        let nodes = (0..nodes).map(|at| NodeHost::new(at, keys())).collect::<Vec<_>>();
        let scopes = ScopesBuf::parse(SCOPES).expect("scopes");
        let mut world = Self {
            now: 0,
            limits: Limits::DEFAULT,
            gateways: vec![GatewayHost::new(0)],
            identity,
            desk: 0,
            display: Vec::new(),
            clocks: Clocks::new(EPOCH),
            ends: clock::Ends::default(),
            store: Registry {
                scopes,
                grant_for: Some(Span::from_secs(30 * 86_400)),
                ..Registry::default()
            },
            wires: BTreeMap::new(),
            on_the_way: None,
            overheard: Vec::new(),
            recording: None,
            exporters: BTreeMap::new(),
            inbox: BTreeMap::new(),
            audit: Audit::default(),
            history: History::default(),
            steps: 0,
            visited: BTreeSet::new(),
            shuffled: false,
            sharing: None,
            homes: BTreeMap::new(),
            jobs: Vec::new(),
            prng,
            opened: 0,
            rotations: 1,
            backup: None,
            trace: VecDeque::new(),
            nodes,
        };
        for at in 0..world.nodes.len() {
            world.node_on(at);
        }
        world
    }

    /// Returns the monotonic clock.
    #[must_use]
    pub const fn instant(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Returns the registry's time.
    #[must_use]
    pub fn unix(&self) -> UnixTime {
        self.moment().now
    }

    /// Returns the gateway at which a connection arrived.
    #[must_use]
    pub fn gateway_of(&self, conn: ConnId) -> usize {
        self.homes.get(&conn).copied().unwrap_or(0)
    }

    /// Returns a connection with its adapter's state.
    #[must_use]
    pub fn seat(&self, conn: ConnId) -> Option<&Seat> {
        self.gateways[self.gateway_of(conn)].seats.get(&conn)
    }

    /// Returns the monotonic clock of a gateway.
    #[must_use]
    pub fn instant_at(&self, gateway: usize) -> Instant {
        Instant::from_millis(self.now + self.gateways[gateway].ahead)
    }

    fn is_any_on(&self) -> bool {
        self.gateways.iter().any(|gateway| gateway.on)
    }

    /// Runs all events that are possible without time passing. Their number is limited.
    pub fn run(&mut self) {
        for _ in 0..20_000 {
            if !self.happen() {
                return;
            }
        }
        self.expect(false, || "time stands still".to_owned());
    }

    /// Runs one event; `false` if none is possible.
    pub fn happen(&mut self) -> bool {
        self.look_at_clocks();
        self.tasks_tick();
        let next = self.possible();
        let Some(last) = next.len().checked_sub(1) else { return self.tick() };
        let chosen = if self.shuffled { self.prng.below(last as u64 + 1) as usize } else { 0 };
        match next[chosen] {
            Next::Job(at) => {
                let job = self.jobs.remove(at);
                self.work(job);
            }
            Next::Arrives(conn, to) => self.arrive(conn, to),
        }
        self.check();
        true
    }

    fn possible(&self) -> Vec<Next> {
        let mut next = Vec::new();
        for (at, job) in self.jobs.iter().enumerate() {
            let waits = matches!(job, Job::Disconnected { node } if self.nodes[*node].keeping);
            if !waits {
                next.push(Next::Job(at));
            }
        }
        for (&conn, wire) in &self.wires {
            if !wire.to[Side::Gateway as usize].is_empty() && self.gateway_reads(conn) {
                next.push(Next::Arrives(conn, Side::Gateway));
            }
            let reads = wire.node.is_none_or(|at| !self.nodes[at].keeping);
            if !wire.to[Side::Client as usize].is_empty() && reads {
                next.push(Next::Arrives(conn, Side::Client));
            }
        }
        next
    }

    fn gateway_reads(&self, conn: ConnId) -> bool {
        let machine = self.seat(conn).and_then(|seat| seat.machine.as_ref());
        machine.is_none_or(|machine| !machine.awaits_answer())
    }

    fn work(&mut self, job: Job) {
        if let (Job::Dial { node }, Some(_)) = (&job, &self.sharing) {
            self.nodes[*node].calls = usize::from(self.prng.one_in(2));
        }
        match job {
            Job::Claim { gateway, node_id, number } => self.write_claim(gateway, node_id, number),
            Job::Dial { node }
                if self.called(node).is_some()
                    && matches!(self.nodes[node].memory, NativeMemory::Paired(_))
                    && self.nodes[node].tls.is_some()
                    && !self.nodes[node].dialled_tls =>
            {
                // A node that calls in vain uses its other address next.
                self.nodes[node].dialled_tls = true;
                let certified = self.nodes[node].tls == Some(true);
                if certified && !self.lets_in_certified(node) {
                    return self.feed_node(node, NodeIn::Disconnected);
                }
                self.connect_tls(node, certified);
            }
            Job::Node { node, input } => self.feed_node(node, input),
            Job::Work { node, id, begun } => self.work_on(node, id, begun),
            Job::Dial { node } if self.called(node).is_some() => {
                self.nodes[node].dialled_tls = false;
                let conn = self.connect_to(self.nodes[node].calls, Some(node));
                self.nodes[node].conn = Some(conn);
                self.feed_node(node, NodeIn::Connected);
            }
            Job::Dial { node } | Job::Disconnected { node } => {
                self.feed_node(node, NodeIn::Disconnected);
            }
            Job::Keep { node, memory } => self.flash(node, memory),
            Job::Kept { node, input } => {
                self.nodes[node].keeping = false;
                self.feed_node(node, input);
            }
            Job::Store { conn, asked } => self.transact(conn, asked),
            Job::Answer { conn, answer } => self.feed_gateway(conn, GateIn::Answer(answer)),
        }
    }

    /// Returns the gateway that a node calls, if it has power.
    fn called(&self, node: usize) -> Option<usize> {
        Some(self.nodes[node].calls).filter(|at| self.gateways[*at].on)
    }

    fn job(&mut self, job: Job) {
        self.jobs.push(job);
    }

    /// Opens a connection of a node, or of a stranger for `None`.
    pub fn connect(&mut self, node: Option<usize>) -> ConnId {
        self.connect_to(0, node)
    }

    /// Opens a connection to one of the gateways.
    pub fn connect_to(&mut self, gateway: usize, node: Option<usize>) -> ConnId {
        self.opened += 1;
        let conn = self.opened;
        self.homes.insert(conn, gateway);
        self.wires.insert(conn, Wire { node, ..Wire::default() });
        self.accept(conn);
        conn
    }

    /// Sends a frame past the attacker.
    pub fn send(&mut self, conn: ConnId, to: Side, bytes: Vec<u8>) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        if wire.gone[to as usize] || wire.gone[to.other() as usize] || wire.vanished {
            return;
        }
        let number = wire.sent[to as usize];
        wire.sent[to as usize] += 1;
        if self.overheard.len() < MOST_OVERHEARD {
            self.overheard.push((conn, to, bytes.clone()));
        }
        let arrive = match &mut self.on_the_way {
            Some(somebody) => somebody(&Passing { conn, to, number, bytes: &bytes }),
            None => vec![bytes],
        };
        wire.to[to as usize].extend(arrive.into_iter().map(Item::Frame));
    }

    fn arrive(&mut self, conn: ConnId, to: Side) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        let node = wire.node;
        match (wire.to[to as usize].pop_front(), to, node) {
            (Some(Item::Frame(frame)), Side::Gateway, _) => {
                self.feed_gateway(conn, GateIn::Frame(frame));
            }
            (Some(Item::End), Side::Gateway, _) => {
                self.feed_gateway(conn, GateIn::Closed);
                self.leave(conn, to);
            }
            (Some(Item::Frame(frame)), Side::Client, Some(at)) => {
                if self.nodes[at].conn == Some(conn) {
                    self.feed_node(at, NodeIn::Frame(frame));
                }
            }
            (Some(Item::End), Side::Client, Some(at)) => {
                self.leave(conn, to);
                if self.nodes[at].conn == Some(conn) {
                    self.nodes[at].conn = None;
                    self.feed_node(at, NodeIn::Disconnected);
                }
            }
            (Some(Item::Frame(frame)), Side::Client, None) => {
                self.inbox.entry(conn).or_default().push_back(frame);
            }
            (None, ..) => {}
            (Some(Item::End), Side::Client, None) => self.leave(conn, to),
        }
    }

    /// Disconnects a side. The other one still gets the frames under way, and then the end.
    pub fn leave(&mut self, conn: ConnId, side: Side) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        if !core::mem::replace(&mut wire.gone[side as usize], true) {
            wire.to[side as usize].clear();
            if !(wire.vanished && side == Side::Client) {
                wire.to[side.other() as usize].push_back(Item::End);
            }
        }
        if wire.gone == [true; 2] {
            self.wires.remove(&conn);
        }
    }

    /// Cuts a connection and drops all frames under way.
    pub fn cut(&mut self, conn: ConnId) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        for to in &mut wire.to {
            to.clear();
            to.push_back(Item::End);
        }
    }

    /// Cuts a connection without the gateway's knowledge.
    pub fn vanish(&mut self, conn: ConnId) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        wire.vanished = true;
        wire.to.iter_mut().for_each(VecDeque::clear);
        wire.to[Side::Client as usize].push_back(Item::End);
    }

    /// Returns the connection that was opened last.
    #[must_use]
    pub const fn opened(&self) -> ConnId {
        self.opened
    }

    /// Returns `true` if a node's link is open at both ends.
    #[must_use]
    pub fn is_linked(&self, at: usize) -> bool {
        let host = &self.nodes[at];
        let seat = host.conn.and_then(|conn| self.seat(conn));
        let linked = seat
            .and_then(|seat| seat.machine.as_ref())
            .is_some_and(|machine| machine.linked().is_some());
        linked
            && host.machine.as_ref().is_some_and(handfast_core::flow::native::node::Node::is_linked)
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == LONGEST_TRACE {
            self.trace.pop_front();
        }
        let now = self.now;
        self.trace.push_back(format!("{now:>9} {}", line()));
    }

    /// Returns the latest events, one per line.
    #[must_use]
    pub fn story(&self) -> String {
        self.trace.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Panics with the latest events if a condition does not hold.
    ///
    /// # Panics
    /// If it does not hold.
    #[track_caller]
    pub fn expect(&self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            panic!("{}at {} ms: {}", self.story(), self.now, complaint());
        }
    }
}
