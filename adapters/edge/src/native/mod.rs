//! The native wire: a node that pairs by approval, PIN or code and keeps a sealed link, over any
//! byte stream.
//!
//! ```text
//!  Connector ──Stream──▶ Framed (COBS, CRC-32) ◀─frames─▶ run ◀─steps─▶ handfast_core's Node,
//!                                                                       in Buffers
//! ```
//! It needs no TLS below it, so a microcontroller is safe on plain TCP and on a serial line;
//! [`crate::blocking::Line`] makes a connector of the latter. It stores neither capability tokens
//! nor bearer tokens: a device authenticates with its keys.
//!
//! An operator may have the node do what its [`Capabilities`] announce. With the feature `identity`
//! the node may have a certificate of its gateway (`Certificates`).
//!
//! # Example
//!
//! A whole node on a serial line, without an executor, that pairs by PIN, by a code and by a setup
//! code. Nobody answers at the other end of this `Uart`, so each attempt ends when its time is over;
//! `Uart` has the blocking traits of embedded-io, as a HAL's serial line has.
//!
//! ```
//! use core::cell::Cell;
//! use core::future::pending;
//!
//! use handfast_core::crypto::fingerprint::Fingerprint;
//! use handfast_core::flow::native::node::{CertificateWish, NodeIdentity, PairMethod};
//! use handfast_core::wire::invite::TypedCode;
//! use handfast_core::wire::native::pair::{AskedScopes, BootstrapToken};
//! use handfast_core::wire::registration::{PairRequest, Profile};
//! use handfast_core::{Instant, Label};
//! use handfast_edge::blocking::{Line, Polled, PolledClock, block_on};
//! use handfast_edge::native::memory::{NativeFlash, keys};
//! use handfast_edge::native::{NativeBuffers, NativeCommand, NativeOwnerPort, NativePorts};
//! use handfast_edge::native::{NativeReport, NativeSettings, NoCapabilities, NoCertificate, run};
//! use handfast_edge::ports::NoSensors;
//! use handfast_edge::prototype::RamFlash;
//! use handfast_edge::random::FillBytes;
//!
//! /// The owner gives one command, reads the reports, and stops when there is no connection.
//! struct Owner(Option<NativeCommand>);
//!
//! impl NativeOwnerPort for Owner {
//!     async fn command(&mut self) -> NativeCommand {
//!         match self.0.take() {
//!             Some(command) => command,
//!             // A board waits for a button or a line here.
//!             None => pending().await,
//!         }
//!     }
//!
//!     async fn tell(&mut self, report: NativeReport<'_>) {
//!         println!("{report}");
//!         if let NativeReport::NoConnection(_) | NativeReport::News(_) = report {
//!             self.0 = Some(NativeCommand::Stop);
//!         }
//!     }
//! }
//!
//! # /// A UART at whose other end nobody answers.
//! # struct Uart;
//! # impl embedded_io::ErrorType for Uart {
//! #     type Error = core::convert::Infallible;
//! # }
//! # impl embedded_io::Read for Uart {
//! #     fn read(&mut self, _: &mut [u8]) -> Result<usize, Self::Error> {
//! #         Ok(0)
//! #     }
//! # }
//! # impl embedded_io::ReadReady for Uart {
//! #     fn read_ready(&mut self) -> Result<bool, Self::Error> {
//! #         Ok(false)
//! #     }
//! # }
//! # impl embedded_io::Write for Uart {
//! #     fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
//! #         Ok(bytes.len())
//! #     }
//! #     fn flush(&mut self) -> Result<(), Self::Error> {
//! #         Ok(())
//! #     }
//! # }
//!
//! # let mut drawn = 0u8;
//! // Every byte comes from the board's hardware generator.
//! let mut rng = FillBytes::new(|bytes: &mut [u8]| bytes.fill_with(|| { drawn = drawn.wrapping_add(1); drawn }));
//! let mut keep = NativeFlash::new(RamFlash::<1024>::new(), 0).expect("four pages");
//! let own = block_on(keys(&mut keep, &mut rng)).expect("RAM does not fail");
//! let mut buffers = NativeBuffers::for_setup_codes();
//! let TypedCode { selector, code } = TypedCode::parse("ABCDE-FGHJK-LMNPQ").unwrap();
//! // A setup code goes only to the gateway whose fingerprint came with it.
//! let gateway = Fingerprint::parse("AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO").unwrap();
//! for command in [
//!     NativeCommand::Pair(PairMethod::Pin, None),
//!     NativeCommand::Pair(PairMethod::Code { selector, code }, None),
//!     NativeCommand::Pair(PairMethod::Setup, Some(gateway)),
//! ] {
//!     let time = Cell::new(0);
//!     let ports = NativePorts {
//!         gateway: Line(Polled(Uart)),
//!         // A board reads its timer.
//!         clock: PolledClock(|| Instant::from_millis(time.replace(time.get() + 1000))),
//!         keep: &mut keep,
//!         rng: &mut rng,
//!         owner: Owner(Some(command)),
//!         sensors: NoSensors,
//!         capabilities: NoCapabilities,
//!         certificate: NoCertificate,
//!         own: NodeIdentity {
//!             keys: &own,
//!             about: PairRequest {
//!                 name: Label::parse("Lamp").unwrap(),
//!                 room: Label::UNKNOWN,
//!                 profile: Profile::EMPTY,
//!             },
//!             setup: BootstrapToken::new("eyJ9.c2VjcmV0"),
//!             wants: AskedScopes::NONE,
//!             certificate: CertificateWish::None,
//!             dispatch: false,
//!         },
//!     };
//!     block_on(run(ports, &NativeSettings::DEFAULT, &mut buffers));
//! }
//! ```

