//! A gateway in memory: the core's machine for each connection, COBS frames below it, an operator
//! above it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use handfast_core::crypto::code::Code;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{
    Confirmation, Effect, FrameContext, Input, KnownPeer, NativeConnection, Offer, PairVerdict,
    Prepared, Proof,
};
use handfast_core::flow::native::settle::{Plan, plan};
use handfast_core::grant::capability::Holder;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::{
    GUESSES_PER_CODE, Limits, NATIVE_SCRATCH, STREAM_BUFFER, STREAM_FRAME,
};
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::frame::{FrameDecoder, encode};
use handfast_core::wire::native::pair::{PairRefusal, Selector};
use handfast_core::{Entropy, Instant, Label, Machine, Name, NodeId, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

/// The wall-clock time, which does not advance here.
const NOW: UnixTime = UnixTime::from_secs(1_000_000);

#[derive(Clone)]
pub(crate) struct Gateway {
    registry: Arc<Mutex<Registry>>,
    /// Ends every connection without a message.
    restart: Arc<Notify>,
    start: tokio::time::Instant,
}

pub(crate) struct Registry {
    keys: Arc<OwnKeys>,
    pub(crate) records: HashMap<NodeId, Record>,
    pub(crate) grants: Vec<Grant>,
    /// Shown PINs, with the node they are for and the number of guesses.
    pub(crate) pins: HashMap<CodeId, (PublicKey, String, u8)>,
    code: Option<(Selector, String)>,
    live: HashMap<NodeId, mpsc::UnboundedSender<Notice>>,
    waiting: Vec<mpsc::UnboundedSender<Notice>>,
    observed: usize,
    drawn: u32,
}

impl Registry {
    fn draw<const N: usize>(&mut self) -> [u8; N] {
        self.drawn += 1;
        let number = self.drawn.to_be_bytes();
        core::array::from_fn(|at| number.get(at).copied().unwrap_or(0x55))
    }

    fn by_key(&self, key: &PublicKey) -> Option<&Record> {
        self.records.values().find(|record| record.keys.is_some_and(|keys| keys.channel == *key))
    }

    fn grants_of(&self, id: NodeId) -> Vec<Grant> {
        self.grants.iter().filter(|grant| grant.node_id == id).cloned().collect()
    }

    fn grant(&mut self, node_id: NodeId) -> GrantId {
        let id = GrantId::from_bytes(self.draw());
        let state = State::Offered { until: NOW.after(handfast_core::limits::OFFERED_FOR) };
        let (capability, scopes, expires) = (None, ScopesBuf::default(), None);
        self.grants.push(Grant {
            id,
            node_id,
            capability,
            scopes,
            not_before: NOW,
            expires,
            moved: 0,
            state,
            maker: Maker::Operator,
        });
        id
    }

    /// Decides about a request: a grant, or another outcome.
    fn settle(&mut self, asked: &Asked, proven: bool) -> Settled {
        let known = self
            .by_key(&asked.holder.channel)
            .map(|record| (record.node_id, record.standing.clone()));
        match known {
            Some((_, Standing::Revoked { .. })) => Settled::Revoked,
            Some((id, Standing::Paired { .. })) if !proven => match self.grants_of(id).last() {
                Some(grant) => Settled::Offered(id, grant.id),
                None => Settled::Revoked,
            },
            Some((id, _)) if proven => {
                self.put(id, asked, paired());
                Settled::Offered(id, self.grant(id))
            }
            Some(_) => Settled::Waits,
            None => {
                let id = NodeId::from_bytes(self.draw());
                let standing = if proven {
                    paired()
                } else {
                    Standing::Pending { expires: UnixTime::from_secs(u64::MAX) }
                };
                self.put(id, asked, standing);
                if proven { Settled::Offered(id, self.grant(id)) } else { Settled::Waits }
            }
        }
    }

    fn put(&mut self, node_id: NodeId, asked: &Asked, standing: Standing) {
        let label = |text| Name::from(Label::parse(text).unwrap());
        let record = Record {
            node_id,
            name: label(&asked.name),
            room: label("kitchen"),
            address: [127, 0, 0, 1].into(),
            keys: Some(asked.holder),
            asked_at: NOW,
            standing,
        };
        self.records.insert(node_id, record);
    }
}

fn paired() -> Standing {
    Standing::Paired { credential: Credential::Keys, mode: Mode::Full }
}

enum Settled {
    Offered(NodeId, GrantId),
    Waits,
    Revoked,
}

/// A request, for as long as its connection lasts.
struct Asked {
    holder: Holder,
    name: String,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let registry = Registry {
            keys: Arc::new(OwnKeys::generate(&Entropy::from_recorded([0x77; 64]))),
            records: HashMap::new(),
            grants: Vec::new(),
            pins: HashMap::new(),
            code: None,
            live: HashMap::new(),
            waiting: Vec::new(),
            observed: 0,
            drawn: 0,
        };
        let (registry, restart) = (Arc::new(Mutex::new(registry)), Arc::new(Notify::new()));
        Self { registry, restart, start: tokio::time::Instant::now() }
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap()
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.start.elapsed().as_millis() as u64)
    }

    pub(crate) fn key(&self) -> PublicKey {
        *self.registry().keys.channel.public()
    }

    /// Returns the PIN that is shown now.
    pub(crate) fn pin(&self) -> String {
        let registry = self.registry();
        let newest =
            registry.pins.iter().max_by_key(|(id, _)| *id.as_bytes()).expect("a PIN is shown");
        newest.1.1.clone()
    }

    pub(crate) fn mint(&self, selector: &str, secret: &str) {
        self.registry().code = Some((Selector::parse(selector).unwrap(), secret.to_owned()));
    }

    /// Approves the waiting request.
    pub(crate) fn approve(&self) {
        let mut registry = self.registry();
        let pending = |record: &&Record| matches!(record.standing, Standing::Pending { .. });
        let id = registry.records.values().find(pending).expect("somebody waits").node_id;
        registry.records.get_mut(&id).unwrap().standing = paired();
        registry.grant(id);
        for waiting in std::mem::take(&mut registry.waiting) {
            let _ = waiting.send(Notice::Decided);
        }
    }

    /// Revokes every node.
    pub(crate) fn unpair(&self) {
        let mut registry = self.registry();
        for record in registry.records.values_mut() {
            record.standing = Standing::Revoked { cause: Cause::Unpaired };
        }
        for live in registry.live.values() {
            let _ = live.send(Notice::Unpaired);
        }
    }

    /// Ends every connection without a message; durable state stays.
    pub(crate) fn restart(&self) {
        self.registry().live.clear();
        self.restart.notify_waiters();
    }

    pub(crate) fn live(&self) -> usize {
        self.registry().live.len()
    }

    /// Takes the number of received heartbeats.
    pub(crate) fn observed(&self) -> usize {
        std::mem::take(&mut self.registry().observed)
    }

    pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) {
        let (pushes, pushed) = mpsc::unbounded_channel();
        let machine = NativeConnection::accepted(self.now(), Limits::DEFAULT);
        let decoder = FrameDecoder::new([0; STREAM_BUFFER]);
        let restart = self.restart.clone();
        let served = Served { gateway: self, stream, pushes, machine, asked: None, decoder };
        tokio::select! {
            () = served.run(pushed) => {}
            () = restart.notified() => {}
        }
    }
}

