//! The gateway's adapter: a machine for every connection, the table of live ones, the budgets, the
//! pool, and a power switch.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use handfast_core::budget::{Attempt, Bucket, Seat, Waiting};
use handfast_core::flow::registration::gateway::{
    Claim, Effect, Input, Lookup, RegistrationConnection, RegistrationRequest,
};
use handfast_core::grant::token::{Hashed, ProofKey, ProofTag};
use handfast_core::limits::{FAILURES_FOR_ONE_NODE, SCRATCH};
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::delivery::Outcome;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::Record;
use handfast_core::wire::close::Close;
use handfast_core::{Entropy, Machine, NodeId, Refusal, Source};

use super::network::{ConnId, Frame, Side};
use super::operator::ApprovalRun;
use super::store::{Asked, Waiter};
use super::{Event, World, hashing};

/// The gateway's process. It loses all of this with the power.
#[derive(Debug)]
pub struct GatewayHost {
    /// `true` while it runs.
    pub on: bool,
    /// Number of starts; answers to an earlier one are void.
    pub life: u32,
    /// Its connections by id.
    pub seats: BTreeMap<ConnId, Seated>,
    /// The live connection of each node.
    pub live: BTreeMap<NodeId, ConnId>,
    /// Number of effects until power fails.
    pub fuel: Option<u32>,
    pub(super) approvals: BTreeMap<u32, ApprovalRun>,
    attached: u64,
    key: ProofKey,
    proven: BTreeMap<NodeId, ProofTag>,
    buckets: BTreeMap<Budget, Bucket>,
    hashing: u32,
}

/// The account that a failed attempt is charged to: a known node that was claimed from a source, or
/// the source alone.
type Budget = (Option<NodeId>, Source);

/// A connection with the state of its adapter.
#[derive(Debug)]
pub struct Seated {
    /// The machine; `None` while it is running a step.
    pub machine: Option<RegistrationConnection>,
    /// Time at which it was accepted.
    pub since: u64,
    /// The node id and token that it presented.
    pub presented: Option<(NodeId, String)>,
    /// Its position in the order of attached connections.
    pub attached: u64,
    source: Source,
    attempt: Option<(Budget, Attempt)>,
    address: IpAddr,
    heard: bool,
    inbox: VecDeque<Frame>,
}

/// An owned input of a connection.
#[derive(Debug)]
pub(super) enum ConnInput {
    Text(String),
    Binary(Vec<u8>),
    Pong,
    Admitted(Result<NodeId, Refusal>),
    Loaded(NodeId, Result<Option<Record>, Refusal>),
    Hashed(Result<Hashed, Refusal>),
    Confirmed(Result<(), Refusal>),
    Attached(Result<Option<Record>, Refusal>),
    Push(Notice),
    Tick,
    Shutdown,
    Evict,
    Closed,
}

enum Act {
    Send(String),
    Ping,
    Close(Close),
    Admit(Box<PendingRequest>),
    Request(RegistrationRequest),
    Observe(NodeId),
    Application(NodeId),
}

impl GatewayHost {
    pub(super) fn started(life: u32, key: [u8; 32]) -> Self {
        Self {
            on: true,
            life,
            seats: BTreeMap::new(),
            live: BTreeMap::new(),
            fuel: None,
            approvals: BTreeMap::new(),
            attached: 0,
            key: ProofKey::new(&Entropy::from_recorded(key)),
            proven: BTreeMap::new(),
            buckets: BTreeMap::new(),
            hashing: 0,
        }
    }
}

impl World {
    /// Cuts the power: connections, table, cache and approvals under way are lost; the store keeps
    /// what is durable.
    pub(super) fn cut_gateway(&mut self) {
        if !self.gateway.on {
            return;
        }
        self.note(|| "the gateway loses power".to_owned());
        let conns: Vec<ConnId> = self.gateway.seats.keys().copied().collect();
        for conn in conns {
            self.vanish(conn, Side::Gateway);
        }
        self.clocks.end(self.now);
        self.gateway =
            GatewayHost { on: false, ..GatewayHost::started(self.gateway.life + 1, [0; 32]) };
        self.model.forget_what_is_under_way();
        self.store.offered.clear();
        let dark = 100 + self.prng.below(10_000);
        self.at(self.now + dark, Event::GatewayPower);
    }

    pub(super) fn start_gateway(&mut self) {
        if !self.gateway.on {
            let key = self.prng.bytes();
            self.gateway = GatewayHost::started(self.gateway.life + 1, key);
            self.clocks.begin(self.now);
            self.look_at_clocks();
        }
    }

