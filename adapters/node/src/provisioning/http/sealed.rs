//! The sealed exchanges: one message a POST. Core decides
//! (`handfast_core::flow::provisioning::sealed`); this module holds the bodies meanwhile.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use getrandom::SysRng;
use handfast_core::crypto::x25519::KeyPair;
use handfast_core::flow::provisioning::sealed::ExchangeHandle;
use handfast_core::flow::provisioning::sealed::node::{
    Effect, Input, NoExchange, SealedSetup, SetupSecrets,
};
use handfast_core::limits::SCRATCH;
use handfast_core::wire::provisioning::sealed::Call;
use handfast_core::{Effects, Entropy, Instant, Machine, Source, Span};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::calls::CallAnswer;
use super::{ApiState, detail};
use crate::provisioning::api::RequestForm;
use crate::provisioning::label::NodeLabel;

/// Time between two lines about wrong guesses.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The sealed exchanges of a node, and what its phones have sent and are still to be sent.
pub(in crate::provisioning) struct Exchanges {
    label: NodeLabel,
    started: tokio::time::Instant,
    held: Mutex<Held>,
    changed: Notify,
}

struct Held {
    machine: SealedSetup,
    /// The node's static key; `None` if it could not be read. Nothing is exchanged then.
    channel: Option<Arc<KeyPair>>,
    bodies: HashMap<ExchangeHandle, Zeroizing<Vec<u8>>>,
    answers: HashMap<ExchangeHandle, (u16, Zeroizing<Vec<u8>>)>,
    /// The time of the last line about a wrong guess.
    warned: Option<tokio::time::Instant>,
}

/// What follows from a message.
enum Next {
    Reply(Response),
    /// A whole call, which is carried out without the lock.
    Call(ExchangeHandle, Call, Zeroizing<Vec<u8>>),
}

impl Exchanges {
    pub(in crate::provisioning) fn new(channel: KeyPair, label: NodeLabel) -> Self {
        let held = Held {
            machine: SealedSetup::default(),
            channel: Some(Arc::new(channel)),
            bodies: HashMap::new(),
            answers: HashMap::new(),
            warned: None,
        };
        Self {
            label,
            started: tokio::time::Instant::now(),
            held: Mutex::new(held),
            changed: Notify::new(),
        }
    }

    /// Uses this static key from now on.
    pub(in crate::provisioning) fn renew(&self, channel: Option<KeyPair>) {
        let mut held = self.lock();
        if let (Some(before), Some(now)) = (&held.channel, &channel)
            && before.public() == now.public()
        {
            return;
        }
        held.channel = channel.map(Arc::new);
        let now = self.now();
        let effects = held.machine.step(now, Input::KeyChanged, &mut []);
        let _ = held.carry_out(effects);
        drop(held);
        self.changed.notify_one();
    }

