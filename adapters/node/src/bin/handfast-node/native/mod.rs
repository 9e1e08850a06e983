//! Nodes of the native wire: paired with a PIN, a code, an invitation, a setup code or an approval.

pub(crate) mod dialogue;
#[cfg(feature = "discovery")]
mod discover;
pub(crate) mod pair;
pub(crate) mod run;
pub(crate) mod status;
