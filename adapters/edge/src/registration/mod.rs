//! Registration: a node of the `missy` dialect.
//!
//! # Example
//!
//! A whole node that asks to be paired over a WebSocket, without an executor. Nobody answers at the
//! other end of this `Uart`; [`crate::native`] has the same for the sealed wire.
//!
//! ```
//! use core::cell::Cell;
//! use core::future::pending;
//!
//! use handfast_core::wire::registration::{PairRequest, Profile};
//! use handfast_core::{Instant, Label};
//! use handfast_edge::blocking::{Line, Polled, PolledClock, block_on};
//! use handfast_edge::ports::{Command, NoSensors, Owner, Report};
//! use handfast_edge::prototype::RamFlash;
//! use handfast_edge::random::FillBytes;
//! use handfast_edge::registration::driver::{RegistrationBuffers, RegistrationPorts};
//! use handfast_edge::registration::driver::{RegistrationSettings, run};
//! use handfast_edge::registration::memory::RegistrationFlash;
//! use handfast_edge::websocket::{Client, WebSocketTarget};
//!
//! /// The owner reads the reports, and stops when there is no connection.
//! struct Console { stops: bool }
//!
//! impl Owner for Console {
//!     async fn command(&mut self) -> Command {
//!         // A board waits for a line here: `Command::TokenEntered` takes the token.
//!         if self.stops { Command::Stop } else { pending().await }
//!     }
//!
//!     async fn tell(&mut self, report: Report<'_>) {
//!         println!("{report}");
//!         self.stops |= matches!(report, Report::NoConnection(_));
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
//! let (time, mut drawn) = (Cell::new(0), 0u8);
//! let target = WebSocketTarget::new("gateway.local:8765", "/").expect("a host and a path");
//! let ports = RegistrationPorts {
//!     gateway: Client::new(Line(Polled(Uart)), target),
//!     // A board reads its timer.
//!     clock: PolledClock(|| Instant::from_millis(time.replace(time.get() + 1000))),
//!     keep: RegistrationFlash::new(RamFlash::<512>::new(), 0).expect("two pages"),
//!     // Every byte comes from the board's hardware generator.
//!     rng: FillBytes::new(|bytes: &mut [u8]| bytes.fill_with(|| { drawn = drawn.wrapping_add(1); drawn })),
//!     owner: Console { stops: false },
//!     sensors: NoSensors,
//!     identity: PairRequest {
//!         name: Label::parse("Lamp").unwrap(),
//!         room: Label::parse("Kitchen").unwrap(),
//!         profile: Profile::EMPTY,
//!     },
//! };
//! block_on(run(ports, &RegistrationSettings::DEFAULT, &mut RegistrationBuffers::<1024>::new()));
//! ```

pub mod driver;
mod effects;
pub mod memory;
mod words;
