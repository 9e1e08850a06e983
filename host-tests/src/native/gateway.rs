//! The gateway's process: the real machine for each connection, and an adapter that carries out its
//! effects over the registry.

mod permissions;
mod power;
mod seat;
mod transactions;

use std::collections::BTreeMap;

use handfast_core::budget::{Bucket, Proving, Replays};
use handfast_core::crypto::code::Code;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::KeyPair;
use handfast_core::flow::identity::clone_counter::{CloneCounter, MarkKey};
use handfast_core::flow::native::gateway::{
    CloneStanding, Confirmation, Cost, Effect, FrameContext, Input, Issue, IssuedCertificate,
    KnownPeer, NativeConnection, NativeRequest, Offer, PairVerdict, Peer, Prepared, Proof,
    RenewKind,
};
use handfast_core::flow::native::settle::Denial;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::setup_code::SetupKey;
use handfast_core::grant::token::Token;
use handfast_core::limits::{NATIVE_SCRATCH, SUBSCRIPTIONS};
use handfast_core::registry::ceiling::InForce;
use handfast_core::registry::record::Record;
use handfast_core::secret::Secret;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_core::wire::native::link::{App, DispatchAnswer, DispatchId};
use handfast_core::wire::native::pair::PairRefusal;
use handfast_core::wire::native::part::{Assembled, Assembly};
use handfast_core::wire::native::{Payload, ReasonText};
use handfast_core::wire::path::{Address, Pattern};
use handfast_core::{Entropy, Instant, Label, Machine, NodeId};

pub(super) use permissions::in_force;
pub use seat::{Answer, GateIn, Loaded, Seat};
pub use transactions::Asked;

use super::identity::Report;
use super::registry::{Offered, Request, Settled, Shown};
use super::sharing::Follower;
use super::wires::{ConnId, Side};
use super::{Job, World};

/// What all gateways of a registry have in common. It survives restarts.
#[derive(Debug)]
pub struct GatewayIdentity {
    /// The gateway's keys.
    pub keys: OwnKeys,
    /// The static key before a rotation, while nodes may link with it.
    pub older_key: Option<KeyPair>,
    /// The list of addresses that nodes are told, if there is one.
    pub addresses: Option<&'static str>,
    /// The valid keys of setup codes, the current one first.
    pub setup: Vec<SetupKey>,
    /// The key of marks.
    pub mark_key: MarkKey,
    /// The name for people.
    pub name: Option<&'static str>,
    /// Message to each node that is paired.
    pub message: Option<&'static str>,
    /// `true` if nodes' states are marked. Manual peers that use a node's keys show no marks.
    pub marks: bool,
    /// `true` if certificates are issued.
    pub issues: bool,
}

impl GatewayIdentity {
    pub(super) fn new(keys: OwnKeys) -> Self {
        Self {
            keys,
            older_key: None,
            addresses: None,
            setup: vec![super::setup_key(1)],
            mark_key: MarkKey::new(&Entropy::from_recorded([5; 32])),
            name: None,
            message: None,
            marks: false,
            issues: false,
        }
    }
}

/// The process of one gateway.
#[derive(Debug)]
pub struct GatewayHost {
    /// Its connections by id.
    pub seats: BTreeMap<ConnId, Seat>,
    /// The live connection of each node.
    pub live: BTreeMap<NodeId, ConnId>,
    /// `true` while it has power.
    pub on: bool,
    /// Time in milliseconds at which power returns.
    pub on_at: Option<u64>,
    /// Time in milliseconds since which it has no power.
    pub off_since: Option<u64>,
    /// What it knows of the log of changes, if it shares the registry.
    pub follower: Option<Follower>,
    /// Milliseconds by which its monotonic clock is ahead of the world's.
    pub ahead: u64,
    /// Number of effects and writes until power fails.
    pub fuel: Option<u32>,
    /// Number of transactions that will fail.
    pub failing: u32,
    /// Number of frames that cost an attempt, and of refunded attempts.
    pub counted: (u32, u32),
    /// Budget of failures of all sources together; the world has one source.
    pub failures: Bucket,
    /// First messages that were read.
    pub replays: Replays<Vec<u64>>,
    /// Handshakes under way, by key.
    pub proving: BTreeMap<[u8; 32], Proving>,
    /// The progress that nodes reported.
    pub progress: Vec<(DispatchId, Option<u8>)>,
    /// Number of reports about tasks of other nodes.
    pub meddled: u32,
    /// Number of links that raised the alarm of a copied node.
    pub alarms: u32,
    /// Number of links that showed a mark which the gateway does not remember.
    pub older: u32,
}

