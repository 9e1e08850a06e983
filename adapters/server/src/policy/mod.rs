//! Pairing policy: settings, rules, and the embedder's handler.
//!
//! The modules decide and validate; `pairing` and `operator` carry the decisions out.

pub(crate) mod handler;
pub(crate) mod login_settings;
pub(crate) mod origin;
pub(crate) mod request;
pub(crate) mod rules;
pub(crate) mod settings;
pub(crate) mod setup_settings;

pub use handler::{PairingDecision, PairingHandler, PairingRequest, ProofMethod};
pub use login_settings::LoginSettings;
pub use rules::{ApprovalTerms, Glob, Rule, RuleVerdict, Rules, When};
pub use settings::{Approve, OPEN_FOR, PIN_CHARS, PairingSettings};
pub use setup_settings::SetupSettings;
