//! The gateway's process: the real machine for each connection, and an adapter that carries out its
//! effects over the registry.

mod transactions;

use std::collections::BTreeMap;

use handfast_core::budget::{Attempt, Bucket, NoPlace, Proving, Replays};
use handfast_core::crypto::code::Code;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{
    Confirmation, Cost, Effect, FrameContext, Input, KnownPeer, NativeConnection, Offer,
    PairVerdict, PingAnswer, Prepared, Proof,
};
use handfast_core::flow::native::settle::Denial;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::setup_code::SetupKey;
use handfast_core::grant::token::Token;
use handfast_core::limits::{CHAIN_BYTES, NATIVE_SCRATCH, SUBSCRIPTIONS};
use handfast_core::registry::ceiling::{Ceiling, Entitled, InForce, entitled};
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::Record;
use handfast_core::secret::Secret;
use handfast_core::wire::native::link::{App, Renew};
use handfast_core::wire::native::pair::PairRefusal;
use handfast_core::wire::native::part::{Assembled, Assembly};
use handfast_core::wire::native::{Payload, ReasonText};
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::{Entropy, Label, Machine, NodeId, Span, UnixTime};

pub use transactions::Asked;

use super::registry::{Offered, Request, Settled, Shown};
use super::wires::{ConnId, Side};
use super::{Job, World};

/// The gateway's process.
#[derive(Debug)]
pub struct GatewayHost {
    /// The gateway's keys, which survive a restart.
    pub keys: OwnKeys,
    /// The valid keys of setup codes, the current one first; they survive a restart.
    pub setup: Vec<SetupKey>,
    /// Its connections by id.
    pub seats: BTreeMap<ConnId, Seat>,
    /// The live connection of each node.
    pub live: BTreeMap<NodeId, ConnId>,
    /// `true` while it has power.
    pub on: bool,
    /// Time in milliseconds at which power returns.
    pub on_at: Option<u64>,
    /// Number of effects and writes until power fails.
    pub fuel: Option<u32>,
    /// Number of transactions that will fail.
    pub failing: u32,
    /// Message to each node that is paired.
    pub message: Option<&'static str>,
    /// Number of frames that cost an attempt, and of refunded attempts.
    pub counted: (u32, u32),
    /// Budget of failures of all sources together; the world has one source.
    pub failures: Bucket,
    /// First messages that were read.
    pub replays: Replays<Vec<u64>>,
    /// Handshakes under way, by key.
    pub proving: BTreeMap<[u8; 32], Proving>,
    /// The display: for each PIN the node's key, the code's id, and the PIN.
    pub display: Vec<(PublicKey, CodeId, String)>,
}

/// A connection with the state of its adapter.
#[derive(Debug)]
pub struct Seat {
    /// The machine; `None` once it has ended.
    pub machine: Option<NativeConnection>,
    /// The peer's self-description.
    pub request: Option<Request>,
    /// `true` once a code was proved on this connection and spent.
    pub proven: bool,
    /// Scopes of the peer's grant or chain, and the bounds on them.
    pub scopes: Option<(ScopesBuf, Vec<ScopesBuf>)>,
    /// Patterns to which the peer subscribed.
    pub subscribed: Vec<String>,
    /// Messages of the peer's application.
    pub apps: Vec<(String, Vec<u8>)>,
    /// Outcomes of pings, by their numbers.
    pub ponged: Vec<(u32, PingAnswer)>,
    /// Number of heartbeats that were stored.
    pub observed: u32,
    guesses: u8,
    attempt: Option<Attempt>,
    enters: Option<[u8; 32]>,
    came: Option<Vec<u8>>,
    assembly: Assembly,
    room: Box<[u8; CHAIN_BYTES]>,
}

/// An input of a connection.
#[allow(clippy::large_enum_variant, reason = "few of them live at once")]
#[derive(Debug)]
pub enum GateIn {
    /// A frame from the peer.
    Frame(Vec<u8>),
    /// An answer of the store.
    Answer(Answer),
    /// A decision of the operator.
    Push(Notice),
    /// The result of a new look at the grant in force.
    Bounded(Option<UnixTime>, bool),
    /// The end of a subscription.
    Unsubscribed(String),
    /// A ping of the operator.
    Ping(u32),
    /// A message of the application.
    Deliver(Action, String, Vec<u8>),
    /// The deadline has passed.
    Tick,
    /// The gateway shuts down.
    Shutdown,
    /// Another connection needs the slot.
    Evict,
    /// The peer has disconnected.
    Closed,
}