impl GatewayHost {
    pub(super) fn new(ahead: u64) -> Self {
        Self {
            seats: BTreeMap::new(),
            live: BTreeMap::new(),
            on: true,
            on_at: None,
            off_since: None,
            follower: None,
            ahead,
            fuel: None,
            failing: 0,
            counted: (0, 0),
            failures: Bucket::new(60, Instant::from_millis(ahead)),
            replays: replays(),
            proving: BTreeMap::new(),
            progress: Vec::new(),
            meddled: 0,
            alarms: 0,
            older: 0,
        }
    }
}

enum Do {
    Send(Vec<u8>),
    Close,
    Ask(Asked),
    Detach,
    Proven,
    Report(Report),
}

/// Creates a replay memory for as many first messages as a world sees.
fn replays() -> Replays<Vec<u64>> {
    Replays::new(vec![0; 1024], Secret::new([7; 32]))
}

fn loaded(store: &super::registry::Registry, record: &Record) -> Loaded {
    (record.clone(), store.grants_of(record.node_id), store.ceilings.get(&record.node_id).cloned())
}

fn lend((record, grants, ceiling): &Loaded, clone: CloneStanding) -> KnownPeer<'_> {
    KnownPeer { record, grants, ceiling: ceiling.as_ref(), clone }
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

impl World {
    /// Gives the gateway another static key. The older one stays beside it until somebody removes
    /// it.
    pub fn rotate_gateway_key(&mut self) {
        let mut bytes = [0; 32];
        self.prng.fill(&mut bytes);
        let newer = self.identity.keys.with_new_channel(&Entropy::from_recorded(bytes));
        let older = std::mem::replace(&mut self.identity.keys, newer);
        self.identity.older_key = Some(older.channel);
    }

    /// Has the gateway tell its nodes this list of addresses; a linked node at once.
    pub fn move_nodes(&mut self, list: &'static str) {
        self.identity.addresses = Some(list);
        let linked = self.gateways.iter().flat_map(|gateway| gateway.live.values().copied());
        for conn in linked.collect::<Vec<_>>() {
            self.feed_gateway(conn, GateIn::Answer(Answer::Addresses(list)));
        }
    }

    /// Accepts a connection.
    pub(super) fn accept(&mut self, conn: ConnId) {
        let now = self.instant_at(self.gateway_of(conn));
        self.take_seat(conn, NativeConnection::accepted(now, self.limits));
    }

    pub(super) fn take_seat(&mut self, conn: ConnId, machine: NativeConnection) {
        let machine = if self.identity.issues { machine.issuing_certificates() } else { machine };
        let at = self.gateway_of(conn);
        self.gateways[at].seats.insert(conn, Seat::new(machine));
    }

