//! Scripts of a world of the native wire: lists of operations, to which any bytes decode. Seeds and
//! the fuzzer use the same form.

use handfast_core::Span;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::registry::codes::Kind;
use handfast_core::registry::grants::{self, State};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::{Credential, Standing};
use handfast_core::wire::path::Action;

use super::World;
use super::gateway::GateIn;
use super::node::NodeIn;
use super::stranger::{DISTURBANCES, Disturbance};
use super::wires::{ConnId, Side};
use crate::clocks::ClockOp;
use crate::prng::Prng;

/// One event. Indices wrap around the existing items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// This many events happen.
    Run(u8),
    /// Time passes, in milliseconds.
    Pass(u32),
    /// The owner starts pairing by PIN.
    ByPin(u8),
    /// The owner starts pairing by a code, the right one (`true`) or not.
    ByCode(u8, bool),
    /// The owner starts pairing by approval.
    ByApproval(u8),
    /// The owner starts pairing by a setup code: a fresh one, the latest one, or an invalid one.
    BySetup(u8, u8),
    /// The operator makes a new key for setup codes.
    RotateSetup,
    /// The owner types a PIN, the right one (`true`) or not.
    Type(u8, bool),
    /// The owner and the operator bring a node closer to its link.
    Help(u8),
    /// The operator decides about a record.
    Decide(u8, u8),
    /// The operator opens pairing (`true`) or closes it.
    Window(bool),
    /// The operator mints a code.
    Mint,
    /// A connection is lost.
    Cut(u8),
    /// A node loses power after this many effects.
    CutNode(u8, u8),
    /// The gateway loses power after this many effects and writes.
    CutGateway(u8),
    /// This many transactions of the store fail.
    StoreFails(u8),
    /// An event of the clocks of the gateway's system.
    Clock(ClockOp),
    /// The gateway shuts down in order.
    Shutdown,
    /// A stranger disturbs frames under way.
    Disturb(u8, bool, Disturbance),
    /// A stranger replays the beginning of a connection.
    Replay(u8, u8),
    /// A node's application sends and subscribes.
    App(u8),
    /// A node asks for a renewal.
    Renew(u8, bool),
    /// The owner erases a node's pairing.
    Forget(u8),
}

/// A script: the set-up of a world, and its events.
#[derive(Clone, Debug)]
pub struct Script {
    /// Number of nodes; the owner of the last one knows no code.
    pub nodes: usize,
    /// Seed of all random choices.
    pub seed: u64,
    /// The events in order.
    pub ops: Vec<Op>,
}

const MOST_OPS: usize = 160;
const SELECTOR: &str = "K7QF";

impl Script {
    /// Returns the script of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let length = 30 + prng.below(150);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        Self::decode(&bytes)
    }

    /// Decodes bytes to a script; any bytes are one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut bytes = bytes.iter().copied();
        let flags = bytes.next().unwrap_or(0);
        let seed = u64::from(flags) << 8 | u64::from(bytes.next().unwrap_or(0));
        let mut ops = Vec::new();
        while ops.len() < MOST_OPS {
            let Some(code) = bytes.next() else { break };
            let mut arg = || bytes.next().unwrap_or(0);
            ops.push(match code % 32 {
                0..=5 => Op::Run(arg() % 24),
                6 => Op::Pass(u32::from(arg()) * 20),
                7 => Op::Pass(u32::from(arg()) * 1_000),
                8..=12 => Op::Help(arg()),
                13 if code & 64 == 0 => Op::ByPin(arg()),
                13 => Op::BySetup(arg(), arg()),
                14 if code & 64 == 0 => Op::ByCode(arg(), code & 32 == 0),
                14 => Op::BySetup(arg(), arg()),
                15 => Op::ByApproval(arg()),
                16 | 17 => Op::Type(arg(), code & 32 == 0),
                18 => Op::Decide(arg(), arg()),
                19 => Op::Window(code & 96 != 0),
                20 if code & 64 == 0 => Op::Mint,
                20 => Op::RotateSetup,
                21 => Op::Cut(arg()),
                22 | 23 => Op::CutNode(arg(), arg() % 10),
                24 | 25 => Op::CutGateway(arg() % 20),
                26 if code & 32 == 0 => Op::StoreFails(1 + arg() % 3),
                26 => Op::Shutdown,
                27 | 28 => {
                    let (wire, how) = (arg(), arg());
                    Op::Disturb(
                        wire,
                        code & 32 == 0,
                        DISTURBANCES[usize::from(how) % DISTURBANCES.len()],
                    )
                }
                29 => Op::Replay(arg(), arg() % 12),
                30 if code & 32 == 0 => Op::App(arg()),
                30 => Op::Renew(arg(), code & 64 == 0),
                _ if code & 192 == 192 => Op::Clock(ClockOp::of(arg())),
                _ if code & 224 == 0 => Op::Forget(arg()),
                _ => Op::Run(arg() % 6),
            });
        }
        Self { nodes: 2 + usize::from(flags & 1), seed, ops }
    }
}

