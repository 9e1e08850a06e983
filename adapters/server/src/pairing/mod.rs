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

mod approval;
mod grants;
mod pins;
mod renew;
pub(crate) mod rights;
mod session;

#[cfg(test)]
mod tests;

pub use crate::gateway::delegates::Delegate;
pub use crate::gateway::pairing_state::StartError;
pub use crate::keys::file as key_file;
pub use crate::operator::codes::{CodeKind, LiveCode, MintedCode, NewCode};
pub use crate::operator::paired::{Offered, PairedNode, Revocation, Until};
pub use crate::operator::window::PairingStatus;
pub use crate::policy::handler::{Method, PairingDecision, PairingHandler, PairingRequest};
pub use crate::policy::rules::{Glob, Rule, Rules, Terms, Verdict, When};
pub use crate::policy::settings::{Approve, OPEN_FOR, PIN_CHARS, PairingSettings};
pub use crate::public_url::cidr::{Net, NotANet};

pub(crate) use crate::gateway::pairing_state::Pairing;
pub(crate) use crate::keys::seal::{Kind, StoreKey};
pub(crate) use crate::operator::codes::hex;
pub(crate) use crate::operator::window::{at_start, watch};
pub(crate) use crate::policy::request::{
    OwnedOffer, OwnedPrepared, OwnedRefusal, OwnedRequest, OwnedVerdict, RenewKind,
};
pub(crate) use approval::check_word;