mod capabilities;
#[cfg(feature = "identity")]
mod certificate;
mod certificate_port;
mod dispatching;
mod driver;
mod effects;
pub mod memory;
mod stream;
mod tasks;
mod words;

pub use self::capabilities::{
    Capabilities, Capability, CapabilityError, Started, Task, TaskEnd, TaskEvent,
};
#[cfg(feature = "identity")]
pub use self::certificate::{CertificateBuffers, CertificateNews, Certificates};
pub use self::certificate_port::NoCertificate;
pub use self::dispatching::{DispatchBuffers, Dispatching};
pub use self::driver::{NativeBuffers, NativePorts, NativeSettings, run};
pub use self::tasks::{NoCapabilities, TaskNews};
pub use stream::Framed;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::{NativeNodeEvent, PairMethod};
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_core::wire::native::link::App;

use crate::error::KeepError;
use crate::transport::Broken;

/// The interface to the owner of the node: a console, a button, a page.
pub trait NativeOwnerPort {
    /// `true` if the owner stores the addresses of [`NativeReport::Addresses`]; otherwise the
    /// gateway tells none.
    const KEEPS_ADDRESSES: bool = false;

    /// Waits for the next command. Dropping the future must lose nothing: the implementation keeps
    /// a partly typed line.
    async fn command(&mut self) -> NativeCommand;

    /// Shows a report. The driver waits for it, so it should return soon.
    async fn tell(&mut self, report: NativeReport<'_>);
}

/// A command of the owner.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NativeCommand {
    /// Starts pairing by this method; with a fingerprint, only with the gateway that has it.
    Pair(PairMethod, Option<Fingerprint>),
    /// The PIN that the gateway shows, or another code after a wrong one.
    EnterCode(Code),
    /// Sends the message with this number, which is
    /// [`Sensors::message`](crate::ports::Sensors::message). What the gateway does not allow is
    /// reported as [`NativeNodeEvent::NotAllowed`], and answers come as [`NativeReport::App`].
    Send(u16),
    /// Subscribes to the pattern with this number, which is
    /// [`Sensors::pattern`](crate::ports::Sensors::pattern). Its messages come as
    /// [`NativeReport::App`] until the link ends; the next link needs another subscription.
    Subscribe(u16),
    /// Asks for a new grant, for instance after the operator has allowed more. The outcome is
    /// [`NativeNodeEvent::Renewed`] or [`NativeNodeEvent::NotRenewed`].
    Renew,
    /// Erases the pairing. The keys stay.
    Forget,
    /// Ends the driver: it closes the connection, then returns.
    Stop,
}

/// The reason for which nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotSent {
    /// There is no link.
    NoLink,
    /// The board has no message or pattern with this number.
    NoMessage,
}

/// A message for the owner.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NativeReport<'b> {
    /// An event of the node's state machine.
    News(NativeNodeEvent<'b>),
    /// A message of the application arrived over the link.
    App(App<'b>),
    /// The gateway tells the addresses at which it is reached. The owner makes them durable, in
    /// place of those of before, and returns only then: what follows confirms them to the gateway.
    /// The [`Connector`](crate::ports::Connector) may try them in turn; wherever it connects, the
    /// handshake proves the gateway's key.
    Addresses(GatewayAddresses<'b>),
    /// A command that speaks on the link had no effect.
    NotSent(NotSent),
    /// A task was taken, or has ended.
    Task(TaskNews<'b>),
    /// The memory cannot be read; the driver tries again, and overwrites nothing until the owner
    /// sends [`NativeCommand::Forget`].
    NotLoaded(KeepError),
    /// News of the node's certificate.
    #[cfg(feature = "identity")]
    Certificate(CertificateNews),
    /// What is known of earlier tasks cannot be read. No task is taken until the pairing is erased.
    TasksNotLoaded(KeepError),
    /// The memory is not durable yet; the driver tries again until it is. A task that cannot be
    /// noted is rejected instead.
    NotKept(KeepError),
    /// The connection could not be opened, or ended unexpectedly.
    NoConnection(Broken),
}
