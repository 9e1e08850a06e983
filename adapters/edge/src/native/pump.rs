//! The loop that drives a node of the native wire.
//!
//! ```text
//!             deadline: Connect           open
//!  ┌▶ nothing open ────────▶ opening ─────────────▶ open ──┐
//!  │                            │ fails, takes too long     │ closed, lost
//!  └───────── Disconnected ◀────┴───────────────────────────┘
//! ```
//!
//! As in [`crate::pump`], it waits in each phase for the owner, the deadline and one thing more.
//! Whether an open connection still is one the machine asks itself. The machine stands in
//! [`Buffers`], and only a step ever holds it on the stack.

mod hands;

use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::{Pin, pin};

use embedded_io_async::ErrorKind;
use handfast_core::entropy::Entropy;
use handfast_core::flow::native::node::{Input, Node, Own, Timing};
use handfast_core::limits::{NATIVE_NODE_SCRATCH, STREAM_BUFFER};
use handfast_core::time::Span;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::memory::Keep;
use super::{Command, Framed, Owner};
use crate::carrier::Broken;
use crate::ports::{Clock, Connector, Sensors, Stream};
use crate::race::{Woken, in_place, within};
use hands::{After, Body, Hands};

/// Everything a node needs from its board.
#[derive(Debug)]
pub struct Ports<'i, G, C, K, R, O, S> {
    /// The way to the gateway: a [`Connector`].
    pub gateway: G,
    /// The time: a [`Clock`].
    pub clock: C,
    /// What survives a power cut: a [`Keep`].
    pub keep: K,
    /// Fresh randomness: a [`CryptoRng`].
    pub rng: R,
    /// Who commands it: an [`Owner`].
    pub owner: O,
    /// What it feels: [`Sensors`].
    pub sensors: S,
    /// Its keys, from [`super::memory::keys`], and who it says it is.
    pub own: Own<'i>,
}

/// The waits of the pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The machine's own.
    pub timing: Timing,
    /// How long it may take until a connection is open.
    pub open_within: Span,
    /// How long it may take to hand one message to the stream.
    pub write_within: Span,
    /// How long to wait until the stream is closed.
    pub close_within: Span,
    /// How long to wait before flash that failed is tried again.
    pub flash_again_after: Span,
}

impl Settings {
    /// 20 s to open, 10 s to write, 2 s to close, 5 s between attempts at the flash.
    pub const DEFAULT: Self = Self {
        timing: Timing::DEFAULT,
        open_within: Span::from_secs(20),
        write_within: Span::from_secs(10),
        close_within: Span::from_secs(2),
        flash_again_after: Span::from_secs(5),
    };
}

/// The machine and the pump's buffers, apart from it so that they can be static.
#[derive(Debug)]
pub struct Buffers {
    node: Slot,
    scratch: [u8; NATIVE_NODE_SCRATCH],
    frame: [u8; STREAM_BUFFER],
}

impl Buffers {
    /// Empty ones.
    #[must_use]
    pub const fn new() -> Self {
        Self { node: Slot::Empty, scratch: [0; NATIVE_NODE_SCRATCH], frame: [0; STREAM_BUFFER] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the machine stands. Empty it is all zeros, as no `Option` promises to be, so that a static
/// of it takes no flash.
#[derive(Debug)]
#[repr(u8)]
#[allow(clippy::large_enum_variant, reason = "there is one of these")]
enum Slot {
    Empty = 0,
    Holds(Node) = 1,
}

/// What inputs are made of.
struct Senses<'i, R, S> {
    rng: R,
    sensors: S,
    own: Own<'i>,
}

impl<R: CryptoRng, S: Sensors> Senses<'_, R, S> {
    /// `None` is the owner's wish to stop.
    fn command(&mut self, command: Command) -> Option<Input<'_>> {
        match command {
            Command::Pair(wish, expect) => Some(Input::Pair(wish, expect)),
            Command::EnterCode(code) => {
                Some(Input::CodeEntered(code, Entropy::draw(&mut self.rng), self.own))
            }
            Command::Forget => Some(Input::Forget),
            Command::Stop => None,
        }
    }

    fn tick(&mut self) -> Input<'_> {
        Input::Tick(self.sensors.heartbeat())
    }

    fn connected(&mut self) -> Input<'_> {
        Input::Connected(Entropy::draw(&mut self.rng), self.own)
    }

    fn frame<'b>(&'b mut self, bytes: &'b mut [u8]) -> Input<'b> {
        Input::Frame { bytes, entropy: Entropy::draw(&mut self.rng), own: self.own }
    }

    fn disconnected(&mut self) -> Input<'_> {
        Input::Disconnected(Entropy::draw(&mut self.rng))
    }
}

