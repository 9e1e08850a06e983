//! The phone's side of a sealed exchange: one message out, its answer in.

use super::ExchangeHandle;
use crate::crypto::code::Code;
use crate::crypto::cpace::{self, AwaitingTb, CodeOrigin, Inputs};
use crate::crypto::noise::{Prologue, xx};
use crate::crypto::x25519::{KeyPair, PublicKey};
use crate::entropy::Entropy;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant};
use crate::wire::provisioning::sealed::{Call, FromPhone, FromSetupNode, PartBytes};

/// An event for a phone.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// The phone's owner typed the proof: open an exchange. An earlier one is given up.
    Start {
        /// The proof of possession.
        proof: Code,
        /// Entropy for the phone's two keys of this exchange.
        entropy: [Entropy<32>; 2],
    },
    /// The node's answer to the last [`Effect::Post`], with entropy for CPace. The answer to the
    /// first one begins with the handle.
    Answer(&'b mut [u8], Entropy<32>),
    /// Send this part of a call's body. A call begins once the phone is proven and the one before
    /// is answered.
    Part {
        /// The call.
        call: Call,
        /// The part.
        bytes: PartBytes<'b>,
        /// `true` for the last part.
        last: bool,
    },
    /// Give the exchange up.
    Stop,
}

/// A request to the adapter.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Send this to the node: to open an exchange, or to go on with the one of this handle. The
    /// answer is [`Input::Answer`].
    Post(Option<ExchangeHandle>, &'b [u8]),
    /// The node, by its static key, and the phone have proven the same proof to each other.
    Proven(PublicKey),
    /// The proof is wrong; another guess is compared after this number of seconds.
    Wrong(u16),
    /// The proof was not compared, because too many before it were wrong; after this number of
    /// seconds it is.
    Later(u16),
    /// The next part of the body may follow.
    More,
    /// A part of the answer to the call.
    Answer {
        /// The status, as HTTP has it.
        status: u16,
        /// The part.
        bytes: &'b [u8],
        /// `true` for the last part.
        last: bool,
    },
    /// The exchange is lost: the answer was not the node's next message, or the node does not know
    /// the proof. Nothing was revealed to it.
    Lost,
}

/// A phone that provisions a node.
#[derive(Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SealedPhone(State);

