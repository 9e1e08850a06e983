//! The registration flow: a node asks, an operator approves, a token authenticates.
//!
//! # Example: a node asks to be paired
//!
//! The crate's front page plays the whole exchange, with the gateway and its operator.
//!
//! ```
//! use handfast_core::flow::registration::node::{Effect, Input, RegistrationMemory};
//! use handfast_core::flow::registration::node::{RegistrationNode, Timing};
//! use handfast_core::limits::SCRATCH;
//! use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
//! use handfast_core::{Instant, Label, Machine};
//!
//! let (now, mut scratch) = (Instant::from_millis(0), [0; SCRATCH]);
//! let mut node = RegistrationNode::boot(now, RegistrationMemory::Blank, Timing::DEFAULT);
//! let effects = node.step(now, Input::Tick(Heartbeat::default()), &mut scratch);
//! assert!(matches!(effects.into_iter().next(), Some(Effect::Connect)));
//!
//! let (name, room) = (Label::parse("Kitchen Pi").unwrap(), Label::parse("Kitchen").unwrap());
//! let me = PairRequest { name, room, profile: Profile::EMPTY };
//! let effects = node.step(now, Input::Connected(me), &mut scratch);
//! let Some(Effect::Send(text)) = effects.into_iter().next() else { panic!("the node asks") };
//! assert!(text.contains("pair_request") && text.contains("Kitchen Pi"));
//! ```

pub mod gateway;
pub mod node;
pub mod operator;
