//! A gateway, its nodes, their owners, an operator and a stranger in virtual time.
//!
//! Every machine is the real one; its surroundings (network, flash, store, clock, people) are small
//! models that a seed drives, and that can fail between any two effects. After every event the
//! invariants are checked against a reference model. A violation panics with the latest events
//! before it.

mod clock;
pub mod gateway;
pub mod hashing;
mod invariants;
pub mod model;
pub mod network;
pub mod node;
pub mod operator;
mod settle;
pub mod store;
mod stranger;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use handfast_core::flow::registration::gateway::RegistrationConnection;
use handfast_core::grant::token::Hashed;
use handfast_core::limits::Limits;
use handfast_core::{Instant, Machine, Refusal, Span, UnixTime};

use crate::clocks::Clocks;
use crate::prng::Prng;
use crate::script::{Op, Script, Setup};
use gateway::{ConnInput, GatewayHost};
use model::Model;
use network::{ConnId, Frame, Network, Side};
use node::{Flash, NodeHost, NodeInput};
use operator::Papers;
use store::{Answer, Asked, Store, Waiter};

/// The whole simulated world.
#[derive(Debug)]
pub struct World {
    /// The set-up of the world.
    pub setup: Setup,
    /// Milliseconds since the world began.
    pub now: u64,
    /// The gateway's limits, small enough to be reached.
    pub limits: Limits,
    /// The simulated nodes.
    pub nodes: Vec<NodeHost>,
    /// The gateway's process.
    pub gateway: GatewayHost,
    /// The clocks of the gateway's system.
    pub clocks: Clocks,
    /// The gateway's store.
    pub store: Store,
    /// The connections and their frames.
    pub network: Network,
    /// Secrets that people have written down.
    pub papers: Papers,
    /// The reference model.
    pub model: Model,
    /// The stranger's connections.
    pub strangers: Vec<ConnId>,
    /// Number of steps of all machines.
    pub steps: u64,
    lives: clock::Lives,
    prng: Prng,
    agenda: BTreeMap<Reverse<(u64, u64)>, Event>,
    scheduled: u64,
    ticks: (u64, u32),
    trace: VecDeque<String>,
}

/// An event with a scheduled time.
#[derive(Debug)]
enum Event {
    Dialled { conn: ConnId },
    DialTimeout { conn: ConnId },
    Arrives { conn: ConnId, to: Side, frame: Frame },
    Gone { conn: ConnId, side: Side },
    Flashed { node: usize, boot: u32, flash: Flash },
    FlashDone { node: usize, boot: u32 },
    NodePower { node: usize },
    GatewayPower,
    Store { life: u32, waiter: Waiter, asked: Asked },
    Answer { life: u32, waiter: Waiter, answer: Answer },
    Hashed { life: u32, waiter: Waiter, outcome: Result<Hashed, Refusal> },
}

const EPOCH: u64 = 1_750_000_000;
const LONGEST_TRACE: usize = 160;

