//! A gateway in memory: the core's machine for each connection, tungstenite below it, an operator
//! above it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{SinkExt, StreamExt};
use handfast_core::flow::registration::gateway::{
    Effect, Input, Lookup, RegistrationConnection, RegistrationRequest,
};
use handfast_core::grant::token::{self, HashJob, Hashed, ProofKey, ProofTag, TokenHash};
use handfast_core::limits::{Limits, SCRATCH};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::wire::token::Token;
use handfast_core::{Entropy, Instant, Machine, Name, NodeId, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

#[derive(Clone)]
pub(crate) struct Gateway {
    registry: Arc<Mutex<Registry>>,
    freeze: Arc<Notify>,
    start: tokio::time::Instant,
}

struct Registry {
    records: HashMap<NodeId, Record>,
    live: HashMap<NodeId, mpsc::UnboundedSender<Notice>>,
    /// Tokens that the operator wrote down.
    noted: HashMap<NodeId, String>,
    observed: Vec<String>,
    goodbyes: usize,
    drawn: u8,
}

fn key() -> ProofKey {
    ProofKey::new(&Entropy::from_recorded([7; 32]))
}

impl Registry {
    /// Treats every token as proven before, so that no test waits for PBKDF2.
    fn tag(&self, id: NodeId) -> Option<ProofTag> {
        let token = Token::parse(self.noted.get(&id)?)?;
        Some(key().tag(id, self.records.get(&id)?.standing.token()?, &token))
    }
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let registry = Registry {
            records: HashMap::new(),
            live: HashMap::new(),
            noted: HashMap::new(),
            observed: Vec::new(),
            goodbyes: 0,
            drawn: 0,
        };
        Self {
            registry: Arc::new(Mutex::new(registry)),
            freeze: Arc::new(Notify::new()),
            start: tokio::time::Instant::now(),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap()
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.start.elapsed().as_millis() as u64)
    }

    /// Approves a node and returns its token; returns the noted one if it was approved before.
    pub(crate) fn approve(&self, id: NodeId) -> Token {
        let mut registry = self.registry();
        let drawn = registry.drawn;
        let noted = registry.noted.entry(id).or_insert_with(|| {
            token::issue(&Entropy::from_recorded([drawn; 32])).unwrap().expose().into()
        });
        let token = Token::parse(noted).unwrap();
        let hash = TokenHash::from_bytes([drawn; 32]);
        if matches!(registry.records[&id].standing, Standing::Pending { .. }) {
            registry.records.get_mut(&id).unwrap().standing =
                Standing::Paired { credential: Credential::Token(hash), mode: Mode::Full };
        }
        token
    }

    pub(crate) fn mute(&self, id: NodeId) {
        let mut registry = self.registry();
        let standing = &mut registry.records.get_mut(&id).unwrap().standing;
        if let Standing::Paired { credential, mode } = standing.clone() {
            *standing = Standing::Muted { credential, restore: mode };
        }
        let _ = registry.live[&id].send(Notice::Muted);
    }

    pub(crate) fn unmute(&self, id: NodeId) {
        let mut registry = self.registry();
        let standing = &mut registry.records.get_mut(&id).unwrap().standing;
        if let Standing::Muted { credential, restore } = standing.clone() {
            *standing = Standing::Paired { credential, mode: restore };
        }
    }

    /// Makes every open connection silent, like a pulled cable.
    pub(crate) fn freeze(&self) {
        self.freeze.notify_waiters();
    }

    pub(crate) fn nodes(&self) -> usize {
        self.registry().records.len()
    }

    pub(crate) fn live(&self) -> usize {
        self.registry().live.len()
    }

    /// Returns the number of connections that the node closed in order.
    pub(crate) fn goodbyes(&self) -> usize {
        self.registry().goodbyes
    }

    /// Takes the received heartbeats.
    pub(crate) fn observed(&self) -> Vec<String> {
        std::mem::take(&mut self.registry().observed)
    }

    pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) {
        let Ok(socket) = accept_async(stream).await else { return };
        let (pushes, pushed) = mpsc::unbounded_channel();
        let machine = RegistrationConnection::accepted(self.now(), Limits::DEFAULT);
        Served { gateway: self, socket, pushes, machine }.run(pushed).await;
    }
}

struct Served<S> {
    gateway: Gateway,
    socket: WebSocketStream<S>,
    pushes: mpsc::UnboundedSender<Notice>,
    machine: RegistrationConnection,
}