impl World {
    /// Plays a script, then lets the world settle; returns the world as it is then.
    ///
    /// # Panics
    /// If an invariant is violated.
    #[must_use]
    pub fn play(script: &Script) -> Self {
        let mut world = Self::new(script.nodes, script.seed);
        world.shuffled = true;
        world.open_window();
        for op in &script.ops {
            world.note(|| format!("-- {op:?}"));
            world.apply(*op);
            world.check();
        }
        world.settle();
        world
    }

    fn apply(&mut self, op: Op) {
        let node = |world: &Self, at: u8| usize::from(at) % world.nodes.len();
        match op {
            Op::Run(events) => {
                for _ in 0..events {
                    let _ = self.happen();
                }
            }
            Op::Pass(millis) => self.pass(Span::from_millis(u64::from(millis))),
            Op::ByPin(at) => self.pair_by_pin(node(self, at)),
            Op::ByCode(at, right) => {
                let at = node(self, at);
                let secret = self.secret().filter(|_| right && !self.is_hostile(at));
                self.pair_by_code(at, SELECTOR, &secret.unwrap_or_else(|| "00000000".to_owned()));
            }
            Op::ByApproval(at) => self.pair_by_approval(node(self, at)),
            Op::BySetup(at, which) => self.by_setup(node(self, at), which),
            Op::RotateSetup => self.rotate_setup(),
            Op::Type(at, right) => {
                let at = node(self, at);
                match self.pin_for(at).filter(|_| right && !self.is_hostile(at)) {
                    Some(pin) => self.type_pin(at, &pin),
                    None => self.type_wrong_pin(at),
                }
            }
            Op::Help(at) => self.help(node(self, at)),
            Op::Decide(record, what) => self.decide_any(record, what),
            Op::Window(true) => self.open_window(),
            Op::Window(false) => self.close_window(),
            Op::Mint => {
                let secret = format!("{:08}", 1 + self.prng.below(99_999_998));
                let _ = self.mint_code(SELECTOR, &secret);
            }
            Op::Cut(wire) => {
                if let Some(conn) = self.any_wire(wire) {
                    self.cut(conn);
                }
            }
            Op::CutNode(at, after) => {
                let at = node(self, at);
                self.nodes[at].fuel = Some(u32::from(after));
            }
            Op::CutGateway(after) => self.gateway.fuel = Some(u32::from(after)),
            Op::StoreFails(times) => self.gateway.failing = u32::from(times),
            Op::Clock(op) => self.clock(op),
            Op::Shutdown => {
                let conns: Vec<ConnId> = self.gateway.seats.keys().copied().collect();
                conns.into_iter().for_each(|conn| self.feed_gateway(conn, GateIn::Shutdown));
            }
            Op::Disturb(wire, up, how) => {
                if let Some(conn) = self.any_wire(wire) {
                    self.disturb(conn, if up { Side::Gateway } else { Side::Client }, how);
                }
            }
            Op::Replay(recorded, frames) => {
                let conns: Vec<ConnId> = self.overheard.iter().map(|(conn, ..)| *conn).collect();
                if let Some(at) = usize::from(recorded).checked_rem(conns.len()) {
                    let _ = self.replay(conns[conns.len() - 1 - at], usize::from(frames));
                }
            }
            Op::App(at) => {
                let at = node(self, at);
                if self.is_linked(at) {
                    self.feed_node_soon(
                        at,
                        NodeIn::App(Action::Write, "/lights/1".to_owned(), vec![1; 8]),
                    );
                    self.feed_node_soon(at, NodeIn::Subscribe("/lights/**".to_owned()));
                }
            }
            Op::Renew(at, chain) => self.feed_node_soon(node(self, at), NodeIn::Renew(chain)),
            Op::Forget(at) => self.feed_node_soon(node(self, at), NodeIn::Forget),
        }
    }