    /// Ends exchanges when their time has come, for as long as the future is polled.
    pub(in crate::provisioning) async fn expire(&self) {
        loop {
            let deadline = self.lock().machine.deadline().map(|(at, _)| at);
            let wait = async {
                match deadline {
                    Some(at) => {
                        let at = self.started + Duration::from_millis(at.as_millis());
                        tokio::time::sleep_until(at).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {
                    let mut held = self.lock();
                    let now = self.now();
                    let effects = held.machine.step(now, Input::Tick, &mut []);
                    let _ = held.carry_out(effects);
                }
                () = self.changed.notified() => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        let elapsed = self.started.elapsed().as_millis();
        Instant::from_millis(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn channel(&self) -> Option<Arc<KeyPair>> {
        self.lock().channel.clone()
    }

    fn secrets<'s>(&'s self, channel: &'s KeyPair) -> SetupSecrets<'s> {
        SetupSecrets { channel, proof: self.label.code() }
    }

    /// Feeds a message of a phone, whose input was made with this key.
    fn step(&self, channel: &Arc<KeyPair>, input: Input<'_>) -> Next {
        let mut scratch = Zeroizing::new([0; SCRATCH]);
        let mut held = self.lock();
        // It may have been replaced since the message was read.
        if !held.channel.as_ref().is_some_and(|now| Arc::ptr_eq(now, channel)) {
            return Next::Reply(refused(NoExchange::Unknown));
        }
        let effects = held.machine.step(self.now(), input, &mut scratch[..]);
        let next = held.carry_out(effects);
        drop(held);
        self.changed.notify_one();
        next
    }

    fn answered(&self, handle: ExchangeHandle, (status, body): CallAnswer) -> Response {
        let body = Zeroizing::new(body.to_string().into_bytes());
        let mut scratch = Zeroizing::new([0; SCRATCH]);
        let mut held = self.lock();
        let status = status.as_u16();
        // Kept ahead of the step, since an exchange that ends with it fetches no rest.
        held.answers.insert(handle, (status, body.clone()));
        let input = Input::Answered { handle, status, rest: &body };
        let effects = held.machine.step(self.now(), input, &mut scratch[..]);
        let reply = match held.carry_out(effects) {
            Next::Reply(reply) => reply,
            Next::Call(..) => refused(NoExchange::Unknown),
        };
        // Nor does one that has ended meanwhile.
        if reply.status() != StatusCode::OK {
            held.answers.remove(&handle);
        }
        reply
    }
}

impl Held {
    fn carry_out(&mut self, effects: Effects<Effect<'_>>) -> Next {
        let mut next = None;
        let mut rest = None;
        for effect in effects {
            match effect {
                Effect::Opened(handle, frame) => {
                    next = Some(Next::Reply(octets([handle.as_bytes(), frame].concat())));
                }
                Effect::Reply(frame) => next = Some(Next::Reply(octets(frame.to_vec()))),
                Effect::Refuse(why) => next = Some(Next::Reply(refused(why))),
                Effect::Call { handle, call, bytes, last } => {
                    let body = self.bodies.entry(handle).or_default();
                    body.extend_from_slice(bytes);
                    if last {
                        let body = self.bodies.remove(&handle).unwrap_or_default();
                        next = Some(Next::Call(handle, call, body));
                    }
                }
                Effect::Rest { handle, from } => rest = Some((handle, usize::from(from))),
                // One line for all that guess, since they may have many addresses.
                Effect::GuessWrong(source) => {
                    if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        self.warned = Some(tokio::time::Instant::now());
                        tracing::warn!("{source} tried a wrong proof of possession");
                    }
                }
                Effect::Ended(handle) => {
                    self.bodies.remove(&handle);
                    self.answers.remove(&handle);
                }
            }
        }
        if let Some((handle, from)) = rest {
            let mut scratch = Zeroizing::new([0; SCRATCH]);
            let (status, body) = self.answers.remove(&handle).unwrap_or_default();
            let rest = body.get(from..).unwrap_or_default();
            let input = Input::Answered { handle, status, rest };
            // The machine takes no time here.
            let effects = self.machine.step(Instant::from_millis(0), input, &mut scratch[..]);
            let sent = self.carry_out(effects);
            self.answers.insert(handle, (status, body));
            return sent;
        }
        next.unwrap_or_else(|| Next::Reply(refused(NoExchange::Unknown)))
    }
}

/// Opens an exchange.
pub(super) async fn open(
    State(api): State<ApiState>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Bytes,
) -> Response {
    let (Ok(handle), Ok(entropy)) =
        (Entropy::try_draw(&mut SysRng), Entropy::try_draw(&mut SysRng))
    else {
        return detail(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random bytes");
    };
    let exchanges = &api.0.exchanges;
    let mut bytes = Zeroizing::new(body.to_vec());
    let entropy = (handle, entropy);
    let Some(channel) = exchanges.channel() else { return no_key() };
    let (source, secrets) = (Source::of(from.ip()), exchanges.secrets(&channel));
    match exchanges.step(&channel, Input::Open { source, bytes: &mut bytes, entropy, secrets }) {
        Next::Reply(reply) => reply,
        Next::Call(..) => refused(NoExchange::Unknown),
    }
}

/// Goes on with an exchange.
pub(super) async fn go_on(
    State(api): State<ApiState>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(handle): Path<String>,
    body: Bytes,
) -> Response {
    let Some(handle) = read_handle(&handle) else { return refused(NoExchange::Unknown) };
    let Ok(entropy) = Entropy::try_draw(&mut SysRng) else {
        return detail(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random bytes");
    };
    let mut bytes = Zeroizing::new(body.to_vec());
    let next = {
        let exchanges = &api.0.exchanges;
        let Some(channel) = exchanges.channel() else { return no_key() };
        let (source, secrets) = (Source::of(from.ip()), exchanges.secrets(&channel));
        let bytes = &mut bytes;
        exchanges.step(&channel, Input::Frame { handle, source, bytes, entropy, secrets })
    };
    match next {
        Next::Reply(reply) => reply,
        Next::Call(handle, call, body) => {
            let answer = carry_out(&api, call, &body).await;
            api.0.exchanges.answered(handle, answer)
        }
    }
}

async fn carry_out(api: &ApiState, call: Call, body: &[u8]) -> CallAnswer {
    match call {
        Call::Info => (StatusCode::OK, api.info()),
        Call::Scan => (StatusCode::OK, api.scan().await),
        Call::Provision => api.provision(body, RequestForm::Sealed).await,
        Call::K2 => api.k2(body).await,
        Call::Status => (StatusCode::OK, api.status()),
        Call::Network => api.network(body).await,
        Call::FactoryReset => (StatusCode::OK, api.factory_reset().await),
    }
}

fn read_handle(text: &str) -> Option<ExchangeHandle> {
    let digits = text.as_bytes();
    let mut bytes = [0; 16];
    if digits.len() != 2 * bytes.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(ExchangeHandle::from_bytes(bytes))
}

fn octets(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

fn no_key() -> Response {
    let words = "The node cannot read its keys; its log says why. Restart it";
    detail(StatusCode::INTERNAL_SERVER_ERROR, words)
}

fn refused(why: NoExchange) -> Response {
    match why {
        NoExchange::Full(wait) => {
            let seconds = wait.max(Span::from_secs(1)).as_millis().div_ceil(1000).to_string();
            let words = "Other phones are setting this node up; try again in a moment";
            ([(RETRY_AFTER, seconds)], detail(StatusCode::SERVICE_UNAVAILABLE, words))
                .into_response()
        }
        NoExchange::Unknown => {
            detail(StatusCode::NOT_FOUND, "This exchange has ended; type the proof again")
        }
        NoExchange::Broken => {
            detail(StatusCode::BAD_REQUEST, "This message is not the next one of its exchange")
        }
    }
}