/// The answer that an effect requires.
enum Answer {
    Admitted(NodeId),
    Loaded(NodeId),
    Hashed(HashJob),
    Attached(NodeId),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Served<S> {
    async fn run(mut self, mut pushed: mpsc::UnboundedReceiver<Notice>) {
        let freeze = self.gateway.freeze.clone();
        while !self.machine.is_closed() {
            let due =
                self.machine.deadline().map(|(at, _)| at.since(self.gateway.now()).as_millis());
            let tick =
                tokio::time::sleep(core::time::Duration::from_millis(due.unwrap_or(u64::MAX / 4)));
            tokio::select! {
                () = freeze.notified() => return core::future::pending().await,
                () = tick => self.step(Input::Tick).await,
                Some(notice) = pushed.recv() => self.step(Input::Push(notice)).await,
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.step(Input::Text(text.as_str())).await,
                    Some(Ok(Message::Binary(bytes))) => self.step(Input::Binary(&bytes)).await,
                    Some(Ok(Message::Pong(_))) => self.step(Input::Pong).await,
                    Some(Ok(Message::Close(_))) => self.gateway.registry().goodbyes += 1,
                    Some(Ok(Message::Ping(_) | Message::Frame(_))) => self.socket.flush().await.unwrap_or(()),
                    Some(Err(_)) | None => self.step(Input::Closed).await,
                },
            }
        }
        while self.socket.next().await.is_some_and(|message| message.is_ok()) {}
    }

    async fn step(&mut self, input: Input<'_>) {
        let mut answers = self.carry_out(input).await;
        while let Some(answer) = answers.pop() {
            let (record, kept) = match &answer {
                Answer::Admitted(id)
                | Answer::Loaded(id)
                | Answer::Attached(id)
                | Answer::Hashed(HashJob { node_id: id, .. }) => {
                    let registry = self.gateway.registry();
                    (registry.records.get(id).cloned(), registry.tag(*id))
                }
            };
            let key = key();
            let input = match answer {
                Answer::Admitted(id) => Input::Admitted(Ok(id)),
                Answer::Loaded(_) => {
                    Input::Loaded(Lookup { record: Ok(record.as_ref()), kept, key: &key })
                }
                // Right tokens are recognised without hashing, so this one is wrong.
                Answer::Hashed(job) => Input::Hashed(Ok(Hashed {
                    token: job.token,
                    hash: TokenHash::from_bytes([0xee; 32]),
                })),
                Answer::Attached(_) => Input::Attached(Ok(record.as_ref())),
            };
            answers.extend(self.carry_out(input).await);
        }
    }

    async fn carry_out(&mut self, input: Input<'_>) -> Vec<Answer> {
        let mut scratch = [0; SCRATCH];
        let effects = self.machine.step(self.gateway.now(), input, &mut scratch);
        let mut answers = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(text) => drop(self.socket.send(Message::text(text)).await),
                Effect::Ping => drop(self.socket.send(Message::Ping(Vec::new().into())).await),
                Effect::Close(close) => {
                    let frame = CloseFrame { code: close.code.into(), reason: close.reason.into() };
                    drop(self.socket.close(Some(frame)).await);
                }
                Effect::Admit(request) => {
                    let mut registry = self.gateway.registry();
                    let waits = |record: &&Record| {
                        record.name.as_str() == request.name.as_str()
                            && matches!(record.standing, Standing::Pending { .. })
                    };
                    let known = registry.records.values().find(waits).map(|record| record.node_id);
                    let id = known.unwrap_or_else(|| {
                        registry.drawn += 1;
                        let node_id = NodeId::new(&Entropy::from_recorded([registry.drawn; 16]));
                        let record = Record {
                            node_id,
                            name: Name::from(request.name),
                            room: Name::from(request.room),
                            address: [127, 0, 0, 1].into(),
                            keys: None,
                            asked_at: UnixTime::from_secs(0),
                            asked: Asked::by(AskMethod::Token),
                            standing: Standing::Pending { expires: UnixTime::from_secs(3600) },
                        };
                        registry.records.insert(node_id, record);
                        node_id
                    });
                    answers.push(Answer::Admitted(id));
                }
                Effect::Request(RegistrationRequest::Load(id)) => answers.push(Answer::Loaded(id)),
                Effect::Request(RegistrationRequest::Hash(job, _)) => {
                    answers.push(Answer::Hashed(job));
                }
                Effect::Request(RegistrationRequest::Attach(id)) => {
                    if let Some(older) =
                        self.gateway.registry().live.insert(id, self.pushes.clone())
                    {
                        let _ = older.send(Notice::Replaced);
                    }
                    answers.push(Answer::Attached(id));
                }
                Effect::Request(RegistrationRequest::Detach(id)) => {
                    drop(self.gateway.registry().live.remove(&id));
                }
                Effect::Request(RegistrationRequest::Linked(_)) => {
                    self.gateway.registry().observed.push(String::new());
                }
                Effect::Observe(_, heartbeat) => {
                    let noise =
                        heartbeat.noise_level.map_or("", |number| number.as_str()).to_owned();
                    self.gateway.registry().observed.push(noise);
                }
                Effect::Request(
                    RegistrationRequest::CountFailure
                    | RegistrationRequest::Refund
                    | RegistrationRequest::Confirm(..)
                    | RegistrationRequest::Remember(..),
                )
                | Effect::ApplicationText(..)
                | Effect::ApplicationBinary(..) => {}
            }
        }
        answers
    }
}
