//! The driver loop of a node: carries out the machine's effects and feeds events back.
//!
//! ```text
//!             deadline: Connect           open
//!  ┌▶ nothing open ────────▶ opening ─────────────▶ open ──┐
//!  │                            │ fails, takes too long     │ closed, lost, silent
//!  └───────── Disconnected ◀────┴───────────────────────────┘
//! ```
//!
//! Each of the three phases waits for the owner, the deadline and one more event: none, the
//! opening, the next frame. Only reads are ever dropped half-way; a write either completes or ends
//! the connection.

mod effects;

use core::convert::Infallible;
use core::future::pending;
use core::pin::{Pin, pin};

use handfast_core::flow::registration::node::{Input, RegistrationNode, Timing};
use handfast_core::limits::{Limits, SCRATCH};
use handfast_core::link::keepalive::{Due, Keepalive};
use handfast_core::wire::close::Close;
use handfast_core::wire::registration::PairRequest;
use handfast_core::{Entropy, Machine, Span};
use rand_core::CryptoRng;

use self::effects::{RegistrationEffectPorts, RegistrationNextAction};
use crate::ports::{Clock, Command, Owner, Sensors};
use crate::registration::memory::RegistrationStorage;
use crate::select::{Woken, in_place};
use crate::transport::{Broken, Carrier, Frame, Opener, Received};

/// Everything a node needs from its board.
#[derive(Debug)]
pub struct RegistrationPorts<'i, G, C, K, R, O, S> {
    /// Connections to the gateway: an [`Opener`].
    pub gateway: G,
    /// Monotonic time: a [`Clock`].
    pub clock: C,
    /// Persistent storage: a [`RegistrationStorage`].
    pub keep: K,
    /// Fresh randomness: a [`CryptoRng`].
    pub rng: R,
    /// The interface to the owner: an [`Owner`].
    pub owner: O,
    /// Readings for heartbeats: [`Sensors`].
    pub sensors: S,
    /// The node's self-description. Name, room and profile together fit into 1 KiB as JSON.
    pub identity: PairRequest<'i>,
}

/// Time limits of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationSettings {
    /// Time limits of the state machine.
    pub timing: Timing,
    /// Limit for opening a connection that is ready for messages.
    pub open_within: Span,
    /// Limit for handing one message to the stream.
    pub write_within: Span,
    /// Limit for the peer's close frame.
    pub close_within: Span,
    /// Interval between pings on an open connection.
    pub ping_every: Span,
    /// Limit for the answer to a ping.
    pub pong_within: Span,
    /// Delay before the flash is tried again after an error.
    pub flash_again_after: Span,
}

impl RegistrationSettings {
    /// 20 s to open, 10 s to write, 2 s to close, a ping every 60 s that is answered within 20 s, 5
    /// s between attempts at the flash.
    pub const DEFAULT: Self = Self {
        timing: Timing::DEFAULT,
        open_within: Span::from_secs(20),
        write_within: Span::from_secs(10),
        close_within: Span::from_secs(2),
        ping_every: Span::from_secs(60),
        pong_within: Span::from_secs(20),
        flash_again_after: Span::from_secs(5),
    };
}

/// Static storage for the driver's buffers. `FRAME` is the longest message in bytes that a gateway
/// may send; 1024 bytes are enough for everything in the `missy` dialect but long error texts.
#[derive(Debug)]
pub struct RegistrationBuffers<const FRAME: usize> {
    scratch: [u8; SCRATCH],
    frame: [u8; FRAME],
}

impl<const FRAME: usize> RegistrationBuffers<FRAME> {
    /// Creates empty buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self { scratch: [0; SCRATCH], frame: [0; FRAME] }
    }
}

