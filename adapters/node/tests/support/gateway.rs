//! A gateway of core's `RegistrationConnection`, tokio-tungstenite and a map.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use handfast_core::flow::registration::gateway::{
    Effect, Input, Lookup, RegistrationConnection, RegistrationRequest,
};
use handfast_core::grant::token::{self, HashJob, Hashed, ProofKey};
use handfast_core::limits::{Limits, SCRATCH};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::wire::close::Close;
use handfast_core::{Entropy, Instant, Machine, NodeId, Refusal, UnixTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use super::soon;

/// An observation of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Asked(NodeId),
    Heartbeat(NodeId, Option<bool>),
    /// The first frame of a connection was refused, or the gateway ended a link.
    Sent(String),
    /// The node closed with this code, or without one.
    Closed(Option<u16>),
}

struct Shared {
    records: Mutex<HashMap<NodeId, Record>>,
    key: ProofKey,
    seen: mpsc::UnboundedSender<Seen>,
    pushes: broadcast::Sender<Push>,
}

#[derive(Clone, Copy)]
enum Push {
    Notice(NodeId, Notice),
    Shutdown,
}

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    seen: mpsc::UnboundedReceiver<Seen>,
    accepting: tokio::task::JoinHandle<()>,
}

fn random<const N: usize>() -> Entropy<N> {
    Entropy::try_draw(&mut getrandom::SysRng).expect("the system has randomness")
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let (seen_in, seen) = mpsc::unbounded_channel();
        let key = ProofKey::new(&random());
        let shared = Arc::new(Shared {
            records: Mutex::default(),
            key,
            seen: seen_in,
            pushes: broadcast::channel(16).0,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, accepting: tokio::spawn(accept(listener, shared.clone())), shared, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/pair?of=tests", self.address)
    }

    /// Stops like a gateway that is being restarted.
    pub(crate) async fn stop(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        let _ = self.shared.pushes.send(Push::Shutdown);
    }

    /// Starts again on the same port with the same registry.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accepting = tokio::spawn(accept(listener, self.shared.clone()));
    }

    /// Approves a node, and returns its token.
    pub(crate) async fn approve(&self, id: NodeId) -> String {
        let token = loop {
            if let Some(token) = token::issue(&random()) {
                break token;
            }
        };
        let text = token.expose().to_owned();
        let hashed = hash(HashJob { node_id: id, token }).await;
        self.set(
            id,
            Standing::Paired { credential: Credential::Token(hashed.hash), mode: Mode::Full },
        );
        text
    }

    pub(crate) fn mute(&self, id: NodeId) {
        let hash =
            self.shared.records.lock().unwrap()[&id].standing.token().expect("is paired").clone();
        self.set(id, Standing::Muted { credential: Credential::Token(hash), restore: Mode::Full });
        let _ = self.shared.pushes.send(Push::Notice(id, Notice::Muted));
    }

    fn set(&self, id: NodeId, standing: Standing) {
        self.shared.records.lock().unwrap().get_mut(&id).expect("is known").standing = standing;
    }

    pub(crate) async fn next(&mut self) -> Seen {
        soon("something for the gateway to see", self.seen.recv()).await.expect("the gateway lives")
    }

    pub(crate) async fn until(&mut self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let seen = self.next().await;
            if wanted(&seen) {
                return seen;
            }
        }
    }

    pub(crate) async fn asked(&mut self) -> NodeId {
        match self.until(|seen| matches!(seen, Seen::Asked(_))).await {
            Seen::Asked(id) => id,
            other => panic!("{other:?}"),
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, from)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                serve(socket, from.ip(), &shared).await;
            }
        });
    }
}

async fn hash(job: HashJob) -> Hashed {
    tokio::task::spawn_blocking(move || job.run()).await.expect("hashing does not panic")
}

enum Fed {
    Text(String),
    Binary(Vec<u8>),
    Pong,
    Tick,
    Closed,
    Shutdown,
    Push(Notice),
    Admitted(NodeId),
    Loaded(NodeId),
    Hashed(Hashed),
    Attached(NodeId),
}

enum Action {
    Send(String),
    Ping,
    Close(Close),
    Admit(Box<Record>),
    Load(NodeId),
    Hash(HashJob),
    Attach(NodeId),
    Saw(Seen),
    Nothing,
}

