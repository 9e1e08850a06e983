//! Pairing over the native wire, as the gateway carries it out: PINs, codes, decisions and grants.
//!
//! ```text
//! connection ─▶ prepare ─▶ (PIN or code proven) ─▶ settle ─▶ PairingHandler ─┬─ approve ─▶ paired
//!                                                                            ├─ reject
//!                                                                            └─ ask ─▶ operator
//! ```
//!
//! | module | content |
//! |---|---|
//! | `session` | `prepare` and `settle`: the effects of a node's connection |
//! | `pins` | PINs and codes that nodes prove |
//! | `approval` | the operator's decision about a node with keys |
//! | `replacing` | the approval of a node in the place of another |
//! | `in_advance` | requests that an approval policy decides about |
//! | `known_key` | what is known of a static key, revoked ones without a record included |
//! | `grants`, `renew` | new grants and their offers; renewal over a link |
//! | `certificates` | certificates of nodes: with a grant, and renewed over a link |
//! | `signing_key` | the signing key of a node that was paired by its static key alone |
//! | `provisioning` | nodes that register by a token over HTTP, and their keys |
//! | `rights` | the rights of makers, and the end of what they made |
//!
//! The handler and its rules are in `policy`, and the operator's methods in `operator`. Secrets in
//! the store are sealed under the store key (`keys::seal`); [`key_file`] keeps that key in a file.

pub(crate) mod approval;
pub(crate) mod certificates;
mod grants;
mod in_advance;
pub(crate) mod known_key;
mod pins;
pub(crate) mod provisioning;
mod renew;
mod replacing;
pub(crate) mod rights;
mod session;
mod signing_key;

pub use replacing::ReplacedNode;

#[cfg(test)]
mod tests;
