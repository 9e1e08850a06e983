//! Operator-facing views and errors; the modules hold the operator's methods of `Gateway`.
//!
//! The HTTP API and the extension host call these methods. They read and write the store, push
//! decisions through the gateway's shared state, and serve no connection themselves.

pub(crate) mod audit;
pub(crate) mod bound_setup;
pub(crate) mod certificates;
pub(crate) mod codes;
pub(crate) mod deliveries;
pub(crate) mod devices;
pub(crate) mod dispatch;
#[cfg(feature = "extensions")]
pub(crate) mod extension_host;
#[cfg(not(feature = "extensions"))]
#[path = "operator/no_extension_host.rs"]
pub(crate) mod extension_host;
pub(crate) mod final_decisions;
pub(crate) mod gate_events;
pub(crate) mod health;
pub(crate) mod logins;
pub(crate) mod nodes;
pub(crate) mod paired;
pub(crate) mod ping;
pub(crate) mod pins;
pub(crate) mod policies;
pub(crate) mod provisioning;
#[cfg(feature = "tls")]
pub(crate) mod revocation_lists;
#[cfg(not(feature = "tls"))]
#[path = "operator/no_revocation_lists.rs"]
pub(crate) mod revocation_lists;
pub(crate) mod sessions;
pub(crate) mod setup_codes;
#[cfg(test)]
pub(crate) mod setup_tests;
pub(crate) mod window;

pub use crate::gateway::operator_types::{
    Device, Issued, IssuedCredential, OperatorError, Summary,
};
pub use audit::SignedCheckpoint;
pub use codes::{CodeKind, LiveCode, MintedCode, NewCode};
pub use dispatch::{DispatchStatus, NewDispatch};
pub use logins::{LoginLinkMade, LoginReach, TOKEN_LIFE, TokenMade};
pub use paired::{Offered, PairedNode, PermissionEnd, Revocation};
pub use ping::PingError;
pub use pins::ShownPin;
pub use policies::{NewPolicy, PolicyStatus};
pub use provisioning::{NewProvisioningToken, ProvisioningToken};
pub use revocation_lists::NotListed;
pub use setup_codes::{NewSetup, StartedSetup};
pub use window::PairingStatus;
