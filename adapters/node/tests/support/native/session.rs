//! One connection of the tests' gateway.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use futures_util::{SinkExt, StreamExt};
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{
    self as core, CloneStanding, Effect, Input, Issue, IssuedCertificate, KnownPeer,
    NativeConnection, NativeRequest, Offer, Peer, Proof, RenewKind,
};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::token;
use handfast_core::limits::{
    CHAIN_BYTES, Limits, NATIVE_SCRATCH, STREAM_BUFFER, STREAM_FRAME, SUBSCRIPTIONS,
};
use handfast_core::link::dispatch::Known;
use handfast_core::registry::ceiling::InForce;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::frame::{FrameDecoder, encode};
use handfast_core::wire::native::link::{
    App, Dispatch, DispatchAnswer, DispatchOutcome, DispatchProgress, DispatchResult, Percent,
};
use handfast_core::wire::native::pair::Method;
use handfast_core::wire::native::part::{Assembled, Assembly, Object};
use handfast_core::wire::native::{CapabilityName, Payload};
use handfast_core::wire::path::{Action as Does, Address, Pattern};
use handfast_core::{Instant, Label, Machine, NodeId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::registry::{Asking, Made, Prepared, Verdict, code, now};
use super::{Push, Seen, Shared, Task, dispatch_id, number_of, random};

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) enum Wire {
    WebSocket(Box<WebSocketStream<Box<dyn Stream>>>),
    Stream {
        stream: Box<dyn Stream>,
        decoder: Box<FrameDecoder<[u8; STREAM_BUFFER]>>,
        ready: VecDeque<Vec<u8>>,
    },
}

impl Wire {
    pub(crate) fn stream(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let decoder = Box::new(FrameDecoder::new([0; STREAM_BUFFER]));
        Self::Stream { stream: Box::new(stream), decoder, ready: VecDeque::new() }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::WebSocket(socket) => loop {
                match socket.next().await? {
                    Ok(Message::Binary(bytes)) => return Some(bytes.to_vec()),
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                }
            },
            Self::Stream { stream, decoder, ready } => loop {
                if let Some(frame) = ready.pop_front() {
                    return Some(frame);
                }
                let mut bytes = [0; 512];
                let length = stream.read(&mut bytes).await.ok().filter(|length| *length > 0)?;
                let mut rest = &bytes[..length];
                while let Some(frame) = decoder.read(&mut rest) {
                    ready.extend(frame.map(<[u8]>::to_vec));
                }
            },
        }
    }

    async fn send(&mut self, frame: &[u8]) {
        match self {
            Self::WebSocket(socket) => drop(socket.send(Message::binary(frame.to_vec())).await),
            Self::Stream { stream, .. } => {
                let mut room = [0; STREAM_FRAME];
                let _ = stream.write_all(encode(frame, &mut room).unwrap()).await;
            }
        }
    }

    pub(crate) async fn end(&mut self) {
        match self {
            Self::WebSocket(socket) => {
                let _ = WebSocketStream::close(socket, None).await;
                while let Some(Ok(_)) = socket.next().await {}
            }
            Self::Stream { stream, .. } => drop(stream.shutdown().await),
        }
    }
}

enum Fed {
    Frame(Vec<u8>),
    Entered,
    Issue(Option<Vec<u8>>),
    Name,
    Dispatch(Task),
    Cancel(u64),
    Query(u64),
    Found(PublicKey),
    FoundNode(NodeId),
    Attached,
    Prepared(Prepared),
    Reserved,
    Spent,
    Settle(bool),
    Activate(GrantId),
    Presented(Option<Vec<u8>>),
    Renew(bool),
    Deliver(String, Vec<u8>),
    Push(Notice),
    Tick,
    Shutdown,
    Closed,
}