    /// Stops in order, with a notice to every connection, and starts again.
    pub(super) fn restart_gateway(&mut self) {
        let conns: Vec<ConnId> = self.gateway.seats.keys().copied().collect();
        for conn in conns {
            self.feed_conn(conn, ConnInput::Shutdown);
        }
        self.expect(!self.gateway.on || self.gateway.seats.is_empty(), || {
            "a connection survives the shutdown".to_owned()
        });
        self.cut_gateway();
    }

    pub(super) fn accept(&mut self, conn: ConnId) {
        // The client may have disconnected already.
        let Some(address) = self.network.wires.get(&conn).map(|wire| wire.address) else { return };
        let source = Source::of(address);
        let waiting = |seat: &&Seated| seat.machine.as_ref().is_some_and(|m| m.linked().is_none());
        let waits = Waiting {
            total: self.gateway.seats.values().filter(waiting).count() as u32,
            of_source: self
                .gateway
                .seats
                .values()
                .filter(waiting)
                .filter(|s| s.source == source)
                .count() as u32,
        };
        let oldest = |of_all: bool| {
            let silent = self
                .gateway
                .seats
                .iter()
                .filter(|(_, s)| !s.heard && (of_all || s.source == source));
            silent.min_by_key(|(id, s)| (s.since, **id)).map(|(id, _)| *id)
        };
        let evicted = match waits.seat(&self.limits) {
            Seat::Free => None,
            seat => match oldest(seat == Seat::EvictFromAll) {
                Some(old) => Some(old),
                None => return self.hang_up(conn, Side::Gateway, Close::AT_CAPACITY),
            },
        };
        if let Some(old) = evicted {
            self.feed_conn(old, ConnInput::Evict);
        }
        if !self.gateway.on {
            return self.vanish(conn, Side::Gateway);
        }
        let seat = Seated {
            machine: Some(RegistrationConnection::accepted(self.instant(), self.limits)),
            since: self.now,
            presented: None,
            attached: 0,
            source,
            attempt: None,
            address,
            heard: false,
            inbox: VecDeque::new(),
        };
        self.gateway.seats.insert(conn, seat);
        self.send(conn, Side::Gateway, Frame::Opened);
    }

    pub(super) fn gateway_hears(&mut self, conn: ConnId, frame: Frame) {
        match frame {
            Frame::Text(_) | Frame::Binary(_) => {
                if let Some(seat) = self.gateway.seats.get_mut(&conn) {
                    seat.heard = true;
                    seat.inbox.push_back(frame);
                    self.pump(conn);
                }
            }
            Frame::Pong => self.feed_conn(conn, ConnInput::Pong),
            Frame::Ping | Frame::Opened => {}
            Frame::Close(_) => self.on_gone(conn, Side::Gateway),
        }
    }

    pub(super) fn gateway_lost(&mut self, conn: ConnId) {
        self.feed_conn(conn, ConnInput::Closed);
    }

    /// Feeds waiting frames while no answer is due.
    fn pump(&mut self, conn: ConnId) {
        while let Some(seat) = self.gateway.seats.get_mut(&conn) {
            if seat.machine.as_ref().is_none_or(RegistrationConnection::awaits_answer) {
                return;
            }
            match seat.inbox.pop_front() {
                Some(Frame::Text(text)) => {
                    if seat.presented.is_none() {
                        seat.presented = super::invariants::token_in(&text);
                    }
                    self.feed_conn(conn, ConnInput::Text(text));
                }
                Some(Frame::Binary(bytes)) => self.feed_conn(conn, ConnInput::Binary(bytes)),
                _ => return,
            }
        }
    }

    /// Feeds an answer, and then the frames that waited for it.
    pub(super) fn answer_conn(&mut self, conn: ConnId, input: ConnInput) {
        self.feed_conn(conn, input);
        self.pump(conn);
    }

