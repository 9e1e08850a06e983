//! A gateway in memory: the core's machine for each connection, COBS frames below it, an operator
//! above it.

mod issuing;
mod registry;
mod tasks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use handfast_core::crypto::code::Code;
use handfast_core::crypto::ed25519;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{
    CloneStanding, Confirmation, Effect, FrameContext, Input, KnownPeer, NativeConnection,
    NativeRequest, Offer, PairVerdict, Prepared, Proof,
};
use handfast_core::flow::native::settle::{Plan, plan};
use handfast_core::grant::capability::Holder;
use handfast_core::limits::{
    GUESSES_PER_CODE, Limits, NATIVE_SCRATCH, STREAM_BUFFER, STREAM_FRAME,
};
use handfast_core::registry::ceiling::InForce;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::{GrantId, State};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::{Cause, Record, Standing};
use handfast_core::secret::Secret;
use handfast_core::wire::frame::{FrameDecoder, encode};
use handfast_core::wire::native::link::{
    DispatchAnswer, DispatchProgress, DispatchResult, KnownDispatch, Percent,
};
use handfast_core::wire::native::pair::{PairRefusal, Selector};
use handfast_core::{Entropy, Instant, Label, Machine, NodeId, Span, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use issuing::Issuing;
use registry::{AskedNode, Registry, Settled, paired};
pub(crate) use tasks::{Heard, Sent};
use tasks::{in_words, number, to_node};

/// The wall-clock time at which a gateway starts.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_000_000);

#[derive(Clone)]
pub(crate) struct Gateway {
    registry: Arc<Mutex<Registry>>,
    /// Ends every connection without a message.
    restart: Arc<Notify>,
    start: tokio::time::Instant,
}

impl Gateway {
    /// Sends a message about a task to the one linked node, which may have to attach first.
    pub(crate) async fn send(&self, sent: Sent) {
        loop {
            if let Some(tasks) = self.registry().tasks.values().next() {
                let _ = tasks.send(sent);
                return;
            }
            tokio::time::sleep(core::time::Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn new() -> Self {
        let registry = Registry {
            keys: Arc::new(OwnKeys::generate(&Entropy::from_recorded([0x77; 64]))),
            records: HashMap::new(),
            grants: Vec::new(),
            pins: HashMap::new(),
            code: None,
            live: HashMap::new(),
            waiting: Vec::new(),
            tasks: HashMap::new(),
            heard: Vec::new(),
            ran: Vec::new(),
            offers: None,
            shown: Vec::new(),
            issuing: Issuing::default(),
            observed: 0,
            scopes: None,
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

    /// Returns the time of day.
    pub(crate) fn unix(&self) -> UnixTime {
        NOW.after(Span::from_millis(self.now().as_millis()))
    }

    /// Returns the key that verifies certificates.
    pub(crate) fn signer(&self) -> ed25519::PublicKey {
        self.registry().keys.signing.public()
    }

    /// Takes another key to sign with. The one of the channel stays.
    pub(crate) fn rotate(&self, other: &OwnKeys) {
        let mut registry = self.registry();
        let mut bytes = *registry.keys.to_stored().expose();
        bytes[32..].copy_from_slice(&other.to_stored().expose()[32..]);
        registry.keys = Arc::new(OwnKeys::from_stored(&Secret::new(bytes)));
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
        let (tasks, sent) = mpsc::unbounded_channel();
        let machine = NativeConnection::accepted(self.now(), Limits::DEFAULT);
        let issues = self.registry().issuing.life.is_some();
        let machine = if issues { machine.issuing_certificates() } else { machine };
        let decoder = FrameDecoder::new([0; STREAM_BUFFER]);
        let restart = self.restart.clone();
        let served = Served { gateway: self, stream, pushes, tasks, machine, asked: None, decoder };
        tokio::select! {
            () = served.run(pushed, sent) => {}
            () = restart.notified() => {}
        }
    }
}

struct Served<S> {
    gateway: Gateway,
    stream: S,
    pushes: mpsc::UnboundedSender<Notice>,
    tasks: mpsc::UnboundedSender<Sent>,
    machine: NativeConnection,
    asked: Option<AskedNode>,
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
    Issued,
}

impl<S> Served<S> {
    fn hear(&self, heard: Heard) {
        self.gateway.registry().heard.push(heard);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Served<S> {
    async fn run(
        mut self,
        mut pushed: mpsc::UnboundedReceiver<Notice>,
        mut sent: mpsc::UnboundedReceiver<Sent>,
    ) {
        let mut chunk = [0; 100];
        while !self.machine.is_closed() {
            let due =
                self.machine.deadline().map(|(at, _)| at.since(self.gateway.now()).as_millis());
            let tick =
                tokio::time::sleep(core::time::Duration::from_millis(due.unwrap_or(u64::MAX / 4)));
            tokio::select! {
                () = tick => self.step(Input::Tick(self.gateway.unix())).await,
                Some(notice) = pushed.recv() => self.step(Input::Push(notice)).await,
                Some(sent) = sent.recv() => self.step(to_node(sent)).await,
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
            let scopes = self.gateway.registry().scopes.clone();
            let around = FrameContext {
                keys: &keys,
                older: None,
                in_force: scopes.as_ref().map(InForce::of),
                setup: &[],
                subscriptions_left: 4,
                now: self.gateway.unix(),
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
        let (found, issued, input);
        match due {
            Answer::Entered => input = Input::Entered(Ok(())),
            Answer::Found(key) => {
                let record = self.gateway.registry().by_key(&key).cloned();
                found = known(&self.gateway, record);
                let known = found.as_ref().map(|(grants, record)| KnownPeer {
                    record,
                    grants,
                    ceiling: None,
                    clone: CloneStanding::default(),
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
                let offer = self.gateway.registry().offers;
                let clone = CloneStanding { offer, ..CloneStanding::default() };
                let known = found.as_ref().map(|(grants, record)| KnownPeer {
                    record,
                    grants,
                    ceiling: None,
                    clone,
                });
                input = Input::Attached(Ok(known), NOW);
            }
            Answer::Issued => {
                let unix = self.gateway.unix();
                let mut registry = self.gateway.registry();
                issued = registry.issue(unix);
                let lent = issued.as_ref().map(|bytes| registry.issuing.lend(bytes));
                drop(registry);
                input = Input::Issued(Ok(lent));
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
                Effect::Request(NativeRequest::Enter(..)) => Answer::Entered,
                Effect::Request(NativeRequest::Find(key)) => Answer::Found(key),
                Effect::Request(NativeRequest::Attach(id, mark)) => {
                    self.gateway.registry().shown.push(mark);
                    self.gateway.registry().tasks.insert(id, self.tasks.clone());
                    if let Some(older) =
                        self.gateway.registry().live.insert(id, self.pushes.clone())
                    {
                        let _ = older.send(Notice::Replaced);
                    }
                    Answer::Attached(id)
                }
                Effect::Request(NativeRequest::Detach) => {
                    let pushes = self.pushes.clone();
                    self.gateway.registry().live.retain(|_, live| !live.same_channel(&pushes));
                    let tasks = self.tasks.clone();
                    self.gateway.registry().tasks.retain(|_, of| !of.same_channel(&tasks));
                    continue;
                }
                Effect::Ask(key, asked) => {
                    let name = asked.request().name.as_str().to_owned();
                    self.asked = Some(AskedNode {
                        holder: Holder { channel: key, signing: asked.key().copied() },
                        name,
                    });
                    let registry = self.gateway.registry();
                    let standing = registry.by_key(&key).map(|record| &record.standing);
                    Answer::Ask(plan(standing, asked.request().method))
                }
                Effect::Request(NativeRequest::Reserve(id)) => Answer::Reserved(id),
                Effect::Request(NativeRequest::Spend(id)) => Answer::Spent(id),
                Effect::Settle(proof) => Answer::Settled(matches!(proof, Proof::Code(..))),
                Effect::Request(NativeRequest::Activate(id)) => Answer::Activated(id),
                Effect::Request(NativeRequest::Linked(_)) | Effect::Observe(_) => {
                    self.gateway.registry().observed += 1;
                    continue;
                }
                Effect::Issue(_) => Answer::Issued,
                Effect::Request(NativeRequest::CertificateStored(number)) => {
                    self.gateway.registry().issuing.stored.push(number);
                    continue;
                }
                Effect::Request(NativeRequest::MarkStored(mark)) => {
                    self.hear(Heard::MarkStored(mark));
                    continue;
                }
                Effect::Announced(announce) => {
                    self.hear(Heard::Announced(announce.capability.as_str().to_owned()));
                    continue;
                }
                Effect::Outcome(DispatchResult { id, outcome }) => {
                    self.hear(Heard::Outcome(number(id), in_words(&outcome)));
                    continue;
                }
                Effect::Progress(DispatchProgress { id, percent, .. }) => {
                    self.hear(Heard::Progress(number(id), percent.map(Percent::get)));
                    continue;
                }
                Effect::Answered(DispatchAnswer { id, known, .. }) => {
                    let known = match known {
                        KnownDispatch::Done(outcome) => in_words(&outcome.outcome()),
                        other => format!("{other:?}"),
                    };
                    self.hear(Heard::Answered(number(id), known));
                    continue;
                }
                Effect::Request(NativeRequest::KnowsAddresses) => {
                    self.hear(Heard::KnowsAddresses);
                    continue;
                }
                Effect::Request(NativeRequest::NotDispatched(_)) => {
                    self.hear(Heard::NotDispatched);
                    continue;
                }
                Effect::Close(_)
                | Effect::Request(
                    NativeRequest::Refund
                    | NativeRequest::GuessWrong { .. }
                    | NativeRequest::KnowsKey(_)
                    | NativeRequest::Ponged(..)
                    | NativeRequest::FindNode(_)
                    | NativeRequest::Name
                    | NativeRequest::Addresses,
                )
                | Effect::Part(_)
                | Effect::Present(_) => continue,
                Effect::App(app) => {
                    let (address, bytes) = (app.address.as_str(), app.bytes.as_bytes());
                    self.hear(Heard::App(address.to_owned(), bytes.to_vec()));
                    continue;
                }
                Effect::Subscribe(pattern) => {
                    self.hear(Heard::Subscribed(pattern.as_str().to_owned()));
                    continue;
                }
                Effect::Request(NativeRequest::Renew(_)) => {
                    self.hear(Heard::RenewalAsked);
                    continue;
                }
            };
            answer = Some(due);
        }
        answer
    }
}