#[derive(Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(clippy::large_enum_variant, reason = "there is no allocator to box a state with")]
enum State {
    #[default]
    Idle,
    AwaitSecond {
        proof: Code,
        own: KeyPair,
        noise: xx::Initiator,
    },
    AwaitEntered {
        proof: Code,
        own: PublicKey,
        sealed: Sealed,
    },
    AwaitYb {
        cpace: cpace::Initiator,
        sealed: Sealed,
    },
    AwaitTb {
        cpace: AwaitingTb,
        sealed: Sealed,
    },
    Proven(Sealed),
    AwaitMore(Sealed),
    AwaitAnswer(Sealed),
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Sealed {
    handle: ExchangeHandle,
    channel: Channel,
}

const _: () = assert!(size_of::<SealedPhone>() <= 512);

impl Machine for SealedPhone {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        _now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let out = OutgoingBuffer::new(scratch);
        match input {
            Input::Start { proof, entropy } => self.start(proof, &entropy, out),
            Input::Answer(bytes, entropy) => self.on_answer(bytes, &entropy, out),
            Input::Part { call, bytes, last } => match core::mem::take(&mut self.0) {
                State::Proven(sealed) => {
                    let next = if last { State::AwaitAnswer } else { State::AwaitMore };
                    self.post(sealed, &FromPhone::Part { call, last, bytes }, out, next)
                }
                // Out of turn; the adapter's mistake changes nothing.
                state @ (State::Idle
                | State::AwaitSecond { .. }
                | State::AwaitEntered { .. }
                | State::AwaitYb { .. }
                | State::AwaitTb { .. }
                | State::AwaitMore(_)
                | State::AwaitAnswer(_)) => {
                    self.0 = state;
                    Effects::none()
                }
            },
            Input::Stop => {
                self.0 = State::Idle;
                Effects::none()
            }
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        // The adapter bounds each of its requests.
        None
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn awaits_answer(&self) -> bool {
        match &self.0 {
            State::Idle | State::Proven(_) => false,
            State::AwaitSecond { .. }
            | State::AwaitEntered { .. }
            | State::AwaitYb { .. }
            | State::AwaitTb { .. }
            | State::AwaitMore(_)
            | State::AwaitAnswer(_) => true,
        }
    }

    fn state_name(&self) -> &'static str {
        match &self.0 {
            State::Idle => "Idle",
            State::AwaitSecond { .. } => "AwaitSecond",
            State::AwaitEntered { .. } => "AwaitEntered",
            State::AwaitYb { .. } => "AwaitYb",
            State::AwaitTb { .. } => "AwaitTb",
            State::Proven(_) => "Proven",
            State::AwaitMore(_) => "AwaitMore",
            State::AwaitAnswer(_) => "AwaitAnswer",
        }
    }
}

impl SealedPhone {
    fn start<'b>(
        &mut self,
        proof: Code,
        [own, ephemeral]: &[Entropy<32>; 2],
        mut out: OutgoingBuffer<'b>,
    ) -> Effects<Effect<'b>> {
        let started = out.put(|place| {
            let prologue = Prologue::of_provisioning();
            let (noise, message) = xx::Initiator::start(prologue, ephemeral, &[], place).ok()?;
            Some((noise, message.len()))
        });
        let Some((noise, message)) = started else { return self.lost() };
        self.0 = State::AwaitSecond { proof, own: KeyPair::generate(own), noise };
        Effects::of([Effect::Post(None, message)])
    }

    fn on_answer<'b>(
        &mut self,
        bytes: &'b mut [u8],
        entropy: &Entropy<32>,
        mut out: OutgoingBuffer<'b>,
    ) -> Effects<Effect<'b>> {
        match core::mem::take(&mut self.0) {
            State::AwaitSecond { proof, own, noise } => {
                let Some((handle, second)) = bytes.split_first_chunk_mut() else {
                    return self.lost();
                };
                let handle = ExchangeHandle::from_bytes(*handle);
                let Ok((introduced, _)) = noise.read_second(second) else { return self.lost() };
                let third = out.put(|place| {
                    let (established, message) = introduced.write_third(&own, &[], place).ok()?;
                    Some((established, message.len()))
                });
                let Some((established, message)) = third else { return self.lost() };
                let sealed = Sealed { handle, channel: Channel::new(established) };
                self.0 = State::AwaitEntered { proof, own: *own.public(), sealed };
                Effects::of([Effect::Post(Some(handle), message)])
            }
            State::AwaitEntered { proof, own, sealed } => {
                if !bytes.is_empty() {
                    return self.lost();
                }
                let Sealed { channel, .. } = &sealed;
                let method = CodeOrigin::Possession;
                let inputs = Inputs::new(&proof, &channel.hash, &own, &channel.peer, method);
                match cpace::Initiator::start(&inputs, entropy) {
                    Ok((cpace, element)) => {
                        self.post(sealed, &FromPhone::Ya(element), out, |sealed| State::AwaitYb {
                            cpace,
                            sealed,
                        })
                    }
                    Err(_) => self.lost(),
                }
            }
            State::AwaitYb { cpace, mut sealed } => {
                let Some(FromSetupNode::Yb(element)) = sealed.read(bytes) else {
                    return self.lost();
                };
                match cpace.confirm(&element) {
                    Ok((cpace, tag)) => self.post(sealed, &FromPhone::Ta(tag), out, |sealed| {
                        State::AwaitTb { cpace, sealed }
                    }),
                    Err(_) => self.lost(),
                }
            }
            State::AwaitTb { cpace, mut sealed } => match sealed.read(bytes) {
                Some(FromSetupNode::Tb(tag)) => match cpace.verify(&tag) {
                    Ok(_) => {
                        let peer = sealed.channel.peer;
                        self.0 = State::Proven(sealed);
                        Effects::of([Effect::Proven(peer)])
                    }
                    Err(_) => self.lost(),
                },
                // Another proof opens an exchange of its own, so this one is dropped.
                Some(FromSetupNode::Wrong { retry_in }) => Effects::of([Effect::Wrong(retry_in)]),
                Some(FromSetupNode::Later { retry_in }) => Effects::of([Effect::Later(retry_in)]),
                Some(FromSetupNode::Yb(_) | FromSetupNode::More | FromSetupNode::Answer { .. })
                | None => self.lost(),
            },
            State::AwaitMore(mut sealed) => match sealed.read(bytes) {
                Some(FromSetupNode::More) => {
                    self.0 = State::Proven(sealed);
                    Effects::of([Effect::More])
                }
                Some(
                    FromSetupNode::Yb(_)
                    | FromSetupNode::Tb(_)
                    | FromSetupNode::Wrong { .. }
                    | FromSetupNode::Later { .. }
                    | FromSetupNode::Answer { .. },
                )
                | None => self.lost(),
            },
            State::AwaitAnswer(mut sealed) => match sealed.read(bytes) {
                Some(FromSetupNode::Answer { status, last, bytes }) => {
                    let part = Effect::Answer { status, bytes: bytes.as_bytes(), last };
                    if last {
                        self.0 = State::Proven(sealed);
                        return Effects::of([part]);
                    }
                    let handle = sealed.handle;
                    match sealed.channel.seal(&FromPhone::Next, &mut out) {
                        Some(frame) => {
                            self.0 = State::AwaitAnswer(sealed);
                            Effects::of([part, Effect::Post(Some(handle), frame)])
                        }
                        None => self.lost(),
                    }
                }
                Some(
                    FromSetupNode::Yb(_)
                    | FromSetupNode::Tb(_)
                    | FromSetupNode::Wrong { .. }
                    | FromSetupNode::Later { .. }
                    | FromSetupNode::More,
                )
                | None => self.lost(),
            },
            // Nothing was asked.
            state @ (State::Idle | State::Proven(_)) => {
                self.0 = state;
                Effects::none()
            }
        }
    }

    fn post<'b>(
        &mut self,
        mut sealed: Sealed,
        message: &FromPhone<'_>,
        mut out: OutgoingBuffer<'b>,
        next: impl FnOnce(Sealed) -> State,
    ) -> Effects<Effect<'b>> {
        let handle = sealed.handle;
        match sealed.channel.seal(message, &mut out) {
            Some(frame) => {
                self.0 = next(sealed);
                Effects::of([Effect::Post(Some(handle), frame)])
            }
            None => self.lost(),
        }
    }

    fn lost<'b>(&mut self) -> Effects<Effect<'b>> {
        self.0 = State::Idle;
        Effects::of([Effect::Lost])
    }
}

impl Sealed {
    fn read<'m>(&mut self, bytes: &'m mut [u8]) -> Option<FromSetupNode<'m>> {
        FromSetupNode::parse(self.channel.open(bytes).ok()?).ok()
    }
}
