//! The native flow: a sealed channel that carries pairing by approval, PIN or code, or a link.
//!
//! [`crate::wire::native`] defines the messages and their order. Each role is one machine for all
//! of it: [`gateway::NativeConnection`] is one connection, [`node::Node`] a node for as long as it
//! runs. [`settle`] decides about requests to pair. Frames go in and out whole; the adapter cuts
//! them out of WebSockets or byte streams.
//!
//! # Example: a node pairs by PIN, or by a code
//!
//! The node's side, with this example as its adapter. [`crate::crypto::cpace`] shows what the PIN or
//! the code then proves to both.
//!
//! ```
//! use handfast_core::crypto::keys::OwnKeys;
//! use handfast_core::flow::native::node::{CertificateWish, Effect, Input, NativeMemory, Node};
//! use handfast_core::flow::native::node::{NodeIdentity, PairMethod, Timing};
//! use handfast_core::limits::NATIVE_NODE_SCRATCH;
//! use handfast_core::wire::invite::TypedCode;
//! use handfast_core::wire::native::pair::AskedScopes;
//! use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
//! use handfast_core::{Entropy, Instant, Label, Machine};
//!
//! let keys = OwnKeys::generate(&Entropy::from_recorded([1; 64]));
//! let (name, room) = (Label::parse("Lamp").unwrap(), Label::UNKNOWN);
//! let own = NodeIdentity {
//!     keys: &keys,
//!     about: PairRequest { name, room, profile: Profile::EMPTY },
//!     setup: None,
//!     wants: AskedScopes::NONE,
//!     certificate: CertificateWish::None,
//!     dispatch: false,
//! };
//! // A code was minted beforehand, and its owner types it; a PIN is typed once the gateway shows it.
//! let TypedCode { selector, code } = TypedCode::parse("ABCDE-FGHJK-LMNPQ").unwrap();
//! for method in [PairMethod::Pin, PairMethod::Code { selector, code }] {
//!     let (now, mut scratch) = (Instant::from_millis(0), [0; NATIVE_NODE_SCRATCH]);
//!     let mut node = Node::boot(now, NativeMemory::Blank, Timing::DEFAULT);
//!     // The wish makes an attempt due, and the next tick begins it.
//!     assert!(node.step(now, Input::Pair(method, None), &mut scratch).is_empty());
//!     assert!(node.deadline().is_some_and(|(due, _)| due <= now));
//!     let effects = node.step(now, Input::Tick(Heartbeat::default()), &mut scratch);
//!     assert!(matches!(effects.into_iter().next(), Some(Effect::Connect)));
//!     // The connection is open: the node sends `Open` and the first message of the handshake.
//!     let connected = Input::Connected(Entropy::from_recorded([2; 32]), own);
//!     let effects = node.step(now, connected, &mut scratch);
//!     assert!(effects.into_iter().all(|effect| matches!(effect, Effect::Send(_))));
//!     assert_eq!(node.state_name(), "Introducing");
//! }
//! ```

pub mod found;
pub mod gateway;
pub mod node;
pub mod settle;