struct Served<S> {
    gateway: Gateway,
    stream: S,
    pushes: mpsc::UnboundedSender<Notice>,
    machine: NativeConnection,
    asked: Option<Asked>,
    decoder: FrameDecoder<[u8; STREAM_BUFFER]>,
}

/// The answer that an effect requires.
enum Answer {
    Entered,
    Found(PublicKey),
    Attached(NodeId),
    Ask(Plan),
    Reserved(Option<CodeId>),
    Spent(CodeId),
    Settled(bool),
    Activated(GrantId),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Served<S> {
    async fn run(mut self, mut pushed: mpsc::UnboundedReceiver<Notice>) {
        let mut chunk = [0; 100];
        while !self.machine.is_closed() {
            let due =
                self.machine.deadline().map(|(at, _)| at.since(self.gateway.now()).as_millis());
            let tick =
                tokio::time::sleep(core::time::Duration::from_millis(due.unwrap_or(u64::MAX / 4)));
            tokio::select! {
                () = tick => self.step(Input::Tick(NOW)).await,
                Some(notice) = pushed.recv() => self.step(Input::Push(notice)).await,
                read = self.stream.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => self.step(Input::Closed).await,
                    Ok(length) => self.take(&chunk[..length]).await,
                },
            }
        }
        let _ = self.stream.shutdown().await;
        while matches!(self.stream.read(&mut chunk).await, Ok(1..)) {}
    }

