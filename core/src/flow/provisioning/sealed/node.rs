//! The node's side of the sealed exchanges.
//!
//! ```text
//! message 1 ─▶ AwaitThird ─▶ AwaitYa ─▶ AwaitTa ─right─▶ Proven ─last part─▶ Calling
//!                               ▲──────── wrong ─┘          ▲──last part── Answering ◀┘
//! ```

use super::ExchangeHandle;
use super::guesses::Guesses;
use crate::crypto::code::Code;
use crate::crypto::cpace::{self, AwaitingTa, CodeOrigin, Inputs};
use crate::crypto::noise::{Prologue, xx};
use crate::crypto::x25519::KeyPair;
use crate::entropy::Entropy;
use crate::id::Source;
use crate::limits::{
    PROVISIONING_BODY_BYTES, SEALED_EXCHANGES, SEALED_PART_BYTES, SEALED_PROVE_WITHIN,
    SEALED_SILENCE,
};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant, Span};
use crate::wire::provisioning::sealed::{Call, FromPhone, FromSetupNode, PartBytes};

/// What the node proves and demands: its static key, and the proof on its label.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SetupSecrets<'b> {
    /// The node's static key pair.
    pub channel: &'b KeyPair,
    /// The proof of possession.
    pub proof: &'b Code,
}

/// An event for the node's exchanges.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// The deadline has come.
    Tick,
    /// A phone opens an exchange.
    Open {
        /// Where the phone is.
        source: Source,
        /// The first message.
        bytes: &'b mut [u8],
        /// Entropy for the handle and the handshake.
        entropy: (Entropy<16>, Entropy<32>),
        /// The node's secrets.
        secrets: SetupSecrets<'b>,
    },
    /// A phone goes on.
    Frame {
        /// The exchange.
        handle: ExchangeHandle,
        /// Where the phone is.
        source: Source,
        /// The next message.
        bytes: &'b mut [u8],
        /// Entropy for CPace.
        entropy: Entropy<32>,
        /// The node's secrets.
        secrets: SetupSecrets<'b>,
    },
    /// The answer to a call, or to [`Effect::Rest`].
    Answered {
        /// The exchange.
        handle: ExchangeHandle,
        /// The status, as HTTP has it.
        status: u16,
        /// The body that remains to be sent.
        rest: &'b [u8],
    },
    /// The node's static key is another one from now on.
    KeyChanged,
}

/// A request to the adapter.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Answer the phone with the handle and this message.
    Opened(ExchangeHandle, &'b [u8]),
    /// Answer the phone with this message, which is empty after the handshake.
    Reply(&'b [u8]),
    /// Refuse the phone.
    Refuse(NoExchange),
    /// Take this part of a call's body. After the last one, carry out the call and answer with
    /// [`Input::Answered`]; the phone waits for it.
    Call {
        /// The exchange.
        handle: ExchangeHandle,
        /// The call.
        call: Call,
        /// The part.
        bytes: &'b [u8],
        /// `true` for the last part.
        last: bool,
    },
    /// Answer with the rest of the body from this byte on.
    Rest {
        /// The exchange.
        handle: ExchangeHandle,
        /// The number of bytes that were sent.
        from: u16,
    },
    /// A guess was wrong.
    GuessWrong(Source),
    /// The exchange has ended; what is kept for it goes.
    Ended(ExchangeHandle),
}

/// The reason for refusing a phone's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoExchange {
    /// Other phones have all places; one may be free after this time.
    Full(Span),
    /// The exchange does not exist, or has ended.
    Unknown,
    /// The message is not the phone's next one. The exchange has ended.
    Broken,
}

/// The sealed exchanges of a node.
#[derive(Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SealedSetup {
    places: [Option<Exchange>; SEALED_EXCHANGES],
    guesses: Guesses,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Exchange {
    handle: ExchangeHandle,
    source: Source,
    opened: Instant,
    heard: Instant,
    /// The static key with which it was opened is gone: it ends with the answer to its call.
    ends_with_answer: bool,
    stage: Stage,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(clippy::large_enum_variant, reason = "there is no allocator to box a state with")]
enum Stage {
    AwaitThird(xx::Answered),
    AwaitYa(Channel),
    AwaitTa(Channel, AwaitingTa),
    /// Takes parts of a body; so many bytes of it have come.
    Proven(Channel, u16),
    Calling(Channel),
    /// The answer was sent up to this byte.
    Answering(Channel, u16),
}