/// State of a connection besides its machine.
#[derive(Default)]
struct Around {
    asking: Option<Asking>,
    node: Option<NodeId>,
    scopes: Option<ScopesBuf>,
    patterns: Vec<String>,
    csr: Option<Vec<u8>>,
    assembly: Assembly,
    chain: Vec<u8>,
    out: Vec<Vec<u8>>,
    close: bool,
    granted: bool,
}

/// Carries out an effect and returns the answer, if it has one.
fn carry_out(
    effect: Effect<'_>,
    peer: Option<PublicKey>,
    around: &mut Around,
    shared: &Shared,
) -> Option<Fed> {
    match effect {
        Effect::Send(frame) => around.out.push(frame.to_vec()),
        Effect::Close(_) => around.close = true,
        Effect::Request(NativeRequest::Enter(..)) => return Some(Fed::Entered),
        Effect::Request(NativeRequest::Find(key)) => return Some(Fed::Found(key)),
        Effect::Request(NativeRequest::FindNode(id)) => return Some(Fed::FoundNode(id)),
        Effect::Request(NativeRequest::Attach(id, shown)) => {
            shared.saw(Seen::Showed(shown));
            around.node = Some(id);
            return Some(Fed::Attached);
        }
        Effect::Ask(key, asked) => {
            let (request, signing) = (asked.request(), asked.key().copied());
            around.csr = request.csr.map(|csr| csr.as_bytes().to_vec());
            let asking = Asking {
                key,
                signing,
                name: request.name.as_str().to_owned(),
                method: request.method,
            };
            let prepared = shared.registry.lock().unwrap().prepare(&asking);
            match &prepared {
                Prepared::Pin(_, pin, _) => shared.saw(Seen::Pin(pin.clone())),
                Prepared::Settle if asking.method == Method::Approval => {
                    shared.saw(Seen::Asked(handfast_core::crypto::fingerprint::Fingerprint::of(
                        &key,
                    )));
                }
                _ => {}
            }
            around.asking = Some(asking);
            return Some(Fed::Prepared(prepared));
        }
        Effect::Request(NativeRequest::Reserve(_)) => return Some(Fed::Reserved),
        Effect::Request(NativeRequest::Spend(_)) => return Some(Fed::Spent),
        Effect::Settle(proof) => return Some(Fed::Settle(matches!(proof, Proof::Code(..)))),
        Effect::Request(NativeRequest::Activate(grant)) => return Some(Fed::Activate(grant)),
        Effect::Part(part) => {
            let mut buffer = [0; CHAIN_BYTES];
            buffer[..around.chain.len()].copy_from_slice(&around.chain);
            let filled = around.chain.len() + part.as_bytes().len();
            match std::mem::take(&mut around.assembly).take(&part, &mut buffer).unwrap() {
                Assembled::More(assembly) => around.assembly = assembly,
                Assembled::Whole { .. } => {}
            }
            around.chain = buffer[..filled].to_vec();
        }
        Effect::Present(bytes) => {
            let chain = bytes.map_or_else(|| std::mem::take(&mut around.chain), <[u8]>::to_vec);
            let found = peer.and_then(|peer| {
                shared.registry.lock().unwrap().presented(&shared.keys, &peer, &chain)
            });
            around.scopes = found.map(|(_, scopes)| scopes);
            return Some(Fed::Presented(Some(chain)));
        }
        Effect::App(app) => {
            shared.saw(Seen::App(app.address.as_str().to_owned(), app.bytes.as_bytes().to_vec()));
            let matches = |pattern: &String| Pattern::parse(pattern).unwrap().matches(&app.address);
            if around.patterns.iter().any(matches) {
                return Some(Fed::Deliver(
                    app.address.as_str().to_owned(),
                    app.bytes.as_bytes().to_vec(),
                ));
            }
        }
        Effect::Subscribe(pattern) => {
            around.patterns.push(pattern.as_str().to_owned());
            shared.saw(Seen::Subscribed(pattern.as_str().to_owned()));
        }
        Effect::Request(NativeRequest::Renew(renew)) => {
            return Some(Fed::Renew(renew == RenewKind::Token));
        }
        Effect::Request(
            NativeRequest::Refund
            | NativeRequest::GuessWrong { .. }
            | NativeRequest::Detach
            | NativeRequest::Linked(_)
            | NativeRequest::KnowsKey(_)
            | NativeRequest::Addresses
            | NativeRequest::KnowsAddresses
            | NativeRequest::Ponged(..),
        )
        | Effect::Observe(_) => {}
        Effect::Request(NativeRequest::CertificateStored(number)) => {
            shared.saw(Seen::CertificateStored(number));
        }
        Effect::Request(NativeRequest::MarkStored(mark)) => shared.saw(Seen::MarkStored(mark)),
        Effect::Request(NativeRequest::Name) => return Some(Fed::Name),
        Effect::Announced(announce) => {
            shared.saw(Seen::Announced(announce.capability.as_str().to_owned()));
        }
        Effect::Outcome(DispatchResult { id, outcome }) => {
            let outcome = match outcome {
                DispatchOutcome::Succeeded(result) => {
                    format!("Succeeded {}", String::from_utf8_lossy(result.as_bytes()))
                }
                other => format!("{other:?}"),
            };
            shared.saw(Seen::Outcome(number_of(&id), outcome));
        }
        Effect::Progress(DispatchProgress { id, percent, note }) => shared.saw(Seen::Progress(
            number_of(&id),
            percent.map(Percent::get),
            note.map(|note| note.as_str().to_owned()),
        )),
        Effect::Answered(DispatchAnswer { number, known, .. }) => {
            shared.saw(Seen::Answered(number, format!("{:?}", Known::of(&known))));
        }
        Effect::Request(NativeRequest::NotDispatched(id)) => {
            shared.saw(Seen::NotDispatched(number_of(&id)));
        }
        Effect::Issue(Issue::Asked) => return Some(Fed::Issue(around.csr.take())),
        Effect::Issue(Issue::Renewal(renewal)) => {
            return Some(Fed::Issue(renewal.csr().map(|csr| csr.as_bytes().to_vec())));
        }
    }
    None
}