    async fn take(&mut self, mut bytes: &[u8]) {
        while let Some(cut) = self.decoder.read(&mut bytes) {
            let Ok(mut frame) = cut.map(<[u8]>::to_vec) else { continue };
            let keys = self.gateway.registry().keys.clone();
            let entropy = Entropy::from_recorded(self.gateway.registry().draw());
            let around = FrameContext {
                keys: &keys,
                in_force: None,
                setup: &[],
                subscriptions_left: 0,
                now: NOW,
            };
            self.step(Input::Frame { bytes: &mut frame, entropy, around }).await;
        }
    }

    async fn step(&mut self, input: Input<'_>) {
        let mut answer = self.carry_out(input).await;
        while let Some(due) = answer.take() {
            answer = self.answer(due).await;
        }
    }

    async fn answer(&mut self, due: Answer) -> Option<Answer> {
        let known = |gateway: &Gateway, record: Option<Record>| {
            record.map(|record| (gateway.registry().grants_of(record.node_id), record))
        };
        let (found, input);
        match due {
            Answer::Entered => input = Input::Entered(Ok(())),
            Answer::Found(key) => {
                let record = self.gateway.registry().by_key(&key).cloned();
                found = known(&self.gateway, record);
                let known = found.as_ref().map(|(grants, record)| KnownPeer {
                    record,
                    grants,
                    ceiling: None,
                });
                input = Input::Found(
                    Ok(known),
                    NOW,
                    Entropy::from_recorded(self.gateway.registry().draw()),
                );
            }
            Answer::Attached(id) => {
                let record = self.gateway.registry().records.get(&id).cloned();
                found = known(&self.gateway, record);
                let known = found.as_ref().map(|(grants, record)| KnownPeer {
                    record,
                    grants,
                    ceiling: None,
                });
                input = Input::Attached(Ok(known), NOW);
            }
            Answer::Ask(plan) => input = Input::Prepared(self.prepare(plan)),
            Answer::Reserved(id) => {
                let mut registry = self.gateway.registry();
                let left = id.and_then(|id| registry.pins.get_mut(&id)).map(|(_, _, guesses)| {
                    *guesses += 1;
                    GUESSES_PER_CODE.checked_sub(*guesses).ok_or(NoGuess::Locked)
                });
                input = Input::Reserved(left.unwrap_or(Ok(GUESSES_PER_CODE - 1)));
            }
            Answer::Spent(id) => {
                self.gateway.registry().pins.remove(&id);
                input = Input::Spent(Ok(true));
            }
            Answer::Settled(proven) => {
                let asked = self.asked.as_ref().expect("somebody asked");
                let mut registry = self.gateway.registry();
                let verdict = match registry.settle(asked, proven) {
                    Settled::Offered(node_id, id) => {
                        let room = Label::parse("kitchen").unwrap();
                        PairVerdict::Offered(Offer {
                            id,
                            node_id,
                            room,
                            token: None,
                            chain: Some(&[7; 100]),
                            message: None,
                        })
                    }
                    Settled::Waits => {
                        registry.waiting.push(self.pushes.clone());
                        PairVerdict::Waits { expires_in: 600 }
                    }
                    Settled::Revoked => PairVerdict::Refused(PairRefusal::Denied { reason: None }),
                };
                input = Input::Settled(verdict);
            }
            Answer::Activated(id) => {
                let mut registry = self.gateway.registry();
                let grant = registry.grants.iter_mut().find(|grant| grant.id == id);
                let outcome = grant.map_or(Confirmation::NotThere, |grant| {
                    grant.state = State::Active;
                    Confirmation::Active(None)
                });
                input = Input::Activated(Ok(outcome), NOW);
            }
        }
        self.carry_out(input).await
    }

