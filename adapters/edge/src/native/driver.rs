//! The driver of a node of the native wire: what it needs, and its start.

use core::future::Future;
use core::marker::PhantomData;

use handfast_core::Span;
use handfast_core::flow::native::node::{Node, NodeIdentity, Timing};
use handfast_core::limits::{NATIVE_NODE_SCRATCH, NATIVE_SETUP_SCRATCH, STREAM_BUFFER};
use rand_core::CryptoRng;

use super::NativeOwnerPort;
use super::certificate_port::CertificatePort;
use super::effects::{NativeDialer, NativeRole, NativeSenses};
use super::memory::NativeStorage;
use super::tasks::TaskPort;
use crate::driver::{self, Slot, Workspace};
use crate::ports::{Clock, Connector, Sensors};

/// Everything a node needs from its board.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NativePorts<'i, G, C, K, R, O, S, T, P> {
    /// Connections to the gateway: a [`Connector`].
    pub gateway: G,
    /// Monotonic time: a [`Clock`].
    pub clock: C,
    /// Persistent storage: a [`NativeStorage`]; with capabilities also a
    /// [`BoardStorage`](super::memory::BoardStorage), and with a certificate a
    /// `CertificateStorage`.
    pub keep: K,
    /// Fresh randomness: a [`CryptoRng`].
    pub rng: R,
    /// The interface to the owner: a [`NativeOwnerPort`].
    pub owner: O,
    /// Readings for heartbeats: [`Sensors`].
    pub sensors: S,
    /// What the node can be asked to do: [`Dispatching`](super::Dispatching), or
    /// [`NoCapabilities`](super::NoCapabilities).
    pub capabilities: T,
    /// The node's certificate: `Certificates` (feature `identity`), or
    /// [`NoCertificate`](super::NoCertificate).
    pub certificate: P,
    /// The node's keys, from [`super::memory::keys`], and its self-description. Whether it runs
    /// tasks and wants a certificate follows from `capabilities` and `certificate`.
    pub own: NodeIdentity<'i>,
}

/// Time limits of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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

/// Static storage for the machine and the driver's buffers. `SCRATCH` is the room for what the node
/// sends in one step, in bytes: [`new`](NativeBuffers::new) and
/// [`for_setup_codes`](NativeBuffers::for_setup_codes) choose it.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NativeBuffers<const SCRATCH: usize = NATIVE_NODE_SCRATCH> {
    node: Slot<Node>,
    scratch: [u8; SCRATCH],
    frame: [u8; STREAM_BUFFER],
}

impl<const SCRATCH: usize> NativeBuffers<SCRATCH> {
    const EMPTY: Self =
        Self { node: Slot::Empty, scratch: [0; SCRATCH], frame: [0; STREAM_BUFFER] };
}

impl NativeBuffers {
    /// Creates empty buffers for a node that pairs by approval, PIN or code. With a setup code whose
    /// request does not fit, it reports
    /// [`NotAsked::BufferTooSmall`](handfast_core::flow::native::node::NotAsked::BufferTooSmall).
    #[must_use]
    pub const fn new() -> Self {
        Self::EMPTY
    }
}

impl NativeBuffers<NATIVE_SETUP_SCRATCH> {
    /// Creates empty buffers for a node that may also pair by a setup code of any length. They take
    /// 1024 bytes more than [`NativeBuffers::new`].
    #[must_use]
    pub const fn for_setup_codes() -> Self {
        Self::EMPTY
    }
}

impl Default for NativeBuffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a node from boot until the owner sends [`NativeCommand::Stop`](super::NativeCommand::Stop).
/// Nothing else ends it: failures are reported to the owner and retried.
///
/// Dropping the future at any point is as harmless as a power cut: the next run continues from the
/// stored memory.
pub fn run<'t, G, C, K, R, O, S, T, P, const SCRATCH: usize>(
    ports: NativePorts<'_, G, C, K, R, O, S, T, P>,
    settings: &NativeSettings,
    buffers: &mut NativeBuffers<SCRATCH>,
) -> impl Future<Output = ()>
where
    G: Connector,
    C: Clock,
    K: NativeStorage,
    R: CryptoRng,
    O: NativeOwnerPort,
    S: Sensors,
    T: TaskPort<'t, K>,
    P: CertificatePort<K>,
{
    let NativePorts { gateway, clock, keep, rng, owner, sensors, .. } = ports;
    let NativePorts { capabilities, certificate, own, .. } = ports;
    let NativeBuffers { node, scratch, frame } = buffers;
    let own = NodeIdentity { dispatch: T::TAKES, certificate: P::WISH, ..own };
    let mut tasks = capabilities;
    let output = tasks.output();
    driver::run(
        (
            NativeRole {
                keep,
                owner,
                settings,
                tasks,
                certificate,
                own,
                linked: false,
                lifetime: PhantomData,
            },
            clock,
        ),
        NativeDialer(gateway),
        NativeSenses { rng, sensors, own },
        Workspace { slot: node, scratch, frame, output },
    )
}