/// The registry's data of a node.
pub type Loaded = (Record, Vec<Grant>, Option<Ceiling>);

/// An answer of the store.
#[derive(Debug)]
pub enum Answer {
    /// The answer to [`Asked::Enter`].
    Entered(Result<(), NoPlace>),
    /// The answer to [`Asked::Find`].
    Found(Result<Option<Loaded>, ()>),
    /// The answer to [`Asked::Attach`].
    Attached(Result<Option<Loaded>, ()>),
    /// A refusal in answer to [`Asked::Prepare`].
    Refused(PairRefusal<'static>),
    /// The answer to [`Asked::Prepare`] for a PIN.
    Pin(CodeId, String),
    /// The answer to [`Asked::Prepare`] for a code.
    Code(Option<CodeId>, Code),
    /// The answer to [`Asked::Prepare`] for a setup code.
    Setup,
    /// The answer to [`Asked::Prepare`] without a proof: settle at once.
    Settle,
    /// The answer to [`Asked::Reserve`].
    Reserved(Result<u8, NoGuess>),
    /// The answer to [`Asked::Spend`].
    Spent(Result<bool, ()>),
    /// The answer to [`Asked::Settle`].
    Settled(Settled),
    /// The store failed on [`Asked::Settle`] or [`Asked::Prepare`].
    Busy,
    /// The answer to [`Asked::Activate`].
    Activated(Result<Option<Option<UnixTime>>, ()>),
    /// The answer to [`Asked::Present`].
    Presented(Option<(UnixTime, (ScopesBuf, Vec<ScopesBuf>))>),
    /// The answer to [`Asked::Renew`].
    Renewed(Option<Offered>, Option<String>),
}

enum Do {
    Send(Vec<u8>),
    Close,
    Ask(Asked),
    Detach,
    Proven,
}

impl Seat {
    fn new(machine: NativeConnection) -> Self {
        Self {
            machine: Some(machine),
            request: None,
            proven: false,
            scopes: None,
            subscribed: Vec::new(),
            apps: Vec::new(),
            ponged: Vec::new(),
            observed: 0,
            guesses: 0,
            attempt: None,
            enters: None,
            came: None,
            assembly: Assembly::IDLE,
            room: Box::new([0; CHAIN_BYTES]),
        }
    }

    /// Returns the name of the machine's state.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.machine.as_ref().map_or("gone", NativeConnection::state_name)
    }
}

/// Creates a replay memory for as many first messages as a world sees.
pub(super) fn replays() -> Replays<Vec<u64>> {
    Replays::new(vec![0; 1024], Secret::new([7; 32]))
}

fn loaded(store: &super::registry::Registry, record: &Record) -> Loaded {
    (record.clone(), store.grants_of(record.node_id), store.ceilings.get(&record.node_id).cloned())
}

fn lend((record, grants, ceiling): &Loaded) -> KnownPeer<'_> {
    KnownPeer { record, grants, ceiling: ceiling.as_ref() }
}

/// Returns a refusal as it is sent; the simulated operator gives no reasons.
const fn refusal(denial: Denial) -> PairRefusal<'static> {
    match denial {
        Denial::Rejected(_) | Denial::ByPolicy => PairRefusal::Denied { reason: None },
        Denial::Revoked => PairRefusal::Revoked,
        Denial::Expired => PairRefusal::Expired,
        Denial::Spent => PairRefusal::Spent,
        Denial::Later => PairRefusal::Busy { retry_in: 5 },
    }
}

/// Returns a node's scopes in force, as core computes them.
fn in_force(
    grants: &[Grant],
    ceiling: Option<&Ceiling>,
    within: Span,
    now: UnixTime,
) -> Option<(ScopesBuf, Vec<ScopesBuf>)> {
    match entitled(grants, ceiling, within, now) {
        Entitled::InForce(in_force, _) => Some((in_force.scopes.clone(), in_force.bounds.to_vec())),
        Entitled::Renewal | Entitled::Nothing => None,
    }
}

