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

pub use crate::keys::setup::{KEY_FILE, PREVIOUS_KEY_FILE, SetupKeyError};
pub use crate::operator::setup_codes::{NewSetup, StartedSetup};
pub use crate::policy::setup_settings::SetupSettings;
pub use crate::public_url as url;

pub(crate) use crate::keys::setup::SetupKeys;
pub(crate) use crate::operator::bound_setup::OwnedSetup;
pub(crate) use crate::operator::issued::IssuedSetups;