    /// Feeds an input to a connection.
    pub fn feed_gateway(&mut self, conn: ConnId, input: GateIn) {
        let at = self.gateway_of(conn);
        let (now, unix) = (self.instant_at(at), self.unix());
        let mut bytes = [0; 32];
        self.prng.fill(&mut bytes);
        let entropy = Entropy::from_recorded(bytes);
        let token = self.next_token();
        let gateway = &mut self.gateways[at];
        let Some(seat) = gateway.seats.get_mut(&conn) else { return };
        let Some(mut machine) = seat.machine.take() else { return };
        let (before, was) = (machine.state_name(), machine.linked());
        let dispatches = matches!(input, GateIn::Dispatch(_));
        let what = match &input {
            GateIn::Frame(frame) => format!("Frame of {}", frame.len()),
            other => format!("{other:?}").chars().take(90).collect(),
        };
        let scopes = seat.scopes.clone();
        let left = SUBSCRIPTIONS - seat.subscribed.len();
        let around = FrameContext {
            keys: &self.identity.keys,
            older: self.identity.older_key.as_ref(),
            in_force: scopes.as_ref().map(|(scopes, bounds)| InForce { scopes, bounds }),
            setup: &self.identity.setup,
            subscriptions_left: left,
            now: unix,
        };
        let message = self.identity.message.and_then(ReasonText::parse);
        let (mut frame, known, offered, address, payload, pattern, certificate, name, task);
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
                    gateway.counted.0 += 1;
                    seat.attempt = gateway.failures.attempt(now);
                }
                if matches!(cost, Cost::Link(Some(ephemeral)) if gateway.replays.knows(ephemeral)) {
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
            GateIn::Dispatch(wanted) => {
                task = wanted;
                Input::Dispatch(task.lend(), unix)
            }
            GateIn::Cancel(id) => Input::Cancel(id),
            GateIn::Query(id, number) => Input::Query(id, number),
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
                    let known = known.as_ref().map(|known| {
                        known.as_ref().map(|known| lend(known, CloneStanding::default()))
                    });
                    Input::Found(known.map_err(|()| failed), unix, entropy)
                }
                Answer::Attached(found, clone) => {
                    known = found;
                    seat.scopes = known.as_ref().ok().and_then(Option::as_ref).and_then(
                        |(_, all, ceiling)| {
                            in_force(all, ceiling.as_ref(), self.limits.renew_after_expiry, unix)
                        },
                    );
                    let known =
                        known.as_ref().map(|known| known.as_ref().map(|known| lend(known, clone)));
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
                Answer::Issued(made) => {
                    certificate = made;
                    Input::Issued(Ok(certificate.as_ref().map(|(number, object, bytes)| {
                        IssuedCertificate { number: *number, object: *object, bytes }
                    })))
                }
                Answer::Addresses(list) => {
                    Input::Addresses(GatewayAddresses::parse(list).expect("a list"))
                }
                Answer::Name(called) => {
                    name = called;
                    Input::Name(Label::parse(&name).expect("a label"))
                }
            },
        };
        let mut scratch = [0; NATIVE_SCRATCH];
        let effects = machine.step(now, input, &mut scratch);
        let (mut todo, mut compared) = (Vec::new(), None);
        for effect in effects {
            match effect {
                Effect::Send(frame) => todo.push(Do::Send(frame.to_vec())),
                Effect::Close(_) => todo.push(Do::Close),
                Effect::Request(NativeRequest::Refund) => {
                    gateway.counted.1 += 1;
                    if let Some(attempt) = seat.attempt.take() {
                        gateway.failures.give_back(attempt);
                    }
                    todo.push(Do::Proven);
                }
                Effect::Request(NativeRequest::Find(key)) => todo.push(Do::Ask(Asked::Find(key))),
                Effect::Request(NativeRequest::Enter(key, ephemeral)) => {
                    todo.push(Do::Ask(Asked::Enter(key, ephemeral)));
                }
                Effect::Request(NativeRequest::FindNode(node_id)) => {
                    todo.push(Do::Ask(Asked::FindNode(node_id)));
                }
                Effect::Request(NativeRequest::Attach(node_id, mark)) => {
                    todo.push(Do::Ask(Asked::Attach(node_id, mark)));
                }
                Effect::Issue(Issue::Asked) => todo.push(Do::Ask(Asked::Issue(seat.csr.clone()))),
                Effect::Issue(Issue::Renewal(renewal)) => {
                    let csr = renewal.csr().map(|csr| csr.as_bytes().to_vec());
                    todo.push(Do::Ask(Asked::Issue(csr)));
                }
                Effect::Request(NativeRequest::CertificateStored(number)) => {
                    todo.push(Do::Report(Report::CertificateStored(number)));
                }
                Effect::Request(NativeRequest::MarkStored(mark)) => {
                    todo.push(Do::Report(Report::MarkStored(mark)));
                }
                Effect::Request(NativeRequest::KnowsKey(key)) => {
                    todo.push(Do::Report(Report::KnowsKey(key)));
                }
                Effect::Request(NativeRequest::Name) => todo.push(Do::Ask(Asked::Name)),
                Effect::Request(NativeRequest::Addresses) => {
                    todo.push(Do::Ask(Asked::Addresses));
                }
                Effect::Request(NativeRequest::KnowsAddresses) => {
                    todo.push(Do::Report(Report::KnowsAddresses));
                }
                Effect::Announced(announce) => {
                    todo.push(Do::Report(Report::Announced(
                        announce.capability.as_str().to_owned(),
                        announce.idempotent,
                    )));
                }
                Effect::Outcome(result) => {
                    todo.push(Do::Report(Report::outcome(result.id, &result.outcome)));
                }
                Effect::Progress(progress) => {
                    let percent = progress.percent.map(|percent| percent.get());
                    todo.push(Do::Report(Report::Progress(progress.id, percent)));
                }
                Effect::Answered(answer) => {
                    let DispatchAnswer { id, number, known } = answer;
                    todo.push(Do::Report(Report::answer(id, number, &known)));
                }
                Effect::Request(NativeRequest::NotDispatched(id)) => {
                    todo.push(Do::Report(Report::NotDispatched(id)));
                }
                Effect::Request(NativeRequest::Detach) => todo.push(Do::Detach),
                Effect::Ask(key, asked) => {
                    let holder = Holder { channel: key, signing: asked.key().copied() };
                    let (name, method) =
                        (asked.request().name.as_str().to_owned(), asked.request().method);
                    seat.request = Some(Request { holder, name, method });
                    seat.csr = asked.request().csr.map(|csr| csr.as_bytes().to_vec());
                    todo.push(Do::Ask(Asked::Prepare(method)));
                }
                Effect::Request(NativeRequest::Reserve(id)) => {
                    todo.push(Do::Ask(Asked::Reserve(id)));
                }
                Effect::Request(NativeRequest::GuessWrong { .. }) => compared = Some(false),
                Effect::Request(NativeRequest::Spend(id)) => {
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
                Effect::Request(NativeRequest::Activate(grant)) => {
                    todo.push(Do::Ask(Asked::Activate(grant)));
                }
                // A node that is linked counts as seen.
                Effect::Request(NativeRequest::Linked(Peer::Node(_))) | Effect::Observe(_) => {
                    seat.observed += 1;
                }
                Effect::Request(NativeRequest::Linked(Peer::Delegate(_))) => {}
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
                Effect::Request(NativeRequest::Ponged(number, answer)) => {
                    seat.ponged.push((number, answer));
                }
                Effect::Request(NativeRequest::Renew(renew)) => {
                    todo.push(Do::Ask(Asked::Renew(matches!(renew, RenewKind::Chain))));
                }
            }
        }
        let (after, closed) = (machine.state_name(), machine.is_closed());
        let linked = machine.linked();
        seat.machine = Some(machine);
        self.note(|| format!("conn {conn}: {before} --{what}--> {after}"));
        self.steps += 1;
        self.visited.insert(after);
        if dispatches && todo.iter().any(|effect| matches!(effect, Do::Send(_))) {
            let key = self.gateways[at].seats[&conn].machine.as_ref().and_then(|of| of.peer_key());
            let counter = key.and_then(|key| self.store.clones.get(key.as_bytes()));
            let quarantined = counter.is_some_and(CloneCounter::is_quarantined);
            self.expect(!quarantined, || "a task is sent in quarantine".to_owned());
        }
        if let Some(right) = compared {
            self.compared(conn, right);
        }
        for effect in todo {
            if !self.gateway_may(at) {
                return;
            }
            self.gateway_does(conn, effect);
        }
        if let (None, Some(Peer::Node(node_id))) = (was, linked) {
            self.check_admission(at, node_id);
            self.push_tasks(at, node_id);
        }
        if let (Some(Peer::Node(node_id)), true) = (was, closed) {
            self.tasks_lost(at, node_id);
        }
        if closed {
            self.proven(conn);
            self.gateways[at].seats.remove(&conn);
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
            Do::Report(report) => self.reported(conn, report),
            Do::Detach => {
                let at = self.gateway_of(conn);
                self.link_closed(at, conn);
                self.gateways[at].live.retain(|_, live| *live != conn);
            }
        }
    }
}