fn step(
    machine: &mut NativeConnection,
    at: Instant,
    fed: Fed,
    around: &mut Around,
    shared: &Shared,
) -> Vec<Fed> {
    let mut scratch = [0; NATIVE_SCRATCH];
    let peer = machine.peer_key().copied();
    let (mut frame, known, made, held, text, bytes, issued, task);
    let scopes = around.scopes.clone();
    let mut registry = shared.registry.lock().unwrap();
    let input = match fed {
        Fed::Frame(came) => {
            frame = came;
            let left = SUBSCRIPTIONS - around.patterns.len();
            let around = core::FrameContext {
                keys: &shared.keys,
                older: None,
                in_force: scopes.as_ref().map(InForce::of),
                setup: &[],
                subscriptions_left: left,
                now: now(),
            };
            Input::Frame { bytes: &mut frame, entropy: random(), around }
        }
        Fed::Entered => Input::Entered(Ok(())),
        Fed::Issue(csr) => {
            issued = csr.and_then(|csr| registry.certificate(&csr));
            Input::Issued(Ok(issued.as_ref().map(|(number, bytes)| IssuedCertificate {
                number: *number,
                object: Object::Certificates,
                bytes,
            })))
        }
        Fed::Name => Input::Name(Label::parse("The gateway of the tests").unwrap()),
        Fed::Dispatch(what) => {
            task = what;
            let dispatch = Dispatch {
                id: dispatch_id(task.number),
                number: task.number,
                capability: CapabilityName::parse(task.capability).unwrap(),
                remaining_ms: task.remaining_ms,
                max_payload: 864,
                input: Payload::new(task.input.as_bytes()).unwrap(),
            };
            Input::Dispatch(dispatch, now())
        }
        Fed::Cancel(number) => Input::Cancel(dispatch_id(number)),
        Fed::Query(number) => Input::Query(dispatch_id(number), number),
        Fed::Found(_) | Fed::FoundNode(_) => {
            known = match fed {
                Fed::Found(key) => registry.known(&key),
                Fed::FoundNode(id) => registry.node(id),
                _ => None,
            };
            Input::Found(
                Ok(known.as_ref().map(|(record, grants)| KnownPeer {
                    record,
                    grants,
                    ceiling: None,
                    clone: CloneStanding::default(),
                })),
                now(),
                random(),
            )
        }
        Fed::Attached => {
            known = peer.and_then(|peer| registry.known(&peer));
            around.scopes =
                around.node.and_then(|id| registry.current(id)).map(|grant| grant.scopes);
            let mark = registry.mark;
            Input::Attached(
                Ok(known.as_ref().map(|(record, grants)| KnownPeer {
                    record,
                    grants,
                    ceiling: None,
                    clone: CloneStanding { offer: mark, ..CloneStanding::default() },
                })),
                now(),
            )
        }
        Fed::Prepared(Prepared::Refused(refusal)) => {
            Input::Prepared(core::Prepared::Refused(refusal))
        }
        Fed::Prepared(Prepared::Pin(id, pin, attempts)) => Input::Prepared(core::Prepared::Pin {
            id,
            code: code(Some(&pin)),
            expires_in: 300,
            attempts,
        }),
        Fed::Prepared(Prepared::Code(id, secret)) => {
            Input::Prepared(core::Prepared::Code { id, code: code(secret.as_deref()) })
        }
        Fed::Prepared(Prepared::Settle) => Input::Prepared(core::Prepared::Settle),
        Fed::Reserved => Input::Reserved(registry.reserve()),
        Fed::Spent => Input::Spent(Ok(true)),
        Fed::Settle(proven) => {
            let asking = around.asking.clone().expect("it asked");
            held = registry.settle(&shared.keys, &asking, proven);
            Input::Settled(match &held {
                Verdict::Waits => core::PairVerdict::Waits { expires_in: 300 },
                Verdict::Refused(refusal) => core::PairVerdict::Refused(*refusal),
                Verdict::Offered(made) => {
                    shared.saw(Seen::Offered(made.node_id));
                    around.granted = true;
                    around.node = Some(made.node_id);
                    let Made { id, node_id, .. } = *made;
                    let chain = Some(&made.chain[..]);
                    core::PairVerdict::Offered(Offer {
                        id,
                        node_id,
                        room: Label::UNKNOWN,
                        token: None,
                        chain,
                        message: None,
                    })
                }
            })
        }
        Fed::Activate(grant) => {
            let confirmation = around.node.map(|id| (id, registry.activate(id, grant)));
            around.scopes =
                around.node.and_then(|id| registry.current(id)).map(|grant| grant.scopes);
            if let Some((id, core::Confirmation::Active(_))) = confirmation {
                shared.saw(Seen::Activated(id));
            }
            Input::Activated(
                Ok(confirmation.map_or(core::Confirmation::NotThere, |(_, found)| found)),
                now(),
            )
        }
        Fed::Presented(chain) => {
            let found = peer
                .zip(chain)
                .and_then(|(peer, chain)| registry.presented(&shared.keys, &peer, &chain));
            Input::Presented(found.map(|(until, _)| until), now())
        }
        Fed::Renew(bearer) => {
            made = peer.and_then(|peer| registry.renew(&shared.keys, &peer));
            if let Some(made) = &made {
                shared.saw(Seen::Renewed(made.node_id));
            }
            Input::Renewed(made.as_ref().map(|made| Offer {
                id: made.id,
                node_id: made.node_id,
                room: Label::UNKNOWN,
                // A few random bytes form no valid token.
                token: if bearer {
                    std::iter::repeat_with(|| token::issue(&random())).flatten().next()
                } else {
                    None
                },
                chain: (!bearer).then_some(&made.chain[..]),
                message: None,
            }))
        }
        Fed::Deliver(to, what) => {
            (text, bytes) = (to, what);
            let (address, bytes) = (
                Address::parse(&text).unwrap(),
                handfast_core::wire::native::Payload::new(&bytes).unwrap(),
            );
            Input::Deliver(App { action: Does::Write, address, bytes }, now())
        }
        Fed::Push(notice) => Input::Push(notice),
        Fed::Tick => Input::Tick(now()),
        Fed::Shutdown => Input::Shutdown,
        Fed::Closed => Input::Closed,
    };
    drop(registry);
    let before = machine.linked();
    let effects = machine.step(at, input, &mut scratch);
    match (before, machine.linked()) {
        (None, Some(Peer::Node(id))) => shared.saw(Seen::Linked(id)),
        (None, Some(Peer::Delegate(_))) => shared.saw(Seen::Delegate),
        _ => {}
    }
    let peer = machine.peer_key().copied();
    effects.into_iter().filter_map(|effect| carry_out(effect, peer, around, shared)).collect()
}

