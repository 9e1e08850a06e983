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
//! | `grants`, `renew` | new grants and their offers; renewal over a link |
//! | `rights` | the rights of makers, and the end of what they made |
//!
//! The handler and its rules are in `policy`, and the operator's methods in `operator`. Secrets in
//! the store are sealed under the store key (`keys::seal`); [`key_file`] keeps that key in a file.

pub(crate) mod approval;
mod grants;
mod pins;
mod renew;
pub(crate) mod rights;
mod session;

#[cfg(test)]
mod tests;