impl World {
    /// Applies the operator's decision about a node's permissions to its live link.
    pub(super) fn bound(&mut self, node_id: NodeId) {
        let Some(&conn) = self.gateway.live.get(&node_id) else { return };
        let (grants, ceiling) =
            (self.store.grants_of(node_id), self.store.ceilings.get(&node_id).cloned());
        let within = self.limits.renew_after_expiry;
        let (until, renews) = match entitled(&grants, ceiling.as_ref(), within, self.unix()) {
            Entitled::InForce(_, until) => (until, false),
            Entitled::Renewal => (None, true),
            Entitled::Nothing => (None, false),
        };
        let scopes = in_force(&grants, ceiling.as_ref(), within, self.unix());
        let Some(seat) = self.gateway.seats.get_mut(&conn) else { return };
        let covers = |text: &String| {
            let pattern = Pattern::parse(text).expect("a pattern");
            scopes.as_ref().is_some_and(|(scopes, bounds)| {
                InForce { scopes, bounds }.allows_subscription(&pattern)
            })
        };
        let (kept, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut seat.subscribed).into_iter().partition(covers);
        (seat.subscribed, seat.scopes) = (kept, scopes);
        for pattern in ended {
            self.feed_gateway(conn, GateIn::Unsubscribed(pattern));
        }
        self.feed_gateway(conn, GateIn::Bounded(until, renews));
    }

    /// Accepts a connection.
    pub(super) fn accept(&mut self, conn: ConnId) {
        let machine = NativeConnection::accepted(self.instant(), self.limits);
        self.gateway.seats.insert(conn, Seat::new(machine));
    }

    /// Takes the gateway's power.
    pub fn gateway_off(&mut self) {
        self.note(|| "the gateway loses power".to_owned());
        let back = self.now + 1 + self.prng.below(20_000);
        if self.gateway.on {
            self.clocks.end(self.now);
        }
        let gateway = &mut self.gateway;
        gateway.on = false;
        gateway.fuel = None;
        gateway.on_at = Some(back);
        gateway.live.clear();
        gateway.replays = replays();
        gateway.proving.clear();
        let conns: Vec<ConnId> = core::mem::take(&mut gateway.seats).into_keys().collect();
        self.jobs.retain(|job| !job.is_of_gateway());
        for conn in conns {
            self.leave(conn, Side::Gateway);
        }
    }

