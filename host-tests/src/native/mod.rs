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
pub mod stranger;
pub mod wires;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use handfast_core::budget::Bucket;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::identity::clone_counter::MarkKey;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::setup_code::SetupKey;
use handfast_core::limits::Limits;
use handfast_core::secret::Secret;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{Entropy, Instant, Machine, Span, UnixTime};

use crate::clocks::Clocks;
use crate::prng::Prng;
use audit::Audit;
use copies::{Backup, History};
use gateway::{Answer, Asked, GateIn, GatewayHost};
use node::{NodeHost, NodeIn, RecordedStep};
use registry::Registry;
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
    /// The gateway's process.
    pub gateway: GatewayHost,
    /// The clocks of the gateway's system.
    pub clocks: Clocks,
    /// The gateway's registry.
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
}

impl Job {
    fn is_of_node(&self, at: usize) -> bool {
        matches!(self, Self::Dial { node } | Self::Disconnected { node } | Self::Keep { node, .. } | Self::Kept { node, .. } | Self::Node { node, .. } | Self::Work { node, .. } if *node == at)
    }

    const fn is_of_gateway(&self) -> bool {
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
        let gateway = GatewayHost {
            keys: keys(),
            setup: vec![setup_key(1)],
            seats: BTreeMap::new(),
            live: BTreeMap::new(),
            on: true,
            on_at: None,
            fuel: None,
            failing: 0,
            message: None,
            counted: (0, 0),
            failures: Bucket::new(60, Instant::from_millis(0)),
            replays: gateway::replays(),
            proving: BTreeMap::new(),
            display: Vec::new(),
            mark_key: MarkKey::new(&Entropy::from_recorded([5; 32])),
            name: None,
            issues: false,
            marks: false,
            announced: BTreeSet::new(),
            progress: Vec::new(),
            meddled: 0,
            alarms: 0,
            older: 0,
            older_key: None,
            known_keys: Vec::new(),
            addresses: None,
            known_addresses: Vec::new(),
        };
        let nodes = (0..nodes).map(|at| NodeHost::new(at, keys())).collect::<Vec<_>>();
        let scopes = ScopesBuf::parse(SCOPES).expect("scopes");
        let mut world = Self {
            now: 0,
            limits: Limits::DEFAULT,
            gateway,
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
        let machine = self.gateway.seats.get(&conn).and_then(|seat| seat.machine.as_ref());
        machine.is_none_or(|machine| !machine.awaits_answer())
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Dial { node }
                if self.gateway.on
                    && matches!(self.nodes[node].memory, NativeMemory::Paired(_))
                    && self.nodes[node].tls.is_some()
                    && !self.nodes[node].dialled_tls =>
            {
                // A node that calls in vain uses its other address next.
                self.nodes[node].dialled_tls = true;
                let certified = self.nodes[node].tls == Some(true);
                self.connect_tls(node, certified);
            }
            Job::Node { node, input } => self.feed_node(node, input),
            Job::Work { node, id, begun } => self.work_on(node, id, begun),
            Job::Dial { node } if self.gateway.on => {
                self.nodes[node].dialled_tls = false;
                let conn = self.connect(Some(node));
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

    fn job(&mut self, job: Job) {
        self.jobs.push(job);
    }

    /// Opens a connection of a node, or of a stranger for `None`.
    pub fn connect(&mut self, node: Option<usize>) -> ConnId {
        self.opened += 1;
        let conn = self.opened;
        self.wires.insert(conn, Wire { node, ..Wire::default() });
        self.accept(conn);
        conn
    }

    /// Sends a frame past the attacker.
    pub fn send(&mut self, conn: ConnId, to: Side, bytes: Vec<u8>) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        if wire.gone[to as usize] || wire.gone[to.other() as usize] {
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
            wire.to[side.other() as usize].push_back(Item::End);
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

    /// Returns the connection that was opened last.
    #[must_use]
    pub const fn opened(&self) -> ConnId {
        self.opened
    }

    /// Returns `true` if a node's link is open at both ends.
    #[must_use]
    pub fn is_linked(&self, at: usize) -> bool {
        let host = &self.nodes[at];
        let seat = host.conn.and_then(|conn| self.gateway.seats.get(&conn));
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