const _: () = assert!(size_of::<SealedSetup>() <= 1280);

impl Exchange {
    const fn is_proven(&self) -> bool {
        match self.stage {
            Stage::AwaitThird(_) | Stage::AwaitYa(_) | Stage::AwaitTa(..) => false,
            Stage::Proven(..) | Stage::Calling(_) | Stage::Answering(..) => true,
        }
    }

    /// Returns `true` while the phone waits for an answer, or for its rest.
    const fn is_calling(&self) -> bool {
        match self.stage {
            Stage::Calling(_) | Stage::Answering(..) => true,
            Stage::AwaitThird(_) | Stage::AwaitYa(_) | Stage::AwaitTa(..) | Stage::Proven(..) => {
                false
            }
        }
    }

    fn ends(&self) -> Instant {
        self.heard.after(SEALED_SILENCE)
    }

    /// Returns the time from which a newcomer may take this place. A phone that has proven itself
    /// keeps it; another one has to be quick.
    fn yields_at(&self) -> Instant {
        if self.is_proven() { self.ends() } else { self.opened.after(SEALED_PROVE_WITHIN) }
    }
}

impl Machine for SealedSetup {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let out = OutgoingBuffer::new(scratch);
        match input {
            Input::Tick => self.on_tick(now),
            Input::Open { source, bytes, entropy, secrets } => {
                self.on_open(now, source, bytes, &entropy, secrets, out)
            }
            Input::Frame { handle, source, bytes, entropy, secrets } => {
                // A silent exchange is over even if no tick has said so yet.
                let Some(exchange) = self.take(handle).filter(|held| now < held.ends()) else {
                    return Effects::of([Effect::Refuse(NoExchange::Unknown)]);
                };
                // A guess counts for the address that it comes from, not for the one that opened.
                let exchange = Exchange { source, heard: now, ..exchange };
                self.on_frame(now, exchange, bytes, &entropy, secrets, out)
            }
            Input::Answered { handle, status, rest } => match self.take(handle) {
                Some(exchange) => self.on_answered(exchange, status, rest, out),
                None => Effects::of([Effect::Refuse(NoExchange::Unknown)]),
            },
            Input::KeyChanged => self.on_key_changed(),
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        let ends = self.places.iter().flatten().map(Exchange::ends).min()?;
        Some((ends, DeadlineReason::Answer))
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn awaits_answer(&self) -> bool {
        // Each phone waits for its own answer; the others go on meanwhile.
        false
    }

    fn state_name(&self) -> &'static str {
        match self.places.iter().flatten().count() {
            0 => "Free",
            SEALED_EXCHANGES => "Full",
            _ => "Some",
        }
    }
}

impl SealedSetup {
    fn take(&mut self, handle: ExchangeHandle) -> Option<Exchange> {
        let is_it = |place: &&mut Option<Exchange>| {
            place.as_ref().is_some_and(|exchange| exchange.handle == handle)
        };
        self.places.iter_mut().find(is_it)?.take()
    }

    /// Puts an exchange back. The place it was taken from is still free.
    fn keep(&mut self, exchange: Exchange) {
        if let Some(place) = self.places.iter_mut().find(|place| place.is_none()) {
            *place = Some(exchange);
        }
    }

    fn on_tick<'b>(&mut self, now: Instant) -> Effects<Effect<'b>> {
        let mut ended = self.places.iter_mut().map(|place| {
            let over = place.take_if(|exchange| exchange.ends() <= now)?;
            Some(Effect::Ended(over.handle))
        });
        Effects::flatten([ended.next().flatten(), ended.next().flatten()])
    }

    /// Ends all exchanges, so that no phone talks to a node that it has proven by an earlier key.
    /// The phone that waits for an answer gets it first: its call may be why the key changed.
    fn on_key_changed<'b>(&mut self) -> Effects<Effect<'b>> {
        let mut ended = self.places.iter_mut().map(|place| match place {
            Some(exchange) if exchange.is_calling() => {
                exchange.ends_with_answer = true;
                None
            }
            Some(_) | None => place.take().map(|exchange| Effect::Ended(exchange.handle)),
        });
        Effects::flatten([ended.next().flatten(), ended.next().flatten()])
    }

