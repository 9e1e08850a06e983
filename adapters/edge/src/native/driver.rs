//! The driver loop of a node of the native wire.
//!
//! ```text
//!             deadline: Connect           open
//!  ┌▶ nothing open ────────▶ opening ─────────────▶ open ──┐
//!  │                            │ fails, takes too long     │ closed, lost
//!  └───────── Disconnected ◀────┴───────────────────────────┘
//! ```
//!
//! As in [`crate::registration::driver`], each phase waits for the owner, the deadline and one more event. The
//! machine itself probes an open connection. The machine is stored in [`NativeBuffers`], where its
//! steps change it in place.

mod effects;

use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::{Pin, pin};

use embedded_io_async::ErrorKind;
use handfast_core::flow::native::node::{Input, Node, NodeIdentity, Timing};
use handfast_core::limits::{NATIVE_NODE_SCRATCH, STREAM_BUFFER};
use handfast_core::{Entropy, Span};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use self::effects::{MachineInPlace, NativeEffectPorts, NativeNextAction};
use super::memory::NativeStorage;
use super::{Framed, NativeCommand, NativeOwnerPort};
use crate::ports::{Clock, Connector, Sensors, Stream};
use crate::select::{Woken, in_place, within};
use crate::transport::Broken;

/// Everything a node needs from its board.
#[derive(Debug)]
pub struct NativePorts<'i, G, C, K, R, O, S> {
    /// Connections to the gateway: a [`Connector`].
    pub gateway: G,
    /// Monotonic time: a [`Clock`].
    pub clock: C,
    /// Persistent storage: a [`NativeStorage`].
    pub keep: K,
    /// Fresh randomness: a [`CryptoRng`].
    pub rng: R,
    /// The interface to the owner: a [`NativeOwnerPort`].
    pub owner: O,
    /// Readings for heartbeats: [`Sensors`].
    pub sensors: S,
    /// The node's keys, from [`super::memory::keys`], and its self-description.
    pub own: NodeIdentity<'i>,
}

/// Time limits of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeSettings {
    /// Time limits of the state machine.
    pub timing: Timing,
    /// Limit for opening a connection.
    pub open_within: Span,
    /// Limit for handing one message to the stream.
    pub write_within: Span,
    /// Limit for closing the stream.
    pub close_within: Span,
    /// Delay before the flash is tried again after an error.
    pub flash_again_after: Span,
}

impl NativeSettings {
    /// 20 s to open, 10 s to write, 2 s to close, 5 s between attempts at the flash.
    pub const DEFAULT: Self = Self {
        timing: Timing::DEFAULT,
        open_within: Span::from_secs(20),
        write_within: Span::from_secs(10),
        close_within: Span::from_secs(2),
        flash_again_after: Span::from_secs(5),
    };
}

/// Static storage for the machine and the driver's buffers.
#[derive(Debug)]
pub struct NativeBuffers {
    node: Slot,
    scratch: [u8; NATIVE_NODE_SCRATCH],
    frame: [u8; STREAM_BUFFER],
}

impl NativeBuffers {
    /// Creates empty buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self { node: Slot::Empty, scratch: [0; NATIVE_NODE_SCRATCH], frame: [0; STREAM_BUFFER] }
    }
}

impl Default for NativeBuffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Storage for the machine; empty until the first run. The empty variant is all zeros, which
/// `Option` does not guarantee, so a static of this type takes no flash.
#[derive(Debug)]
#[repr(u8)]
#[allow(clippy::large_enum_variant, reason = "there is one of these")]
enum Slot {
    Empty = 0,
    Holds(Node) = 1,
}

/// Sources of the values that inputs are made of.
struct Senses<'i, R, S> {
    rng: R,
    sensors: S,
    own: NodeIdentity<'i>,
}

