//! Setup codes on the gateway: an operator starts, a companion scans, and a session comes of it.
//!
//! | file | concern |
//! |---|---|
//! | [`url`] | where a code says that the gateway is: resolved, and decided on the parsed URL |
//! | `settings` | what an operator may set |
//! | `keys` | the keys that sign codes, and their rotation |
//! | `issue` | making a code |
//! | `issued` | the codes that this run has made |
//! | `sessions` | spending a code, and what an operator does with sessions |
//! | `native` | a code that pairs a node with keys |

mod issue;
mod issued;
mod keys;
mod native;
mod sessions;
mod settings;
#[cfg(test)]
mod tests;
pub mod url;

pub use issue::{NewSetup, StartedSetup};
pub use keys::{KEY_FILE, PREVIOUS_KEY_FILE, SetupKeyError};
pub use settings::SetupSettings;

pub(crate) use issued::IssuedSetups;
pub(crate) use keys::SetupKeys;
pub(crate) use native::OwnedSetup;
