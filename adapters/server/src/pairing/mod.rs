//! Pairing over the native wire, from the operator's side: the pairing mode, PINs and codes, who
//! decides, and what is granted.
//!
//! ```text
//! a connection ──▶ prepare ──▶ (a PIN or code is proven) ──▶ settle ──▶ PairingHandler ─┬─ approve ─▶ paired, a grant is offered
//!                  pins.rs                                  session.rs    handler.rs    ├─ reject
//!                                                                         rules.rs      └─ ask ─────▶ waits for the operator (approval.rs)
//! ```
//! What the store keeps of it that is secret is sealed (see `seal.rs`) under the store key, for
//! which [`key_file`] has a place.

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
