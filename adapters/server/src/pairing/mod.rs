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
mod codes;
mod delegates;
mod grants;
mod handler;
pub mod key_file;
mod net;
mod owned;
mod paired;
mod pins;
mod renew;
mod rules;
mod seal;
mod session;
mod settings;
mod state;
mod told;
mod window;

#[cfg(test)]
mod tests;

pub use codes::{CodeKind, LiveCode, MintedCode, NewCode};
pub use delegates::Delegate;
pub use handler::{Method, PairingDecision, PairingHandler, PairingRequest};
pub use net::{Net, NotANet};
pub use paired::{Offered, PairedNode, Revocation, Until};
pub use rules::{Glob, Rule, Rules, Terms, Verdict, When};
pub use settings::{Approve, OPEN_FOR, PIN_CHARS, PairingSettings};
pub use state::StartError;
pub use window::PairingStatus;

pub(crate) use approval::check_word;
pub(crate) use codes::hex;
pub(crate) use owned::{
    OwnedOffer, OwnedPrepared, OwnedRefusal, OwnedRequest, OwnedVerdict, RenewKind,
};
pub(crate) use seal::{Kind, StoreKey};
pub(crate) use state::Pairing;
pub(crate) use window::{at_start, watch};