impl<const FRAME: usize> Default for RegistrationBuffers<FRAME> {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a node from boot until the owner sends [`Command::Stop`]. Nothing else ends it: failures
/// are reported to the owner and retried.
///
/// Dropping the future at any point is as harmless as a power cut: the next run continues from the
/// stored memory.
pub async fn run<G, C, K, R, O, S, const FRAME: usize>(
    ports: RegistrationPorts<'_, G, C, K, R, O, S>,
    settings: &RegistrationSettings,
    buffers: &mut RegistrationBuffers<FRAME>,
) where
    G: Opener,
    C: Clock,
    K: RegistrationStorage,
    R: CryptoRng,
    O: Owner,
    S: Sensors,
{
    let RegistrationPorts { mut gateway, clock, keep, mut rng, owner, mut sensors, identity } =
        ports;
    let mut hands = RegistrationEffectPorts { clock, keep, owner, settings, held: None };
    let Some(memory) = hands.load().await else { return };
    let mut node = RegistrationNode::boot(hands.clock.now(), memory, settings.timing);
    let mut after = RegistrationNextAction::Wait;

    while after != RegistrationNextAction::Stop {
        // Nothing is open until the machine asks for a connection.
        while matches!(after, RegistrationNextAction::Wait | RegistrationNextAction::Closed) {
            let input = match hands
                .wait(node.deadline().map(|(at, _)| at), pin!(pending::<Infallible>()))
                .await
            {
                Woken::Deadline => Input::Tick(sensors.heartbeat()),
                Woken::Command(command) => match as_input(command) {
                    Some(input) => input,
                    None => return,
                },
                Woken::Event(never) => match never {},
            };
            // A step without a connection has no carrier; the type parameter still needs a value.
            let nothing = &mut None::<G::Carrier<'_>>;
            after = pin!(in_place(|| hands.feed(&mut node, input, &mut buffers.scratch, nothing)))
                .await;
        }
        // The carrier borrows the generator, so its life ends before the next draw.
        if after == RegistrationNextAction::Open {
            let opening = pin!(in_place(|| gateway.open(&mut rng)));
            after = pin!(in_place(|| open(
                &mut hands,
                &mut node,
                opening,
                &mut sensors,
                identity,
                buffers
            )))
            .await;
        }
        if after != RegistrationNextAction::Stop {
            let gone = Input::Disconnected(Entropy::draw(&mut rng));
            let nothing = &mut None::<G::Carrier<'_>>;
            after =
                pin!(in_place(|| hands.feed(&mut node, gone, &mut buffers.scratch, nothing))).await;
        }
    }
}

/// Drives one connection, from the attempt to open it to its end. Returns
/// [`RegistrationNextAction::Closed`] or [`RegistrationNextAction::Stop`].
async fn open<L: Carrier, C: Clock, K: RegistrationStorage, O: Owner, const FRAME: usize>(
    hands: &mut RegistrationEffectPorts<'_, C, K, O>,
    node: &mut RegistrationNode,
    mut opening: Pin<&mut impl Future<Output = Result<L, Broken>>>,
    sensors: &mut impl Sensors,
    identity: PairRequest<'_>,
    buffers: &mut RegistrationBuffers<FRAME>,
) -> RegistrationNextAction {
    // One limit covers the whole attempt, however many commands interrupt the wait.
    let until = hands.clock.now().after(hands.settings.open_within);
    let mut after = RegistrationNextAction::Wait;
    while after == RegistrationNextAction::Wait {
        match hands.wait(Some(until), opening.as_mut()).await {
            Woken::Event(Ok(carrier)) => {
                let mut carrier = Some(carrier);
                after = pin!(in_place(|| hands.feed(
                    node,
                    Input::Connected(identity),
                    &mut buffers.scratch,
                    &mut carrier
                )))
                .await;
                return pin!(in_place(|| attend(
                    hands,
                    node,
                    after,
                    &mut carrier,
                    sensors,
                    buffers
                )))
                .await;
            }
            Woken::Event(Err(broken)) => after = hands.lost(broken).await,
            Woken::Deadline => after = hands.lost(Broken::Overdue).await,
            Woken::Command(command) => match as_input(command) {
                Some(input) => {
                    after = hands.feed(node, input, &mut buffers.scratch, &mut None::<L>).await;
                }
                None => after = RegistrationNextAction::Stop,
            },
        }
    }
    after
}

/// Serves an open connection until it ends.
async fn attend<L: Carrier, C: Clock, K: RegistrationStorage, O: Owner, const FRAME: usize>(
    hands: &mut RegistrationEffectPorts<'_, C, K, O>,
    node: &mut RegistrationNode,
    mut after: RegistrationNextAction,
    carrier: &mut Option<L>,
    sensors: &mut impl Sensors,
    buffers: &mut RegistrationBuffers<FRAME>,
) -> RegistrationNextAction {
    let RegistrationBuffers { scratch, frame } = buffers;
    let limits = limits(hands.settings);
    let mut keepalive = Keepalive::start(hands.clock.now(), &limits);
    while let (Some(open), RegistrationNextAction::Wait) = (&mut *carrier, after) {
        let ping = keepalive.deadline().0;
        let until = node.deadline().map_or(ping, |(at, _)| at.min(ping));
        let woken = hands.wait(Some(until), pin!(open.receive(frame))).await;
        let now = hands.clock.now();
        let outcome = match woken {
            Woken::Command(command) => match as_input(command) {
                Some(input) => {
                    after = pin!(in_place(|| hands.feed(node, input, scratch, carrier))).await;
                    Ok(())
                }
                None => {
                    hands.say_goodbye(open, Close::GOODBYE).await;
                    return RegistrationNextAction::Stop;
                }
            },
            Woken::Deadline => {
                let (next, due) = keepalive.tick(now, &limits);
                keepalive = next;
                let alive = match due {
                    Due::Nothing => Ok(()),
                    Due::Ping => hands.bounded(pin!(open.ping())).await,
                    Due::Lost => Err(Broken::Overdue),
                };
                // The deadline may have been the ping's or the machine's; a tick too early is
                // harmless.
                if alive.is_ok() {
                    after = pin!(in_place(|| hands.feed(
                        node,
                        Input::Tick(sensors.heartbeat()),
                        scratch,
                        carrier
                    )))
                    .await;
                }
                alive
            }
            Woken::Event(Ok(received)) => {
                // Any frame proves that the gateway is alive, not only a pong.
                keepalive = keepalive.heard(now, &limits);
                match received {
                    Received::Frame(Frame::Text(text)) => {
                        after = pin!(in_place(|| hands.feed(
                            node,
                            Input::Text(text),
                            scratch,
                            carrier
                        )))
                        .await;
                        Ok(())
                    }
                    // This machine knows no binary messages.
                    Received::Frame(Frame::Binary(_)) | Received::Pong => Ok(()),
                    Received::ReplyDue => hands.bounded(pin!(open.reply())).await,
                }
            }
            Woken::Event(Err(broken)) => {
                // A gateway that violated the protocol is told why before the connection is
                // dropped.
                if let Some(close) = broken.farewell() {
                    hands.say_goodbye(open, close).await;
                }
                Err(broken)
            }
        };
        if let Err(broken) = outcome {
            after = hands.lost(broken).await;
        }
    }
    after
}

/// Translates the owner's command; `None` for [`Command::Stop`].
fn as_input<'b>(command: Command) -> Option<Input<'b>> {
    match command {
        Command::TokenEntered(token) => Some(Input::TokenEntered(token)),
        Command::AskAgain => Some(Input::AskAgain),
        Command::Forget => Some(Input::Forget),
        Command::Stop => None,
    }
}

/// The core's keepalive is made for gateways; it uses only two of their limits.
const fn limits(settings: &RegistrationSettings) -> Limits {
    Limits { ping_every: settings.ping_every, pong_within: settings.pong_within, ..Limits::DEFAULT }
}