pub(crate) async fn serve(wire: &mut Wire, shared: &Shared) {
    serve_from(wire, shared, NativeConnection::accepted(Instant::from_millis(0), Limits::DEFAULT))
        .await;
}

/// Serves a connection over TLS whose certificate belongs to this node.
pub(crate) async fn serve_tls(wire: &mut Wire, shared: &Shared, node: NodeId, exporter: [u8; 32]) {
    let exporter = HandshakeHash::from_recorded(exporter);
    let machine =
        NativeConnection::over_tls(Instant::from_millis(0), Limits::DEFAULT, Some(node), exporter);
    serve_from(wire, shared, machine).await;
}

async fn serve_from(wire: &mut Wire, shared: &Shared, mut machine: NativeConnection) {
    let started = tokio::time::Instant::now();
    let clock = || Instant::from_millis(started.elapsed().as_millis() as u64);
    let mut pushes = shared.pushes.subscribe();
    if shared.registry.lock().unwrap().authority.is_some() {
        machine = machine.issuing_certificates();
    }
    let (mut around, mut results) = (Around::default(), VecDeque::new());
    while !machine.is_closed() {
        let until = machine.deadline().map_or(u64::from(u32::MAX), |(at, _)| at.as_millis());
        let fed = match results.pop_front() {
            Some(fed) => fed,
            None if around.granted && shared.deaf.load(Ordering::SeqCst) => {
                std::future::pending().await
            }
            None => tokio::select! {
                frame = wire.next() => frame.map_or(Fed::Closed, Fed::Frame),
                Ok(push) = pushes.recv() => match push {
                    Push::Shutdown => Fed::Shutdown,
                    Push::Decided => Fed::Push(Notice::Decided),
                    Push::Notice(id, notice) if machine.linked() == Some(Peer::Node(id)) => Fed::Push(notice),
                    Push::Dispatch(task) if machine.linked().is_some() => Fed::Dispatch(task),
                    Push::Cancel(number) if machine.linked().is_some() => Fed::Cancel(number),
                    Push::Query(number) if machine.linked().is_some() => Fed::Query(number),
                    Push::Notice(..) | Push::Dispatch(_) | Push::Cancel(_) | Push::Query(_) => continue,
                },
                () = tokio::time::sleep_until(started + std::time::Duration::from_millis(until.min(u64::from(u32::MAX)))) => Fed::Tick,
            },
        };
        let answers = step(&mut machine, clock(), fed, &mut around, shared);
        for frame in around.out.drain(..) {
            wire.send(&frame).await;
        }
        results.extend(answers);
    }
    shared.saw(Seen::Gone(around.node));
}
