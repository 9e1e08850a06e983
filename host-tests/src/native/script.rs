//! Scripts of a world of the native wire: lists of operations, to which any bytes decode. Seeds and
//! the fuzzer use the same form.

use handfast_core::Span;
use handfast_core::registry::codes::Kind;
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
    /// The operator gives a node a task.
    Task(u8),
    /// The operator cancels a task.
    CancelTask(u8),
    /// Somebody copies a node's state (`false`), or lets the copy run in the node's place.
    Copy(u8, bool),
    /// The gateway is backed up, or restored from that.
    Backup,
    /// The operator releases a node from quarantine.
    Release(u8),
    /// A node links over TLS, with its certificate or its signature, or over Noise.
    Tls(u8, u8),
    /// Hours pass.
    Hours(u8),
    /// The operators go to a gateway.
    Desk(u8),
    /// The operators' gateway loses the registry for a while, in steps of 300 ms.
    CutOff(u8),
    /// A gateway has the registry back.
    Mend(u8),
    /// A connection is lost, and its gateway does not hear so.
    Vanish(u8),
    /// The operator sets a node's permissions.
    Permit(u8, u8),
}

/// A script: the set-up of a world, and its events.
#[derive(Clone, Debug)]
pub struct Script {
    /// Number of nodes; the owner of the last one knows no code.
    pub nodes: usize,
    /// Number of gateways that share the registry: one or two.
    pub gateways: usize,
    /// Seed of all random choices.
    pub seed: u64,
    /// The events in order.
    pub ops: Vec<Op>,
}

const MOST_OPS: usize = 160;
const SELECTOR: &str = "K7QF";
/// The flag of a script for two gateways.
const TWO_GATEWAYS: u8 = 0x80;
/// What operators let nodes do.
const PERMISSIONS: [&str; 3] =
    ["read:/lights/*\n", "read:/lights/*\nwrite:/lights/*\n", "admin:/**\n"];

impl Script {
    /// Returns the script of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let length = 30 + prng.below(150);
        let mut bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        let first = bytes[0];
        bytes[0] &= !TWO_GATEWAYS;
        // The seed of the world is that of all the bits.
        let seed = u64::from(first) << 8 | u64::from(bytes.get(1).copied().unwrap_or(0));
        Self { seed, ..Self::decode(&bytes) }
    }

    /// Returns a script of a seed for two gateways, in which nodes are soon paired.
    #[must_use]
    pub fn of_two_gateways(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let mut ops: Vec<Op> = (0..30).flat_map(|at| [Op::Help(at % 3), Op::Run(20)]).collect();
        while ops.len() < 2 * MOST_OPS {
            let [byte, other, ..] = prng.draw().to_le_bytes();
            ops.push(match prng.below(28) {
                0..=4 => Op::Run(byte % 32),
                5..=7 => Op::Pass(u32::from(byte) * 12),
                8 | 26 => Op::Pass(u32::from(byte) * 100),
                9 | 10 => Op::Desk(byte),
                11 => Op::CutOff(byte / 4),
                12 => Op::Mend(byte),
                13 | 14 => Op::Task(byte),
                15 => Op::CancelTask(byte),
                // A revocation is for good, so it is rare.
                16 | 17 => Op::Decide(byte, other & if prng.one_in(16) { 255 } else { 127 }),
                18 => Op::Permit(byte, other),
                19 if byte < 96 => Op::Cut(byte),
                19 => Op::Vanish(byte),
                20 => Op::CutNode(byte, other % 10),
                21 => Op::CutGateway(byte % 40),
                22 => Op::Tls(byte, other),
                23 if byte < 128 => Op::Renew(byte, other & 1 == 0),
                23 => Op::StoreFails(1 + byte % 3),
                24 if byte < 64 => Op::ByPin(other),
                24 if byte < 128 => Op::BySetup(other, byte),
                24 => Op::ByApproval(other),
                25 if byte < 128 => Op::Type(other, byte < 64),
                25 => Op::ByCode(other, byte < 200),
                _ => Op::Help(byte % 3),
            });
        }
        Self { nodes: 3, gateways: 2, seed, ops }
    }

    /// Decodes bytes to a script; any bytes are one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut bytes = bytes.iter().copied();
        let flags = bytes.next().unwrap_or(0);
        let gateways = if flags & TWO_GATEWAYS == 0 { 1 } else { 2 };
        let seed = u64::from(flags) << 8 | u64::from(bytes.next().unwrap_or(0));
        let mut ops = Vec::new();
        while ops.len() < MOST_OPS {
            let Some(code) = bytes.next() else { break };
            let mut arg = || bytes.next().unwrap_or(0);
            ops.push(match code % 32 {
                3..=5 if gateways > 1 => between(code >> 5, arg(), &mut arg),
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
                _ => identity(code >> 5, arg()),
            });
        }
        Self { nodes: 2 + usize::from(flags & 1), gateways, seed, ops }
    }

    /// Returns a script of a seed in which nodes that are soon paired get marks and tasks, and are
    /// copied.
    #[must_use]
    pub fn of_identity(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let mut ops: Vec<Op> = (0..24).map(|at| Op::Help(at % 3)).collect();
        for op in &mut ops {
            if prng.one_in(3) {
                *op = Op::Run(20);
            }
        }
        while ops.len() < MOST_OPS {
            let byte = prng.draw().to_le_bytes()[0];
            ops.push(match prng.below(24) {
                0..=5 => Op::Run(byte % 32),
                6 => Op::Pass(u32::from(byte) * 200),
                7 | 8 => Op::Hours(byte),
                9..=11 => Op::Task(byte),
                12 => Op::CancelTask(byte),
                13 => Op::Copy(byte, false),
                14 => Op::Copy(byte, true),
                15 => Op::Release(byte),
                16 => Op::Tls(byte, byte >> 4),
                17 => Op::Cut(byte),
                18 => Op::CutNode(byte, byte % 10),
                19 => Op::CutGateway(byte % 20),
                20 => Op::Help(byte),
                21 if byte & 3 == 0 => Op::Backup,
                22 if byte & 1 == 0 => Op::Renew(byte, byte & 2 == 0),
                23 if byte & 7 == 0 => Op::Decide(byte, byte >> 3),
                _ => Op::Run(3),
            });
        }
        Self { nodes: 3, gateways: 1, seed, ops }
    }
}