    /// Returns `true` for the last node, whose owner knows no code.
    fn is_hostile(&self, at: usize) -> bool {
        at + 1 == self.nodes.len()
    }

    /// Has a node scan a setup code. The owner of the last node has only codes that others have
    /// spent.
    fn by_setup(&mut self, at: usize, which: u8) {
        let issued = &self.audit.issued;
        let token = match which % 4 {
            _ if self.is_hostile(at) => {
                issued.iter().rfind(|(_, nonce)| self.audit.yielded.contains_key(nonce)).cloned()
            }
            0 | 1 => None,
            2 => issued.last().cloned(),
            _ => issued.first().cloned(),
        };
        let token = match token {
            Some((token, _)) => token,
            None if self.is_hostile(at) => "e30.AAAA".to_owned(),
            None => self.issue_setup(Span::from_secs(30 + u64::from(which))),
        };
        self.pair_by_setup(at, &token);
    }

    fn secret(&self) -> Option<String> {
        self.store
            .codes
            .values()
            .find(|kept| matches!(kept.counted.kind, Kind::Code(_)))
            .and_then(|kept| kept.secret.clone())
    }

    fn any_wire(&self, number: u8) -> Option<ConnId> {
        let at = usize::from(number).checked_rem(self.wires.len())?;
        self.wires.keys().nth(at).copied()
    }

    fn decide_any(&mut self, record: u8, what: u8) {
        let Some(at) = usize::from(record).checked_rem(self.store.records.len()) else { return };
        let node_id = *self.store.records.keys().nth(at).expect("within");
        let _ = self.decide(
            node_id,
            match what % 8 {
                0..=2 => Decision::Approve(Credential::Keys),
                3 => Decision::Reject,
                4 => Decision::Mute,
                5 | 6 => Decision::Unmute,
                _ if what > 127 => Decision::Unpair,
                _ => Decision::Mute,
            },
        );
    }

    /// Does for a node what a patient operator and owner would do next.
    pub fn help(&mut self, at: usize) {
        let standing = self
            .store
            .by_key(self.nodes[at].keys.channel.public())
            .map(|record| record.standing.clone());
        match (self.nodes[at].state(), standing) {
            ("AwaitCode", _) if !self.is_hostile(at) => {
                if let Some(pin) = self.pin_for(at) {
                    self.type_pin(at, &pin);
                }
            }
            (_, Some(Standing::Pending { .. })) if !self.is_hostile(at) => drop(self.approve(at)),
            ("Idle", _) => {
                let guesses = self.store.guesses_of(Self::source_of(Some(at), 0));
                if self.store.window.admits_source(guesses, self.unix()).is_err() {
                    self.open_window();
                }
                self.pair_by_pin(at);
            }
            _ => {}
        }
    }