    pub(super) fn feed_conn(&mut self, conn: ConnId, input: ConnInput) {
        let now = self.instant();
        let unix = self.unix();
        // Only a first frame can need an id.
        let fresh =
            if matches!(input, ConnInput::Text(_)) { self.store.fresh_id() } else { [0; 16] };
        let fresh = Entropy::from_recorded(fresh);
        let Some(seat) = self.gateway.seats.get_mut(&conn) else { return };
        let Some(mut machine) = seat.machine.take() else { return };
        let (address, limits) = (seat.address, self.limits);
        let mut scratch = [0; SCRATCH];
        let (before, was_linked) = (machine.state_name(), machine.linked());
        let input_text = format!("{input:?}");
        let peer_left = matches!(input, ConnInput::Closed);
        let input = match &input {
            ConnInput::Text(text) => Input::Text(text),
            ConnInput::Binary(bytes) => Input::Binary(bytes),
            ConnInput::Pong => Input::Pong,
            ConnInput::Admitted(outcome) => Input::Admitted(*outcome),
            ConnInput::Loaded(node_id, outcome) => Input::Loaded(Lookup {
                record: outcome.as_ref().map(Option::as_ref).map_err(|refusal| *refusal),
                kept: self.gateway.proven.get(node_id).map(ProofTag::copy),
                key: &self.gateway.key,
            }),
            ConnInput::Hashed(Ok(hashed)) => {
                let token = handfast_core::wire::token::Token::parse(hashed.token.expose())
                    .expect("a token");
                Input::Hashed(Ok(Hashed { token, hash: hashed.hash.clone() }))
            }
            ConnInput::Hashed(Err(refusal)) => Input::Hashed(Err(*refusal)),
            ConnInput::Attached(outcome) => {
                Input::Attached(outcome.as_ref().map(Option::as_ref).map_err(|refusal| *refusal))
            }
            ConnInput::Confirmed(outcome) => Input::Confirmed(*outcome),
            ConnInput::Push(notice) => Input::Push(*notice),
            ConnInput::Tick => Input::Tick,
            ConnInput::Shutdown => Input::Shutdown,
            ConnInput::Evict => Input::Evict,
            ConnInput::Closed => Input::Closed,
        };
        let effects = machine.step(now, input, &mut scratch);
        let acts: Vec<Act> = effects
            .into_iter()
            .map(|effect| match effect {
                Effect::Send(text) => Act::Send(text.to_owned()),
                Effect::Ping => Act::Ping,
                Effect::Close(close) => Act::Close(close),
                Effect::Admit(request) => {
                    let asking = PendingRequest::new(&request, address, unix, &limits, &fresh);
                    Act::Admit(Box::new(asking.made_by(u64::from(conn.0))))
                }
                Effect::Request(request) => Act::Request(request),
                Effect::Observe(node_id, _) => Act::Observe(node_id),
                Effect::ApplicationText(node_id, _) | Effect::ApplicationBinary(node_id, _) => {
                    Act::Application(node_id)
                }
            })
            .collect();
        let (after, ended) = (machine.state_name(), machine.is_closed());
        self.check_redacted(&machine);
        seat_back(&mut self.gateway, conn, machine);
        self.note(|| format!("gateway {conn:?}: {before} + {input_text} -> {after}"));
        let closes = acts.iter().filter(|act| matches!(act, Act::Close(_))).count();
        self.expect(!ended || peer_left || closes == 1, || {
            format!("{conn:?} ends in silence ({before} + {input_text})")
        });
        self.expect(ended || closes == 0, || {
            format!("{conn:?} is closed and goes on ({before} + {input_text})")
        });
        for act in acts {
            if self.burn_gateway() {
                return;
            }
            self.conn_act(conn, was_linked, act);
        }
        if ended && self.gateway.seats.contains_key(&conn) {
            self.expect(self.gateway.live.values().all(|&live| live != conn), || {
                format!("{conn:?} ended and is still live")
            });
            self.gateway.seats.remove(&conn);
        }
    }

    fn conn_act(&mut self, conn: ConnId, was_linked: Option<NodeId>, act: Act) {
        match act {
            Act::Send(text) => {
                self.check_gateway_sends(conn, &text);
                self.send(conn, Side::Gateway, Frame::Text(text));
            }
            Act::Ping => self.send(conn, Side::Gateway, Frame::Ping),
            Act::Close(close) => self.hang_up(conn, Side::Gateway, close),
            Act::Admit(asking) => self.ask_store(Waiter::Conn(conn), Asked::Admit(asking)),
            Act::Request(request) => self.conn_request(conn, request),
            Act::Observe(node_id) => self.check_observed(conn, node_id),
            Act::Application(node_id) => {
                self.expect(was_linked == Some(node_id), || {
                    format!("{conn:?} hands frames on without a link")
                });
            }
        }
    }