    /// Feeds an input to a connection.
    pub fn feed_gateway(&mut self, conn: ConnId, input: GateIn) {
        let (now, unix) = (self.instant(), self.unix());
        let mut bytes = [0; 32];
        self.prng.fill(&mut bytes);
        let entropy = Entropy::from_recorded(bytes);
        let token = self.next_token();
        let Some(seat) = self.gateway.seats.get_mut(&conn) else { return };
        let Some(mut machine) = seat.machine.take() else { return };
        let before = machine.state_name();
        let what = match &input {
            GateIn::Frame(frame) => format!("Frame of {}", frame.len()),
            other => format!("{other:?}").chars().take(90).collect(),
        };
        let scopes = seat.scopes.clone();
        let left = SUBSCRIPTIONS - seat.subscribed.len();
        let around = FrameContext {
            keys: &self.gateway.keys,
            in_force: scopes.as_ref().map(|(scopes, bounds)| InForce { scopes, bounds }),
            setup: &self.gateway.setup,
            subscriptions_left: left,
            now: unix,
        };
        let message = self.gateway.message.and_then(ReasonText::parse);
        let (mut frame, known, offered, address, payload, pattern);
        let room = Label::parse("Hall").expect("a label");
        let offer = |offered: &'_ Offered, token| Offer {
            id: offered.id,
            node_id: offered.node_id,
            room,
            token,
            chain: None,
            message,
        };
        let failed = handfast_core::Refusal::StoreFailed;
        let input = match input {
            GateIn::Frame(bytes) => {
                frame = bytes;
                let cost = machine.cost(&frame);
                if cost != Cost::Nothing {
                    self.gateway.counted.0 += 1;
                    seat.attempt = self.gateway.failures.attempt(now);
                }
                if matches!(cost, Cost::Link(Some(ephemeral)) if self.gateway.replays.knows(ephemeral))
                {
                    Input::Repeated
                } else {
                    Input::Frame { bytes: &mut frame, entropy, around }
                }
            }
            GateIn::Push(notice) => Input::Push(notice),
            GateIn::Bounded(until, renews) => Input::Bounded { until, renews, unix },
            GateIn::Unsubscribed(text) => {
                pattern = text;
                Input::Unsubscribed(Pattern::parse(&pattern).expect("a pattern"))
            }
            GateIn::Ping(number) => Input::Ping(number),
            GateIn::Tick => Input::Tick(unix),
            GateIn::Shutdown => Input::Shutdown,
            GateIn::Evict => Input::Evict,
            GateIn::Closed => Input::Closed,
            GateIn::Deliver(action, to, bytes) => {
                (address, payload) = (to, bytes);
                let address = Address::parse(&address).expect("an address");
                Input::Deliver(
                    App { action, address, bytes: Payload::new(&payload).expect("a payload") },
                    unix,
                )
            }
            GateIn::Answer(answer) => match answer {
                Answer::Entered(outcome) => Input::Entered(outcome),
                Answer::Found(found) => {
                    known = found;
                    let known = known.as_ref().map(|known| known.as_ref().map(lend));
                    Input::Found(known.map_err(|()| failed), unix, entropy)
                }
                Answer::Attached(found) => {
                    known = found;
                    seat.scopes = known.as_ref().ok().and_then(Option::as_ref).and_then(
                        |(_, all, ceiling)| {
                            in_force(all, ceiling.as_ref(), self.limits.renew_after_expiry, unix)
                        },
                    );
                    let known = known.as_ref().map(|known| known.as_ref().map(lend));
                    Input::Attached(known.map_err(|()| failed), unix)
                }
                Answer::Refused(refusal) => Input::Prepared(Prepared::Refused(refusal)),
                Answer::Pin(id, pin) => {
                    let code = Code::parse(&pin).expect("a PIN");
                    Input::Prepared(Prepared::Pin { id, code, expires_in: 300, attempts: 5 })
                }
                Answer::Code(id, code) => Input::Prepared(Prepared::Code { id, code }),
                Answer::Setup => Input::Prepared(Prepared::Setup),
                Answer::Settle => Input::Prepared(Prepared::Settle),
                Answer::Reserved(reserved) => Input::Reserved(reserved),
                Answer::Spent(spent) => Input::Spent(spent.map_err(|()| failed)),
                Answer::Settled(Settled::Offered(it)) => {
                    offered = it;
                    Input::Settled(PairVerdict::Offered(Offer {
                        chain: offered.chain.as_deref(),
                        ..offer(&offered, None)
                    }))
                }
                Answer::Settled(Settled::Waits) => {
                    Input::Settled(PairVerdict::Waits { expires_in: 600 })
                }
                Answer::Settled(Settled::Refused(denial)) => {
                    Input::Settled(PairVerdict::Refused(refusal(denial)))
                }
                Answer::Busy if before == "Preparing" => {
                    Input::Prepared(Prepared::Refused(PairRefusal::Busy { retry_in: 5 }))
                }
                Answer::Busy => {
                    Input::Settled(PairVerdict::Refused(PairRefusal::Busy { retry_in: 5 }))
                }
                Answer::Activated(Ok(outcome)) => Input::Activated(
                    Ok(outcome.map_or(Confirmation::NotThere, Confirmation::Active)),
                    unix,
                ),
                Answer::Activated(Err(())) => Input::Activated(Err(failed), unix),
                Answer::Presented(presented) => {
                    let until = presented.as_ref().map(|(until, _)| *until);
                    if let Some((_, scopes)) = presented {
                        seat.scopes = Some(scopes);
                    }
                    Input::Presented(until, unix)
                }
                Answer::Renewed(Some(it), bearer) => {
                    offered = it;
                    let token = bearer.and(token);
                    Input::Renewed(Some(Offer {
                        chain: offered.chain.as_deref(),
                        ..offer(&offered, token)
                    }))
                }
                Answer::Renewed(None, _) => Input::Renewed(None),
            },
        };
        let mut scratch = [0; NATIVE_SCRATCH];
        let effects = machine.step(now, input, &mut scratch);
        let (mut todo, mut compared) = (Vec::new(), None);
        for effect in effects {
            match effect {
                Effect::Send(frame) => todo.push(Do::Send(frame.to_vec())),
                Effect::Close(_) => todo.push(Do::Close),
                Effect::Refund => {
                    self.gateway.counted.1 += 1;
                    if let Some(attempt) = seat.attempt.take() {
                        self.gateway.failures.give_back(attempt);
                    }
                    todo.push(Do::Proven);
                }
                Effect::Find(key) => todo.push(Do::Ask(Asked::Find(key))),
                Effect::Enter(key, ephemeral) => todo.push(Do::Ask(Asked::Enter(key, ephemeral))),
                Effect::Attach(node_id) => todo.push(Do::Ask(Asked::Attach(node_id))),
                Effect::Detach => todo.push(Do::Detach),
                Effect::Ask(key, asked) => {
                    let holder = Holder { channel: key, signing: asked.key().copied() };
                    let (name, method) =
                        (asked.request().name.as_str().to_owned(), asked.request().method);
                    seat.request = Some(Request { holder, name, method });
                    todo.push(Do::Ask(Asked::Prepare(method)));
                }
                Effect::Reserve(id) => todo.push(Do::Ask(Asked::Reserve(id))),
                Effect::GuessWrong { .. } => compared = Some(false),
                Effect::Spend(id) => {
                    compared = Some(true);
                    todo.push(Do::Ask(Asked::Spend(id)));
                }
                Effect::Settle(Proof::Nothing) => todo.push(Do::Ask(Asked::Settle(None))),
                Effect::Settle(Proof::Code(id, _)) => todo.push(Do::Ask(Asked::Settle(Some(id)))),
                Effect::Settle(Proof::Setup(verified)) => {
                    let claims = verified.claims();
                    todo.push(Do::Ask(Asked::SettleSetup(Shown {
                        nonce: claims.nonce,
                        expires_at: claims.expires_at,
                    })));
                }
                Effect::Activate(grant) => todo.push(Do::Ask(Asked::Activate(grant))),
                Effect::Observe(_) => seat.observed += 1,
                Effect::Part(part) => match seat.assembly.take(&part, &mut seat.room[..]) {
                    Ok(Assembled::More(more)) => seat.assembly = more,
                    Ok(Assembled::Whole { bytes, .. }) => {
                        seat.came = Some(bytes.to_vec());
                        seat.assembly = Assembly::IDLE;
                    }
                    Err(_) => seat.assembly = Assembly::IDLE,
                },
                Effect::Present(chain) => {
                    let chain = chain.map(<[u8]>::to_vec).or_else(|| seat.came.take());
                    todo.push(Do::Ask(Asked::Present(chain)));
                }
                Effect::App(app) => {
                    seat.apps
                        .push((app.address.as_str().to_owned(), app.bytes.as_bytes().to_vec()));
                }
                Effect::Subscribe(pattern) => seat.subscribed.push(pattern.as_str().to_owned()),
                Effect::Ponged(number, answer) => seat.ponged.push((number, answer)),
                Effect::Renew(renew) => {
                    todo.push(Do::Ask(Asked::Renew(matches!(renew, Renew::Chain))));
                }
            }
        }
        let (after, closed) = (machine.state_name(), machine.is_closed());
        seat.machine = Some(machine);
        self.note(|| format!("conn {conn}: {before} --{what}--> {after}"));
        self.steps += 1;
        self.visited.insert(after);
        if let Some(right) = compared {
            self.compared(conn, right);
        }
        for effect in todo {
            if !self.gateway_may() {
                return;
            }
            self.gateway_does(conn, effect);
        }
        if closed {
            self.proven(conn);
            self.gateway.seats.remove(&conn);
            self.jobs.retain(|job| !job.is_of_conn(conn));
            self.leave(conn, Side::Gateway);
        }
    }

    fn next_token(&mut self) -> Option<Token> {
        const CHARS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let text: String = (0..43).map(|_| char::from(self.prng.pick(CHARS))).collect();
        Token::parse(&text)
    }

    pub(super) fn gateway_may(&mut self) -> bool {
        match self.gateway.fuel {
            Some(0) => {
                self.gateway_off();
                false
            }
            Some(fuel) => {
                self.gateway.fuel = Some(fuel - 1);
                true
            }
            None => true,
        }
    }

    fn gateway_does(&mut self, conn: ConnId, effect: Do) {
        match effect {
            Do::Send(frame) => self.send(conn, Side::Client, frame),
            // The slot is freed with the machine's end.
            Do::Close => {}
            Do::Ask(asked) => {
                self.check_asked(conn, &asked);
                self.job(Job::Store { conn, asked });
            }
            Do::Proven => self.proven(conn),
            Do::Detach => self.gateway.live.retain(|_, live| *live != conn),
        }
    }
}
