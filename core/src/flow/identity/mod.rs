//! The identity flow's decisions that the native wire does not have: the life of a certificate and
//! the allow-list ([`certificate`]), the certificate that a device holds (`held`), a node's requests
//! in place of a refused one ([`replacement`]), the alarm about a copied node ([`clone_counter`]), and
//! the binding of an approval to what the operator saw ([`seen`]).
//!
//! There is no machine of its own: a node asks over the [native](super::native) wire. These are
//! plain values with functions, without sockets and secrets, so that a store calls them inside its
//! transactions and a model checker visits all their states.

pub mod certificate;
pub mod clone_counter;
#[cfg(feature = "identity")]
pub mod held;
pub mod replacement;
pub mod seen;