fn action(effect: Effect<'_>, from: IpAddr) -> Action {
    match effect {
        Effect::Send(text) => Action::Send(text.to_owned()),
        Effect::Ping => Action::Ping,
        Effect::Close(close) => Action::Close(close),
        Effect::Admit(request) => Action::Admit(Box::new(Record {
            node_id: NodeId::new(&random()),
            name: request.name.into(),
            room: request.room.into(),
            address: from,
            keys: None,
            asked_at: UnixTime::default(),
            asked: Asked::by(AskMethod::Token),
            standing: Standing::Pending { expires: UnixTime::from_secs(u64::MAX) },
        })),
        Effect::Request(RegistrationRequest::Load(id)) => Action::Load(id),
        Effect::Request(RegistrationRequest::Hash(job, _)) => Action::Hash(job),
        Effect::Request(RegistrationRequest::Attach(id)) => Action::Attach(id),
        Effect::Observe(id, heartbeat) if heartbeat.wake_word_fp.is_some() => {
            Action::Saw(Seen::Heartbeat(id, heartbeat.occupancy))
        }
        Effect::Request(
            RegistrationRequest::Linked(_)
            | RegistrationRequest::CountFailure
            | RegistrationRequest::Refund
            | RegistrationRequest::Confirm(..)
            | RegistrationRequest::Remember(..)
            | RegistrationRequest::Detach(_),
        )
        | Effect::Observe(..)
        | Effect::ApplicationText(..)
        | Effect::ApplicationBinary(..) => Action::Nothing,
    }
}

fn step(
    node: &mut RegistrationConnection,
    now: Instant,
    fed: Fed,
    shared: &Shared,
    from: IpAddr,
) -> Vec<Action> {
    let record = |id| shared.records.lock().unwrap().get(&id).cloned();
    let mut scratch = [0; SCRATCH];
    let found;
    let input = match &fed {
        Fed::Text(text) => Input::Text(text),
        Fed::Binary(bytes) => Input::Binary(bytes),
        Fed::Pong => Input::Pong,
        Fed::Tick => Input::Tick,
        Fed::Closed => Input::Closed,
        Fed::Shutdown => Input::Shutdown,
        Fed::Push(notice) => Input::Push(*notice),
        Fed::Admitted(id) => Input::Admitted(Ok(*id)),
        Fed::Loaded(id) => {
            found = record(*id);
            Input::Loaded(Lookup { record: Ok(found.as_ref()), kept: None, key: &shared.key })
        }
        Fed::Attached(id) => {
            found = record(*id);
            Input::Attached(Ok(found.as_ref()))
        }
        Fed::Hashed(_) => match fed {
            Fed::Hashed(hashed) => Input::Hashed(Ok(hashed)),
            _ => Input::Hashed(Err(Refusal::StoreFailed)),
        },
    };
    let effects = node.step(now, input, &mut scratch);
    effects.into_iter().map(|effect| action(effect, from)).collect()
}

async fn serve(mut socket: WebSocketStream<TcpStream>, from: IpAddr, shared: &Shared) {
    let started = tokio::time::Instant::now();
    let clock = || Instant::from_millis(started.elapsed().as_millis() as u64);
    let mut pushes = shared.pushes.subscribe();
    let mut node = RegistrationConnection::accepted(clock(), Limits::DEFAULT);
    let mut results = VecDeque::new();
    loop {
        let fed = match results.pop_front() {
            Some(fed) => fed,
            None if node.is_closed() => break,
            None => tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => Fed::Text(text.as_str().to_owned()),
                    Some(Ok(Message::Binary(bytes))) => Fed::Binary(bytes.to_vec()),
                    Some(Ok(Message::Pong(_))) => Fed::Pong,
                    Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(frame))) => {
                        let _ = shared.seen.send(Seen::Closed(frame.map(|f| f.code.into())));
                        Fed::Closed
                    }
                    Some(Err(_)) | None => {
                        let _ = shared.seen.send(Seen::Closed(None));
                        Fed::Closed
                    }
                },
                Ok(push) = pushes.recv() => match push {
                    Push::Shutdown => Fed::Shutdown,
                    Push::Notice(id, notice) if node.linked() == Some(id) => Fed::Push(notice),
                    Push::Notice(..) => continue,
                },
                () = tokio::time::sleep_until(started + std::time::Duration::from_millis(
                    node.deadline().map_or(u64::from(u32::MAX), |(at, _)| at.as_millis()))) => Fed::Tick,
            },
        };
        let actions: Vec<Action> = step(&mut node, clock(), fed, shared, from);
        for action in actions {
            match action {
                Action::Send(text) => {
                    let _ = shared.seen.send(Seen::Sent(text.clone()));
                    let _ = socket.send(Message::text(text)).await;
                }
                Action::Ping => drop(socket.send(Message::Ping(Default::default())).await),
                Action::Close(close) => {
                    let frame = CloseFrame { code: close.code.into(), reason: close.reason.into() };
                    let _ = socket.close(Some(frame)).await;
                }
                Action::Admit(record) => {
                    let id = record.node_id;
                    shared.records.lock().unwrap().insert(id, *record);
                    let _ = shared.seen.send(Seen::Asked(id));
                    results.push_back(Fed::Admitted(id));
                }
                Action::Load(id) => results.push_back(Fed::Loaded(id)),
                Action::Hash(job) => results.push_back(Fed::Hashed(hash(job).await)),
                Action::Attach(id) => results.push_back(Fed::Attached(id)),
                Action::Saw(seen) => drop(shared.seen.send(seen)),
                Action::Nothing => {}
            }
        }
    }
    // The node's part of the closing handshake.
    while let Some(Ok(_)) = socket.next().await {}
}
