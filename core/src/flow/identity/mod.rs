//! The identity flow's decisions that the native wire does not have: the life of a certificate and
//! the allow-list ([`certificate`]), the certificate that a device holds (`held`), a node's requests
//! in place of a refused one ([`replacement`]), the alarm about a copied node ([`clone_counter`]), and
//! the binding of an approval to what the operator saw ([`seen`]).
//!
//! There is no machine of its own: a node asks over the [native](super::native) wire. These are
//! plain values with functions, without sockets and secrets, so that a store calls them inside its
//! transactions and a model checker visits all their states.
//!
//! # Example: a compact certificate
//!
//! ```
//! use handfast_core::crypto::{ed25519, keys::OwnKeys};
//! use handfast_core::grant::certificate::{CompactDefect, CompactFields, Serial};
//! use handfast_core::grant::certificate::{issue_compact, verify_compact};
//! use handfast_core::{Entropy, NodeId, UnixTime};
//!
//! let gateway = ed25519::KeyPair::generate(&Entropy::from_recorded([1; 32]));
//! let node = OwnKeys::generate(&Entropy::from_recorded([2; 64]));
//! let day = |number: u64| UnixTime::from_secs(1_800_000_000 + number * 86_400);
//! let fields = CompactFields {
//!     node_id: NodeId::new(&Entropy::from_recorded([3; 16])),
//!     channel: *node.channel.public(),
//!     signing: node.signing.public(),
//!     epoch: 1,
//!     serial: Serial::new(&Entropy::from_recorded([4; 20])),
//!     not_before: day(0),
//!     not_after: day(30),
//! };
//! let bytes = issue_compact(&fields, &gateway).expect("it ends after it begins");
//!
//! // Whoever knows the gateway's key can check it, without a connection to the gateway.
//! let verified = verify_compact(&bytes, &gateway.public(), day(10)).expect("it is valid");
//! assert_eq!(verified.fields(), &fields);
//! let late = verify_compact(&bytes, &gateway.public(), day(31));
//! assert_eq!(late, Err(CompactDefect::Expired));
//! ```

pub mod certificate;
pub mod clone_counter;
#[cfg(feature = "identity")]
pub mod held;
pub mod replacement;
pub mod seen;