impl World {
    /// Creates a world in which the gateway runs and the nodes are switched on for the first time.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let limits = Limits {
            pending_for: Span::from_secs(600),
            pending_total: 6,
            pending_per_source: 4,
            waiting_total: 8,
            waiting_per_source: 5,
            failures_per_minute: 20,
            ..Limits::DEFAULT
        };
        let mut prng = Prng::new(setup.seed);
        let address = |node: usize| {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, if setup.one_source { 1 } else { 1 + node as u8 }))
        };
        let nodes = (0..setup.nodes).map(|node| NodeHost::new(node, address(node))).collect();
        let gateway = GatewayHost::started(1, prng.bytes());
        let mut world = Self {
            setup,
            now: 0,
            limits,
            nodes,
            gateway,
            clocks: Clocks::new(EPOCH),
            lives: clock::Lives::default(),
            store: Store::default(),
            network: Network::default(),
            papers: Papers::default(),
            model: Model::default(),
            strangers: Vec::new(),
            steps: 0,
            prng,
            agenda: BTreeMap::new(),
            scheduled: 0,
            ticks: (0, 0),
            trace: VecDeque::new(),
        };
        for node in 0..setup.nodes {
            world.switch_on(node);
        }
        world
    }

    /// Plays a script, then lets the world settle; returns the number of steps of the machines.
    ///
    /// # Panics
    /// If an invariant is violated.
    #[must_use]
    pub fn play(script: &Script) -> u64 {
        let mut world = Self::new(script.setup);
        for op in &script.ops {
            world.apply(op);
        }
        world.settle();
        world.steps
    }

    /// Applies one event.
    pub fn apply(&mut self, op: &Op) {
        self.note(|| format!("-- {op:?}"));
        match op {
            Op::Run { millis } => self.run_for(*millis),
            Op::RunUntil { state } => self.run_until(state),
            Op::Decide { record, verdict } => {
                if let Some(node_id) = self.any_record(*record) {
                    let _ = self.decide(node_id, *verdict);
                }
            }
            Op::TypeToken { node, which } => self.type_token(self.any_node(*node), *which),
            Op::AskAgain { node } => self.ask_again(self.any_node(*node)),
            Op::Help { node } => self.help_node(self.any_node(*node)),
            Op::Forget { node } => self.feed_node(self.any_node(*node), NodeInput::Forget),
            Op::CutConnection { connection, silent } => {
                if let Some(at) = usize::from(*connection).checked_rem(self.network.wires.len()) {
                    let conn = *self.network.wires.keys().nth(at).expect("within");
                    self.cut(conn, *silent);
                }
            }
            Op::CutNode { node, after } => {
                let node = self.any_node(*node);
                if self.nodes[node].machine.is_some() {
                    self.nodes[node].fuel = Some(u32::from(*after));
                }
            }
            Op::CutGateway { after } => self.gateway.fuel = Some(u32::from(*after)),
            Op::Restart => self.restart_gateway(),
            Op::NetworkDown { secs } => {
                self.network.down_until = self.now + u64::from(*secs) * 1000;
            }
            Op::Clock(op) => self.clock(*op),
            Op::StoreFails { times } => self.store.failing = u32::from(*times),
            Op::StrangerConnects => self.stranger_connects(),
            Op::StrangerReplays { connection, recording } => {
                self.stranger_replays(*connection, *recording);
            }
            Op::StrangerSends { connection, frame } => self.stranger_sends(*connection, frame),
        }
        self.check();
    }

    /// Has the owner make a node ask again.
    pub fn ask_again(&mut self, node: usize) {
        self.feed_node(node, NodeInput::AskAgain);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(at) = self.next_event().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.look_at_clocks();
            self.happen();
            self.check();
        }
        self.now = end;
        self.look_at_clocks();
    }

    fn run_until(&mut self, state: &str) {
        let end = self.now + 90_000;
        let is_there = |world: &Self| {
            let mut nodes = world.nodes.iter().filter_map(|host| host.machine.as_ref());
            let mut seats = world.gateway.seats.values().filter_map(|seat| seat.machine.as_ref());
            nodes.any(|machine| machine.state_name() == state)
                || seats.any(|machine| machine.state_name() == state)
        };
        while !is_there(self)
            && let Some(at) = self.next_event().filter(|&at| at <= end)
        {
            self.run_for(at.saturating_sub(self.now));
        }
    }

    fn next_event(&self) -> Option<u64> {
        let due = |deadline: Option<(Instant, _)>| deadline.map(|(at, _)| at.as_millis());
        let agenda = self.agenda.last_key_value().map(|(Reverse((at, _)), _)| *at);
        let nodes = self.nodes.iter().filter_map(|host| due(host.machine.as_ref()?.deadline()));
        let seats =
            self.gateway.seats.values().filter_map(|seat| due(seat.machine.as_ref()?.deadline()));
        nodes.chain(seats).chain(agenda).min()
    }

    fn happen(&mut self) {
        if let Some(entry) = self.agenda.last_entry().filter(|entry| entry.key().0.0 <= self.now) {
            let event = entry.remove();
            self.on_event(event);
        } else {
            self.tick();
        }
    }

    fn on_event(&mut self, event: Event) {
        let alive = |life: u32| self.gateway.on && self.gateway.life == life;
        match event {
            Event::Dialled { conn } => self.on_dialled(conn),
            Event::DialTimeout { conn } => self.on_dial_timeout(conn),
            Event::Arrives { conn, to, frame } => self.on_arrival(conn, to, frame),
            Event::Gone { conn, side } => self.on_gone(conn, side),
            Event::Flashed { node, boot, flash } => self.on_flashed(node, boot, flash),
            Event::FlashDone { node, boot } if self.nodes[node].boot == boot => {
                self.feed_node(node, NodeInput::Kept);
            }
            Event::NodePower { node } => self.switch_on(node),
            Event::GatewayPower => self.start_gateway(),
            Event::Store { life, waiter, asked } if alive(life) => self.on_store(waiter, asked),
            Event::Answer { life, waiter, answer } if alive(life) => self.on_answer(waiter, answer),
            Event::Hashed { life, waiter, outcome } if alive(life) => {
                self.on_hashed(waiter, outcome);
            }
            // Events of a process that has lost its power.
            Event::FlashDone { .. }
            | Event::Store { .. }
            | Event::Answer { .. }
            | Event::Hashed { .. } => {}
        }
    }

    /// Runs one machine whose deadline has passed. Time must not stand still.
    fn tick(&mut self) {
        self.ticks =
            if self.ticks.0 == self.now { (self.now, self.ticks.1 + 1) } else { (self.now, 1) };
        self.expect(self.ticks.1 < 200, || "time stands still: deadlines do not move".to_owned());
        let now = self.instant();
        let due = |deadline: Option<(Instant, _)>| deadline.is_some_and(|(at, _)| at <= now);
        let node = self
            .nodes
            .iter()
            .position(|host| host.machine.as_ref().is_some_and(|m| due(m.deadline())));
        let late = |machine: &RegistrationConnection| due(machine.deadline());
        let seat = self
            .gateway
            .seats
            .iter()
            .find(|(_, seat)| seat.machine.as_ref().is_some_and(late))
            .map(|(conn, _)| *conn);
        match (node, seat) {
            (Some(node), _) => self.feed_node(node, NodeInput::Tick),
            (None, Some(conn)) => self.feed_conn(conn, ConnInput::Tick),
            (None, None) => {}
        }
    }

    fn at(&mut self, when: u64, event: Event) {
        self.scheduled += 1;
        self.agenda.insert(Reverse((when.max(self.now), self.scheduled)), event);
    }

    fn any_node(&self, number: u8) -> usize {
        usize::from(number) % self.nodes.len()
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

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == LONGEST_TRACE {
            self.trace.pop_front();
        }
        let now = self.now;
        self.trace.push_back(format!("{now:>9} {}", line()));
    }

    /// Panics with the latest events if a condition does not hold.
    #[track_caller]
    fn expect(&self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            let trace: Vec<&str> = self.trace.iter().map(String::as_str).collect();
            panic!("{}\nat {} ms: {}", trace.join("\n"), self.now, complaint());
        }
    }
}
