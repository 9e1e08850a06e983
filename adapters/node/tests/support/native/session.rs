//! One connection of the tests' gateway.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use futures_util::{SinkExt, StreamExt};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{
    self as core, Effect, Input, KnownPeer, NativeConnection, Offer, Peer, Proof,
};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::token;
use handfast_core::limits::{
    CHAIN_BYTES, Limits, NATIVE_SCRATCH, STREAM_BUFFER, STREAM_FRAME, SUBSCRIPTIONS,
};
use handfast_core::registry::ceiling::InForce;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::frame::{FrameDecoder, encode};
use handfast_core::wire::native::link::{App, Renew};
use handfast_core::wire::native::pair::Method;
use handfast_core::wire::native::part::{Assembled, Assembly};
use handfast_core::wire::path::{Action as Does, Address, Pattern};
use handfast_core::{Instant, Label, Machine, NodeId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::registry::{Asking, Made, Prepared, Verdict, code, now};
use super::{Push, Seen, Shared, random};

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) enum Wire {
    WebSocket(Box<WebSocketStream<TcpStream>>),
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
    Found(PublicKey),
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
        Effect::Enter(..) => return Some(Fed::Entered),
        Effect::Find(key) => return Some(Fed::Found(key)),
        Effect::Attach(id) => {
            around.node = Some(id);
            return Some(Fed::Attached);
        }
        Effect::Ask(key, asked) => {
            let (request, signing) = (asked.request(), asked.key().copied());
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
        Effect::Reserve(_) => return Some(Fed::Reserved),
        Effect::Spend(_) => return Some(Fed::Spent),
        Effect::Settle(proof) => return Some(Fed::Settle(matches!(proof, Proof::Code(..)))),
        Effect::Activate(grant) => return Some(Fed::Activate(grant)),
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
        Effect::Renew(renew) => return Some(Fed::Renew(renew == Renew::Token)),
        Effect::Refund
        | Effect::GuessWrong { .. }
        | Effect::Detach
        | Effect::Observe(_)
        | Effect::Ponged(..) => {}
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
    let (mut frame, known, made, held, text, bytes);
    let scopes = around.scopes.clone();
    let mut registry = shared.registry.lock().unwrap();
    let input = match fed {
        Fed::Frame(came) => {
            frame = came;
            let left = SUBSCRIPTIONS - around.patterns.len();
            let around = core::FrameContext {
                keys: &shared.keys,
                in_force: scopes.as_ref().map(InForce::of),
                setup: &[],
                subscriptions_left: left,
                now: now(),
            };
            Input::Frame { bytes: &mut frame, entropy: random(), around }
        }
        Fed::Entered => Input::Entered(Ok(())),
        Fed::Found(key) => {
            known = registry.known(&key);
            Input::Found(
                Ok(known.as_ref().map(|(record, grants)| KnownPeer {
                    record,
                    grants,
                    ceiling: None,
                })),
                now(),
                random(),
            )
        }
        Fed::Attached => {
            known = peer.and_then(|peer| registry.known(&peer));
            around.scopes =
                around.node.and_then(|id| registry.current(id)).map(|grant| grant.scopes);
            Input::Attached(
                Ok(known.as_ref().map(|(record, grants)| KnownPeer {
                    record,
                    grants,
                    ceiling: None,
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
    let started = tokio::time::Instant::now();
    let clock = || Instant::from_millis(started.elapsed().as_millis() as u64);
    let mut pushes = shared.pushes.subscribe();
    let mut machine = NativeConnection::accepted(clock(), Limits::DEFAULT);
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
                    Push::Notice(..) => continue,
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