/// Decodes an event between two gateways.
fn between(kind: u8, first: u8, arg: &mut impl FnMut() -> u8) -> Op {
    match kind {
        0..=2 => Op::Desk(first),
        3 | 4 => Op::CutOff(first),
        5 if first < 128 => Op::Vanish(first),
        5 => Op::Mend(first),
        6 => Op::Permit(first, arg()),
        _ => Op::Decide(first, arg()),
    }
}

/// Decodes an event of marks, tasks or links over TLS.
const fn identity(kind: u8, arg: u8) -> Op {
    match kind {
        1 if arg < 64 => Op::CancelTask(arg),
        1 => Op::Task(arg),
        2 => Op::Copy(arg, arg >= 128),
        3 => Op::Hours(arg),
        4 if arg < 128 => Op::Release(arg),
        4 => Op::Backup,
        _ => Op::Tls(arg, arg >> 4),
    }
}

impl World {
    /// Plays a script, then lets the world settle; returns the world as it is then.
    ///
    /// # Panics
    /// If an invariant is violated.
    #[must_use]
    pub fn play(script: &Script) -> Self {
        let mut world = match script.gateways {
            0 | 1 => Self::new(script.nodes, script.seed),
            _ => Self::with_two_gateways(script.nodes, script.seed),
        };
        world.shuffled = true;
        (world.identity.marks, world.identity.issues) = (true, true);
        // The last node has no TLS, and asks for no certificate.
        for host in world.nodes.iter_mut().rev().skip(1) {
            host.csr = Some(vec![0x30; 200]);
        }
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
            Op::Vanish(wire) => {
                if let Some(conn) = self.any_wire(wire) {
                    self.vanish(conn);
                }
            }
            Op::CutNode(at, after) => {
                let at = node(self, at);
                self.nodes[at].fuel = Some(u32::from(after));
            }
            Op::CutGateway(after) => self.gateways[self.desk].fuel = Some(u32::from(after)),
            Op::StoreFails(times) => self.gateways[self.desk].failing = u32::from(times),
            // Gateways that share a registry go by its clock, which nobody sets.
            Op::Clock(_) if self.sharing.is_some() => {}
            Op::Clock(op) => self.clock(op),
            Op::Shutdown => {
                let seats = self.gateways[self.desk].seats.keys();
                let conns: Vec<ConnId> = seats.copied().collect();
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
            Op::Forget(at) => {
                let at = node(self, at);
                self.replaces(at);
                self.feed_node_soon(at, NodeIn::Forget);
            }
            Op::Task(at) => {
                let at = node(self, at);
                if self.may_link(at) && self.id_of(at).is_some() && self.operators_decide() {
                    let _ = self.dispatch(at);
                }
            }
            Op::CancelTask(number) => {
                let ids: Vec<_> = self.store.tasks.keys().copied().collect();
                if let Some(at) = usize::from(number).checked_rem(ids.len()) {
                    self.cancel(ids[at]);
                }
            }
            Op::Copy(at, false) => self.copy_state(node(self, at)),
            Op::Copy(at, true) => self.run_copy(node(self, at)),
            Op::Backup if self.sharing.is_some() => {}
            Op::Backup => self.back_up_or_restore(),
            Op::Release(at) => self.release(node(self, at)),
            Op::Tls(at, how) => {
                let at = node(self, at);
                let host = &mut self.nodes[at];
                host.tls = match how % 3 {
                    0 => None,
                    1 => host.certificate.is_some().then_some(true),
                    _ => Some(false),
                };
            }
            Op::Desk(at) => self.desk = usize::from(at) % self.gateways.len(),
            Op::CutOff(steps) => self.cut_off(self.desk, 300 * u64::from(steps)),
            Op::Mend(at) => self.mend(usize::from(at) % self.gateways.len()),
            Op::Permit(at, which) => {
                let scopes = PERMISSIONS[usize::from(which) % PERMISSIONS.len()];
                if self.operators_decide() {
                    self.permit(node(self, at), scopes);
                }
            }
            Op::Hours(hours) => self.pass(Span::from_secs(3_700 * u64::from(1 + hours % 3))),
        }
    }

    /// Returns `true` for the last node, whose owner knows no code.
    pub(super) fn is_hostile(&self, at: usize) -> bool {
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
}