    fn on_open<'b>(
        &mut self,
        now: Instant,
        source: Source,
        bytes: &mut [u8],
        entropy: &(Entropy<16>, Entropy<32>),
        secrets: SetupSecrets<'_>,
        mut out: OutgoingBuffer<'b>,
    ) -> Effects<Effect<'b>> {
        // An address has one place, so that one phone cannot take all.
        let own = self
            .places
            .iter()
            .position(|place| place.as_ref().is_some_and(|exchange| exchange.source == source));
        let free = || self.places.iter().position(Option::is_none);
        let yields = self
            .places
            .iter()
            .enumerate()
            .filter_map(|(at, place)| Some((place.as_ref()?.yields_at(), at)));
        let at = match (own.or_else(free), yields.min()) {
            (Some(at), _) => at,
            (None, Some((since, at))) if since <= now => at,
            (None, Some((since, _))) => {
                return Effects::of([Effect::Refuse(NoExchange::Full(since.since(now)))]);
            }
            // There are places, so one of the above applies.
            (None, None) => return Effects::of([Effect::Refuse(NoExchange::Unknown)]),
        };
        let responder = xx::Responder::read_first(Prologue::of_provisioning(), bytes);
        let answered = responder.ok().and_then(|(responder, _)| {
            out.put(|place| {
                let written = responder.write_second(secrets.channel, &entropy.1, &[], place);
                let (answered, message) = written.ok()?;
                Some((answered, message.len()))
            })
        });
        // A stranger's bad message displaces nobody.
        let Some((answered, message)) = answered else {
            return Effects::of([Effect::Refuse(NoExchange::Broken)]);
        };
        let handle = ExchangeHandle::new(&entropy.0);
        let stage = Stage::AwaitThird(answered);
        let (opened, heard, ends_with_answer) = (now, now, false);
        let exchange = Exchange { handle, source, opened, heard, ends_with_answer, stage };
        let displaced = self.places.get_mut(at).and_then(|place| place.replace(exchange));
        Effects::flatten([
            displaced.map(|exchange| Effect::Ended(exchange.handle)),
            Some(Effect::Opened(handle, message)),
        ])
    }

    fn on_frame<'b>(
        &mut self,
        now: Instant,
        exchange: Exchange,
        bytes: &'b mut [u8],
        entropy: &Entropy<32>,
        secrets: SetupSecrets<'_>,
        mut out: OutgoingBuffer<'b>,
    ) -> Effects<Effect<'b>> {
        let Exchange { handle, source, opened, heard, ends_with_answer, stage } = exchange;
        let with = |stage| Exchange { handle, source, opened, heard, ends_with_answer, stage };
        let mut channel = match stage {
            Stage::AwaitThird(answered) => {
                return match answered.read_third(bytes) {
                    Ok((established, _)) => {
                        self.keep(with(Stage::AwaitYa(Channel::new(established))));
                        Effects::of([Effect::Reply(&[])])
                    }
                    Err(_) => broken(handle),
                };
            }
            // The phone has to wait for the answer to its call; its message is not read.
            stage @ Stage::Calling(_) => {
                self.keep(with(stage));
                return Effects::of([Effect::Refuse(NoExchange::Broken)]);
            }
            Stage::AwaitYa(channel) => (channel, Due::Ya),
            Stage::AwaitTa(channel, cpace) => (channel, Due::Ta(cpace)),
            Stage::Proven(channel, taken) => (channel, Due::Part(taken)),
            Stage::Answering(channel, from) => (channel, Due::Next(from)),
        };
        // A frame that does not open and one that is no message end the exchange alike.
        let message = channel.0.open(bytes).ok().and_then(|text| FromPhone::parse(text).ok());
        match (channel, message) {
            ((mut channel, Due::Ya), Some(FromPhone::Ya(element))) => {
                let (peer, node) = (&channel.peer, secrets.channel.public());
                let method = CodeOrigin::Possession;
                let inputs = Inputs::new(secrets.proof, &channel.hash, peer, node, method);
                match cpace::Responder::answer(&inputs, entropy, &element) {
                    Ok((cpace, element)) => {
                        match channel.seal(&FromSetupNode::Yb(element), &mut out) {
                            Some(frame) => {
                                self.keep(with(Stage::AwaitTa(channel, cpace)));
                                Effects::of([Effect::Reply(frame)])
                            }
                            None => broken(handle),
                        }
                    }
                    Err(_) => broken(handle),
                }
            }
            ((mut channel, Due::Ta(cpace)), Some(FromPhone::Ta(tag))) => {
                // While the source has to wait, nothing is compared, so haste gains nothing.
                let (answer, right) = match self.guesses.wait(source, now) {
                    Some(wait) => (FromSetupNode::Later { retry_in: seconds(wait) }, None),
                    None => match cpace.verify(&tag) {
                        Ok((_, answer)) => {
                            self.guesses.right(source);
                            (FromSetupNode::Tb(answer), Some(true))
                        }
                        Err(_) => {
                            let wait = self.guesses.wrong(source, now);
                            (FromSetupNode::Wrong { retry_in: seconds(wait) }, Some(false))
                        }
                    },
                };
                let Some(frame) = channel.seal(&answer, &mut out) else { return broken(handle) };
                let stage = match right {
                    Some(true) => Stage::Proven(channel, 0),
                    // The channel stays after a wrong guess, so the next needs no new handshake.
                    Some(false) | None => Stage::AwaitYa(channel),
                };
                self.keep(with(stage));
                let wrong = (right == Some(false)).then_some(Effect::GuessWrong(source));
                Effects::flatten([wrong, Some(Effect::Reply(frame))])
            }
            ((mut channel, Due::Part(taken)), Some(FromPhone::Part { call, last, bytes })) => {
                let bytes = bytes.as_bytes();
                let taken = usize::from(taken).saturating_add(bytes.len());
                // The bound holds for all parts together, or many would fill the node's memory.
                let most = PROVISIONING_BODY_BYTES;
                let Some(taken) = u16::try_from(taken).ok().filter(|_| taken <= most) else {
                    return broken(handle);
                };
                let part = Effect::Call { handle, call, bytes, last };
                if last {
                    self.keep(with(Stage::Calling(channel)));
                    return Effects::of([part]);
                }
                match channel.seal(&FromSetupNode::More, &mut out) {
                    Some(frame) => {
                        self.keep(with(Stage::Proven(channel, taken)));
                        Effects::of([part, Effect::Reply(frame)])
                    }
                    None => broken(handle),
                }
            }
            ((channel, Due::Next(from)), Some(FromPhone::Next)) => {
                self.keep(with(Stage::Answering(channel, from)));
                Effects::of([Effect::Rest { handle, from }])
            }
            (
                (_, Due::Ya | Due::Ta(_) | Due::Part(_) | Due::Next(_)),
                Some(
                    FromPhone::Ya(_) | FromPhone::Ta(_) | FromPhone::Part { .. } | FromPhone::Next,
                )
                | None,
            ) => broken(handle),
        }
    }

    fn on_answered<'b>(
        &mut self,
        exchange: Exchange,
        status: u16,
        rest: &[u8],
        mut out: OutgoingBuffer<'b>,
    ) -> Effects<Effect<'b>> {
        let handle = exchange.handle;
        let (mut channel, from) = match exchange.stage {
            Stage::Calling(channel) => (channel, 0),
            Stage::Answering(channel, from) => (channel, from),
            stage @ (Stage::AwaitThird(_)
            | Stage::AwaitYa(_)
            | Stage::AwaitTa(..)
            | Stage::Proven(..)) => {
                self.keep(Exchange { stage, ..exchange });
                return Effects::none();
            }
        };
        let part = rest.get(..rest.len().min(SEALED_PART_BYTES)).unwrap_or_default();
        let last = part.len() == rest.len();
        let sent = usize::from(from).saturating_add(part.len());
        let answer = PartBytes::new(part)
            .map(|bytes| FromSetupNode::Answer { status, last, bytes })
            .and_then(|answer| channel.seal(&answer, &mut out));
        let (Some(frame), Ok(sent)) = (answer, u16::try_from(sent)) else { return broken(handle) };
        if last && exchange.ends_with_answer {
            return Effects::of([Effect::Reply(frame), Effect::Ended(handle)]);
        }
        let stage = if last { Stage::Proven(channel, 0) } else { Stage::Answering(channel, sent) };
        self.keep(Exchange { stage, ..exchange });
        Effects::of([Effect::Reply(frame)])
    }
}

/// What a phone owes.
enum Due {
    Ya,
    Ta(AwaitingTa),
    Part(u16),
    Next(u16),
}

/// Ends an exchange: its channel is lost.
fn broken<'b>(handle: ExchangeHandle) -> Effects<Effect<'b>> {
    Effects::of([Effect::Ended(handle), Effect::Refuse(NoExchange::Broken)])
}

fn seconds(wait: Span) -> u16 {
    u16::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u16::MAX)
}
