//! The driver of a node of the `missy` dialect: what it needs, and its start.

use core::future::Future;

use handfast_core::Span;
use handfast_core::flow::registration::node::{RegistrationNode, Timing};
use handfast_core::limits::SCRATCH;
use handfast_core::wire::registration::PairRequest;
use rand_core::CryptoRng;

use super::effects::{RegistrationDialer, RegistrationRole, RegistrationSenses};
use super::memory::RegistrationStorage;
use crate::driver::{self, Slot, Workspace};
use crate::ports::{Clock, Owner, Sensors};
use crate::transport::Opener;

/// Everything a node needs from its board.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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

/// Static storage for the machine and the driver's buffers. `FRAME` is the longest message in bytes that a gateway
/// may send; 1024 bytes are enough for everything in the `missy` dialect but long error texts.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RegistrationBuffers<const FRAME: usize> {
    node: Slot<RegistrationNode>,
    scratch: [u8; SCRATCH],
    frame: [u8; FRAME],
}

impl<const FRAME: usize> RegistrationBuffers<FRAME> {
    /// Creates empty buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self { node: Slot::Empty, scratch: [0; SCRATCH], frame: [0; FRAME] }
    }
}

impl<const FRAME: usize> Default for RegistrationBuffers<FRAME> {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a node from boot until the owner sends [`Command::Stop`](crate::ports::Command::Stop).
/// Nothing else ends it: failures are reported to the owner and retried.
///
/// Dropping the future at any point is as harmless as a power cut: the next run continues from the
/// stored memory.
pub fn run<G, C, K, R, O, S, const FRAME: usize>(
    ports: RegistrationPorts<'_, G, C, K, R, O, S>,
    settings: &RegistrationSettings,
    buffers: &mut RegistrationBuffers<FRAME>,
) -> impl Future<Output = ()>
where
    G: Opener,
    C: Clock,
    K: RegistrationStorage,
    R: CryptoRng,
    O: Owner,
    S: Sensors,
{
    let RegistrationPorts { gateway, clock, keep, rng, owner, sensors, identity } = ports;
    let RegistrationBuffers { node, scratch, frame } = buffers;
    driver::run(
        (RegistrationRole { keep, owner, settings }, clock),
        RegistrationDialer { gateway, rng, settings },
        RegistrationSenses { sensors, identity },
        Workspace { slot: node, scratch, frame, output: &mut [] },
    )
}
