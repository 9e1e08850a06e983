//! The inbound gate: it admits messages from channels only if the operator has allowed their
//! sender.
//!
//! A message of an unknown sender is not handled. The sender receives a code, which the operator
//! enters to allow the sender; its messages until then are dropped.
//! [`handfast_core::flow::inbound`] has the rules. The gate fails closed: a message is handled only
//! with an [`Admitted`], which only the gate creates, one for each message. So a message handler
//! should take one by value, and every other message should be dropped:
//!
//! ```
//! use handfast_server::inbound::channels::{NoOutbox, ReadyMade};
//! use handfast_server::inbound::{Admitted, Gate, Incoming, InboundSettings};
//! use handfast_store::SqliteStore;
//! use std::sync::Arc;
//!
//! fn handle(message: &str, from: Admitted) {
//!     println!("{:?} writes {message}", from.sender());
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gate = Gate::standalone(SqliteStore::in_memory()?, InboundSettings::default());
//! gate.channels().register(Arc::new(ReadyMade::whatsapp(NoOutbox)));
//! gate.seed("whatsapp", "shop", vec!["+57300".to_owned()], "seed").await?;
//!
//! match gate.receive(Incoming::new("whatsapp", "shop", "57300@c.us")).await {
//!     Ok(Some(admitted)) => handle("hello", admitted),
//!     Ok(None) => {}                                        // challenged or dropped
//!     Err(error) => eprintln!("not admitted: {error}"),     // undecided, so dropped, too
//! }
//! # Ok(()) }
//! ```
//! A gateway has its own gate over its registry; [`Gate::standalone`] is for programs that use no
//! other part of the gateway.
//!
//! | file | content |
//! |---|---|
//! | `admission` | questions to the gate and its answers |
//! | `gate` | the decision about a message |
//! | `cache` | recently admitted senders |
//! | `replies` | texts for senders |
//! | `operator` | approving, blocking, listing |
//! | `adapter`, `channels` | the interface to a channel, and ready-made channels |

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
pub use admission::{Admitted, GateError, Incoming, MessageAdmission, SenderChallenge};
pub use gate::Gate;
pub use handfast_core::flow::inbound::{ChannelPolicy, Dropped};
pub use operator::{InboundError, MOST_SEEDED};
pub use replies::MOST_PNG_BYTES;
pub use settings::{GateEvent, GateObserver, InboundSettings};