/// Runs a node from its boot until the owner says [`Command::Stop`]. Nothing else ends it: what
/// goes wrong is reported to the owner and tried again.
///
/// Dropping the future at any point is as harmless as a power cut: the next run continues from what
/// was kept.
pub async fn run<G, C, K, R, O, S>(
    ports: Ports<'_, G, C, K, R, O, S>,
    settings: &Settings,
    buffers: &mut Buffers,
) where
    G: Connector,
    C: Clock,
    K: Keep,
    R: CryptoRng,
    O: Owner,
    S: Sensors,
{
    let Ports { mut gateway, clock, keep, rng, owner, sensors, own } = ports;
    let Buffers { node, scratch, frame } = buffers;
    let mut senses = Senses { rng, sensors, own };
    let mut hands = Hands { clock, keep, owner, settings, held: None, kept: None };
    let Some(memory) = pin!(in_place(|| hands.load())).await else { return };
    *node = Slot::Holds(Node::boot(hands.clock.now(), memory, settings.timing));
    let mut body = Body { node, scratch };
    let mut after = After::Wait;

    loop {
        let (input, otherwise) = match (hands.kept.take(), after) {
            // Before anything else: the machine waits for nothing but this.
            (Some(memory), after) => (Input::Kept(memory), after),
            (None, After::Stop) => return,
            (None, After::Open) => {
                let opening = pin!(in_place(|| gateway.connect()));
                after = pin!(in_place(|| open(&mut hands, &mut body, &mut senses, opening, frame)))
                    .await;
                continue;
            }
            (None, After::Closed) => (senses.disconnected(), After::Wait),
            (None, After::Wait) => {
                match hands.wait(body.deadline(), pin!(pending::<Infallible>())).await {
                    Woken::Deadline => (senses.tick(), After::Wait),
                    Woken::Command(command) => match senses.command(command) {
                        Some(input) => (input, After::Wait),
                        None => return,
                    },
                    Woken::Event(never) => match never {},
                }
            }
        };
        let effects = body.step(hands.clock.now(), input);
        let nothing = &mut None::<Framed<G::Stream<'_>>>;
        after = pin!(in_place(|| hands.carry_out(effects, nothing, otherwise))).await;
    }
}

/// From the attempt to open a connection to the end of it. Returns [`After::Closed`] or
/// [`After::Stop`].
async fn open<L: Stream, C: Clock, K: Keep, O: Owner, R: CryptoRng, S: Sensors>(
    hands: &mut Hands<'_, C, K, O>,
    body: &mut Body<'_>,
    senses: &mut Senses<'_, R, S>,
    mut opening: Pin<&mut impl Future<Output = Result<L, ErrorKind>>>,
    frame: &mut [u8; STREAM_BUFFER],
) -> After {
    let overdue = hands.clock.now().after(hands.settings.open_within);
    let mut wire = None;
    let mut after = After::Wait;
    while after == After::Wait {
        // How much of the frame is a message.
        let mut length = 0;
        let input = match (hands.kept.take(), &mut wire) {
            (Some(memory), _) => Input::Kept(memory),
            (None, None) => match hands.wait(Some(overdue), opening.as_mut()).await {
                Woken::Event(Ok(stream)) => {
                    wire = Some(Framed::new(stream));
                    senses.connected()
                }
                Woken::Event(Err(error)) => return hands.lost(Broken::Io(error)).await,
                Woken::Deadline => return hands.lost(Broken::Overdue).await,
                Woken::Command(command) => match senses.command(command) {
                    Some(input) => input,
                    None => return After::Stop,
                },
            },
            (None, Some(open)) => {
                let woken = hands.wait(body.deadline(), pin!(open.receive(frame))).await;
                match woken {
                    Woken::Event(Ok(received)) => {
                        length = received;
                        senses.frame(frame.get_mut(..length).unwrap_or_default())
                    }
                    Woken::Event(Err(broken)) => return hands.lost(broken).await,
                    Woken::Deadline => senses.tick(),
                    Woken::Command(command) => match senses.command(command) {
                        Some(input) => input,
                        None => {
                            within(&hands.clock, hands.settings.close_within, pin!(open.close()))
                                .await;
                            return After::Stop;
                        }
                    },
                }
            }
        };
        let effects = body.step(hands.clock.now(), input);
        after = pin!(in_place(|| hands.carry_out(effects, &mut wire, After::Wait))).await;
        // What was opened may have held a secret. Of a frame that has only begun, nothing is
        // touched.
        frame.get_mut(..length).unwrap_or_default().zeroize();
    }
    after
}