impl<R: CryptoRng, S: Sensors> Senses<'_, R, S> {
    /// Translates the owner's command; `None` for [`NativeCommand::Stop`].
    fn command(&mut self, command: NativeCommand) -> Option<Input<'_>> {
        match command {
            NativeCommand::Pair(wish, expect) => Some(Input::Pair(wish, expect)),
            NativeCommand::EnterCode(code) => {
                Some(Input::CodeEntered(code, Entropy::draw(&mut self.rng), self.own))
            }
            NativeCommand::Forget => Some(Input::Forget),
            NativeCommand::Stop => None,
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

/// Runs a node from boot until the owner sends [`NativeCommand::Stop`]. Nothing else ends it:
/// failures are reported to the owner and retried.
///
/// Dropping the future at any point is as harmless as a power cut: the next run continues from the
/// stored memory.
pub async fn run<G, C, K, R, O, S>(
    ports: NativePorts<'_, G, C, K, R, O, S>,
    settings: &NativeSettings,
    buffers: &mut NativeBuffers,
) where
    G: Connector,
    C: Clock,
    K: NativeStorage,
    R: CryptoRng,
    O: NativeOwnerPort,
    S: Sensors,
{
    let NativePorts { mut gateway, clock, keep, rng, owner, sensors, own } = ports;
    let NativeBuffers { node, scratch, frame } = buffers;
    let mut senses = Senses { rng, sensors, own };
    let mut hands = NativeEffectPorts { clock, keep, owner, settings, held: None, kept: None };
    let Some(memory) = pin!(in_place(|| hands.load())).await else { return };
    *node = Slot::Holds(Node::boot(hands.clock.now(), memory, settings.timing));
    // From here to its end the run has the machine, and no slot.
    let Slot::Holds(node) = node else { return };
    let mut body = MachineInPlace { node, scratch };
    let mut after = NativeNextAction::Wait;

    loop {
        let (input, otherwise) = match (hands.kept.take(), after) {
            // A stored memory is fed first: the machine defers everything else until it arrives.
            (Some(memory), after) => (Input::Kept(memory), after),
            (None, NativeNextAction::Stop) => return,
            (None, NativeNextAction::Open) => {
                let opening = pin!(in_place(|| gateway.connect()));
                after = pin!(in_place(|| open(&mut hands, &mut body, &mut senses, opening, frame)))
                    .await;
                continue;
            }
            (None, NativeNextAction::Closed) => (senses.disconnected(), NativeNextAction::Wait),
            (None, NativeNextAction::Wait) => {
                match hands.wait(body.deadline(), pin!(pending::<Infallible>())).await {
                    Woken::Deadline => (senses.tick(), NativeNextAction::Wait),
                    Woken::Command(command) => match senses.command(command) {
                        Some(input) => (input, NativeNextAction::Wait),
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

/// Drives one connection, from the attempt to open it to its end. Returns
/// [`NativeNextAction::Closed`] or [`NativeNextAction::Stop`].
async fn open<
    L: Stream,
    C: Clock,
    K: NativeStorage,
    O: NativeOwnerPort,
    R: CryptoRng,
    S: Sensors,
>(
    hands: &mut NativeEffectPorts<'_, C, K, O>,
    body: &mut MachineInPlace<'_>,
    senses: &mut Senses<'_, R, S>,
    mut opening: Pin<&mut impl Future<Output = Result<L, ErrorKind>>>,
    frame: &mut [u8; STREAM_BUFFER],
) -> NativeNextAction {
    let overdue = hands.clock.now().after(hands.settings.open_within);
    let mut wire = None;
    let mut after = NativeNextAction::Wait;
    while after == NativeNextAction::Wait {
        // Bytes of `frame` that this round's message takes.
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
                    None => return NativeNextAction::Stop,
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
                            return NativeNextAction::Stop;
                        }
                    },
                }
            }
        };
        let effects = body.step(hands.clock.now(), input);
        after =
            pin!(in_place(|| hands.carry_out(effects, &mut wire, NativeNextAction::Wait))).await;
        // The opened message may have held a secret. Bytes of a partly received frame are left
        // alone.
        frame.get_mut(..length).unwrap_or_default().zeroize();
    }
    after
}
