//! The inbound gate: of what strangers write over channels, only the messages of those whom the
//! operator let in come through.
//!
//! A message of somebody unknown is not handled. Its sender is told a code, which the operator
//! types to let it in; what it writes until then is dropped. How that is decided stands in
//! [`handfast_core::flow::inbound`]. The gate fails closed: a message is handled only with an
//! [`Admitted`], which nothing but the gate makes, one for each message. So let whatever handles
//! messages take one by value, and let everything else go:
//!
//! ```
//! use handfast_server::inbound::channels::{NoOutbox, ReadyMade};
//! use handfast_server::inbound::{Admitted, Gate, Incoming, InboundSettings};
//! use handfast_store::MemoryStore;
//! use std::sync::Arc;
//!
//! fn handle(message: &str, from: Admitted) {
//!     println!("{:?} writes {message}", from.sender());
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gate = Gate::standalone(MemoryStore::default(), InboundSettings::default());
//! gate.channels().register(Arc::new(ReadyMade::whatsapp(NoOutbox)));
//! gate.seed("whatsapp", "shop", vec!["+57300".to_owned()], "seed").await?;
//!
//! match gate.receive(Incoming::new("whatsapp", "shop", "57300@c.us")).await {
//!     Ok(Some(admitted)) => handle("hello", admitted),
//!     Ok(None) => {}                                     // challenged or dropped
//!     Err(error) => eprintln!("not let in: {error}"),    // nor is it here
//! }
//! # Ok(()) }
//! ```
//! A gateway has a gate already, over its own registry; [`Gate::standalone`] is for programs that
//! need nothing else of it.
//!
//! | file | concern |
//! |---|---|
//! | `admission` | what the gate is asked and answers |
//! | `gate` | the way to an answer |
//! | `cache` | who was let in lately |
//! | `replies` | what senders are told |
//! | `operator` | approving, blocking, listing |
//! | `adapter`, `channels` | what the gate needs of a channel, and ready-made ones |

pub mod adapter;
mod admission;
mod cache;
pub mod channels;
mod gate;
mod operator;
mod replies;
mod settings;
#[cfg(test)]
mod tests;

pub use adapter::{AdapterError, ChannelAdapter, Channels, Normalised};
pub use admission::{Admission, Admitted, Challenge, GateError, Incoming};
pub use gate::Gate;
pub use handfast_core::flow::inbound::{Dropped, Policy};
pub use operator::{InboundError, MOST_SEEDED};
pub use replies::MOST_PNG_BYTES;
pub use settings::{GateEvent, GateObserver, InboundSettings};