    fn prepare(&mut self, plan: Plan) -> Prepared<'static> {
        let mut registry = self.gateway.registry();
        match plan {
            Plan::RefuseRevoked => Prepared::Refused(PairRefusal::Denied { reason: None }),
            Plan::Settle => Prepared::Settle,
            Plan::ShowPin => {
                let id = CodeId::from_bytes(registry.draw());
                let pin = format!("{:06}", 847_291 + registry.drawn);
                let code = Code::parse(&pin).unwrap();
                let key = self.asked.as_ref().expect("somebody asked").holder.channel;
                registry.pins.insert(id, (key, pin, 0));
                Prepared::Pin { id, code, expires_in: 300, attempts: GUESSES_PER_CODE }
            }
            Plan::FindCode(selector) => {
                let minted = registry.code.as_ref().filter(|(known, _)| *known == selector);
                let code = minted.map(|(_, secret)| Code::parse(secret).unwrap());
                let id = code.is_some().then(|| CodeId::from_bytes([0xcc; 16]));
                Prepared::Code {
                    id,
                    code: code.unwrap_or_else(|| Code::nobodys(&Entropy::from_recorded([1; 32]))),
                }
            }
            Plan::AwaitSetup => Prepared::Setup,
        }
    }

    async fn carry_out(&mut self, input: Input<'_>) -> Option<Answer> {
        let mut scratch = [0; NATIVE_SCRATCH];
        let effects = self.machine.step(self.gateway.now(), input, &mut scratch);
        let mut answer = None;
        for effect in effects {
            let due = match effect {
                Effect::Send(message) => {
                    let mut room = [0; STREAM_FRAME];
                    let frame = encode(message, &mut room).unwrap();
                    let _ = self.stream.write_all(frame).await;
                    continue;
                }
                Effect::Enter(..) => Answer::Entered,
                Effect::Find(key) => Answer::Found(key),
                Effect::Attach(id) => {
                    if let Some(older) =
                        self.gateway.registry().live.insert(id, self.pushes.clone())
                    {
                        let _ = older.send(Notice::Replaced);
                    }
                    Answer::Attached(id)
                }
                Effect::Detach => {
                    let pushes = self.pushes.clone();
                    self.gateway.registry().live.retain(|_, live| !live.same_channel(&pushes));
                    continue;
                }
                Effect::Ask(key, asked) => {
                    let name = asked.request().name.as_str().to_owned();
                    self.asked = Some(Asked {
                        holder: Holder { channel: key, signing: asked.key().copied() },
                        name,
                    });
                    let registry = self.gateway.registry();
                    let standing = registry.by_key(&key).map(|record| &record.standing);
                    Answer::Ask(plan(standing, asked.request().method))
                }
                Effect::Reserve(id) => Answer::Reserved(id),
                Effect::Spend(id) => Answer::Spent(id),
                Effect::Settle(proof) => Answer::Settled(matches!(proof, Proof::Code(..))),
                Effect::Activate(id) => Answer::Activated(id),
                Effect::Observe(_) => {
                    self.gateway.registry().observed += 1;
                    continue;
                }
                Effect::Close(_)
                | Effect::Refund
                | Effect::GuessWrong { .. }
                | Effect::Part(_)
                | Effect::Present(_)
                | Effect::App(_)
                | Effect::Subscribe(_)
                | Effect::Ponged(..)
                | Effect::Renew(_) => continue,
            };
            answer = Some(due);
        }
        answer
    }
}
