//! Setup codes on the gateway: an operator makes one, a companion scans it, and it yields a
//! session.
//!
//! | file | content |
//! |---|---|
//! | [`url`] | the gateway's address in a code: its sources, and checks on the parsed URL |
//! | `settings` | the operator's settings |
//! | `keys` | the keys that sign codes, and their rotation |
//! | `issue` | the creation of codes |
//! | `issued` | the codes that this run has made |
//! | `sessions` | spending a code, and the operator's decisions about sessions |
//! | `native` | codes that pair a node with keys |

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