    /// Ends all faults, and checks that every node reaches the state it is entitled to.
    ///
    /// # Panics
    /// If a node does not.
    pub fn settle(&mut self) {
        self.note(|| "-- faults end".to_owned());
        self.gateway.fuel = None;
        self.gateway.failing = 0;
        self.gateway_on();
        self.put_clock_right();
        for at in 0..self.nodes.len() {
            self.nodes[at].fuel = None;
            self.node_on(at);
            // A node whose request was not accepted repeats it, without any code.
            if matches!(self.nodes[at].memory, NativeMemory::Asked { .. }) {
                self.pair_by_approval(at);
            }
        }
        self.pass(Span::from_secs(700));
        for at in 0..self.nodes.len() {
            self.found_its_grant(at);
        }
        for _ in 0..6 {
            for at in 0..self.nodes.len().saturating_sub(1) {
                if self.may_link(at) && !self.is_linked(at) {
                    self.lead_in(at);
                }
            }
            self.pass(Span::from_secs(100));
        }
        for at in 0..self.nodes.len() {
            self.agrees(at);
        }
    }

    fn may_link(&self, at: usize) -> bool {
        ![&self.audit.revoked, &self.audit.turned_down]
            .iter()
            .any(|keys| keys.contains(self.nodes[at].keys.channel.public().as_bytes()))
    }

    /// Checks that a node with a valid grant that it did not lose links without help.
    fn found_its_grant(&self, at: usize) {
        let record = self.store.by_key(self.nodes[at].keys.channel.public());
        let in_force = record.is_some_and(|record| {
            let paired =
                matches!(record.standing, Standing::Paired { .. } | Standing::Muted { .. });
            paired && grants::current(&self.store.grants_of(record.node_id), self.unix()).is_some()
        });
        let remembers = !matches!(self.nodes[at].memory, NativeMemory::Blank);
        self.expect(!(in_force && remembers) || self.is_linked(at), || {
            format!("node {at} does not find its grant")
        });
    }

    fn lead_in(&mut self, at: usize) {
        self.open_window();
        self.pair_by_pin(at);
        self.run();
        if let Some(pin) = self.pin_for(at).filter(|_| self.nodes[at].state() == "AwaitCode") {
            self.type_pin(at, &pin);
        }
        self.run();
    }

    /// Checks that a node and the registry agree about the node's grant.
    fn agrees(&mut self, at: usize) {
        let must = self.may_link(at) && !self.is_hostile(at);
        self.expect(!must || self.is_linked(at), || format!("node {at} never links"));
        if !self.is_linked(at) {
            return;
        }
        let state = |world: &Self| match world.nodes[at].memory {
            NativeMemory::Paired(paired) => {
                world.store.grants.iter().find(|grant| grant.id == paired.grant).cloned()
            }
            NativeMemory::Blank | NativeMemory::Asked { .. } => None,
        };
        if state(self).is_none_or(|grant| grant.state != State::Active) {
            // It was told so, and its adapter renews.
            self.expect(self.nodes[at].heard("NotRenewed"), || format!("node {at} was not told"));
            self.feed_node(at, NodeIn::Renew(true));
            self.run();
        }
        let Some(grant) = state(self) else {
            return self.expect(false, || format!("node {at} holds no grant"));
        };
        self.expect(grant.state == State::Active, || format!("node {at} holds {grant:?}"));
        let active = self
            .store
            .grants_of(grant.node_id)
            .into_iter()
            .filter(|grant| grant.state == State::Active);
        self.expect(active.count() == 1, || format!("node {at} has several grants"));
        self.expect(self.id_of(at) == Some(grant.node_id), || {
            format!("node {at} is somebody else")
        });
        let chain = self.nodes[at].chain.as_deref().and_then(|bytes| {
            handfast_core::grant::capability::Chain::from_bytes(bytes)
                .ok()
                .map(|chain| *chain.leaf().id())
        });
        self.expect(chain == grant.capability, || format!("node {at} holds another capability"));
    }
}