    fn conn_request(&mut self, conn: ConnId, request: RegistrationRequest) {
        match request {
            RegistrationRequest::Load(node_id) => {
                self.ask_store(Waiter::Conn(conn), Asked::Load(node_id));
            }
            RegistrationRequest::Hash(job, claim) => {
                let room = self.gateway.hashing < self.limits.hash_queue;
                let granted = room && self.takes_attempt(conn, job.node_id, claim);
                let outcome =
                    if granted { Ok(hashing::run(job)) } else { Err(Refusal::RateLimited) };
                self.gateway.hashing += 1;
                let done = self.now + 14 * u64::from(self.gateway.hashing) + self.prng.below(5);
                self.at(
                    done,
                    Event::Hashed { life: self.gateway.life, waiter: Waiter::Conn(conn), outcome },
                );
            }
            RegistrationRequest::CountFailure => {
                if let Some(source) = self.gateway.seats.get(&conn).map(|seat| seat.source) {
                    let _spent = self.attempt((None, source));
                }
            }
            RegistrationRequest::Refund => {
                let attempt =
                    self.gateway.seats.get_mut(&conn).and_then(|seat| seat.attempt.take());
                if let Some((budget, attempt)) = attempt
                    && let Some(bucket) = self.gateway.buckets.get_mut(&budget)
                {
                    bucket.give_back(attempt);
                }
            }
            RegistrationRequest::Remember(node_id, tag) => {
                self.gateway.proven.insert(node_id, tag);
            }
            RegistrationRequest::Confirm(node_id, id) => {
                self.ask_store(
                    Waiter::Conn(conn),
                    Asked::Settle { node_id, id, outcome: Outcome::Used },
                );
            }
            RegistrationRequest::Attach(node_id) => {
                self.gateway.attached += 1;
                let order = self.gateway.attached;
                if let Some(seat) = self.gateway.seats.get_mut(&conn) {
                    seat.attached = order;
                }
                let older = self.gateway.live.insert(node_id, conn);
                if let Some(older) = older.filter(|&older| older != conn) {
                    self.feed_conn(older, ConnInput::Push(Notice::Replaced));
                }
                if self.gateway.on {
                    self.ask_store(Waiter::Conn(conn), Asked::Reread(node_id));
                }
            }
            RegistrationRequest::Detach(node_id) => {
                // Only its own entry: a newer connection may have replaced it.
                if self.gateway.live.get(&node_id) == Some(&conn) {
                    self.gateway.live.remove(&node_id);
                }
            }
            // A node that is linked counts as seen.
            RegistrationRequest::Linked(node_id) => self.check_observed(conn, node_id),
        }
    }

    pub(super) fn on_hashed(&mut self, waiter: Waiter, outcome: Result<Hashed, Refusal>) {
        self.gateway.hashing = self.gateway.hashing.saturating_sub(1);
        match (waiter, outcome) {
            (Waiter::Conn(conn), outcome) => self.answer_conn(conn, ConnInput::Hashed(outcome)),
            (Waiter::Approval(run), Ok(hashed)) => self.approval_hashed(run, hashed),
            (Waiter::Approval(_) | Waiter::Operator, _) => {}
        }
    }

    /// Pushes a decision to the node's live connection at once.
    pub(super) fn push(&mut self, node_id: NodeId, notice: Option<Notice>) {
        if let (Some(notice), Some(&conn)) = (notice, self.gateway.live.get(&node_id)) {
            self.feed_conn(conn, ConnInput::Push(notice));
        }
    }

    fn takes_attempt(&mut self, conn: ConnId, node_id: NodeId, claim: Claim) -> bool {
        let Some(source) = self.gateway.seats.get(&conn).map(|seat| seat.source) else {
            return false;
        };
        let known = match claim {
            Claim::Paired => self.attempt((Some(node_id), source)),
            Claim::Other => None,
        };
        let attempt = known.or_else(|| self.attempt((None, source)));
        let granted = attempt.is_some();
        if let Some(seat) = self.gateway.seats.get_mut(&conn) {
            seat.attempt = attempt;
        }
        granted
    }

    fn attempt(&mut self, budget: Budget) -> Option<(Budget, Attempt)> {
        let now = self.instant();
        let per_minute = if budget.0.is_some() {
            FAILURES_FOR_ONE_NODE
        } else {
            self.limits.failures_per_minute
        };
        let bucket =
            self.gateway.buckets.entry(budget).or_insert_with(|| Bucket::new(per_minute, now));
        Some((budget, bucket.attempt(now)?))
    }

    /// Counts an effect; `true` if the power fails before it.
    pub(super) fn burn_gateway(&mut self) -> bool {
        match self.gateway.fuel {
            Some(0) => self.cut_gateway(),
            Some(left) => self.gateway.fuel = Some(left - 1),
            None => {}
        }
        !self.gateway.on
    }
}

fn seat_back(gateway: &mut GatewayHost, conn: ConnId, machine: RegistrationConnection) {
    if let Some(seat) = gateway.seats.get_mut(&conn) {
        seat.machine = Some(machine);
    }
}
