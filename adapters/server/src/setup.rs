//! The public names of setup codes: an operator makes a code, a companion scans it, and it yields a
//! session.
//!
//! | name | content | defined in |
//! |---|---|---|
//! | [`url`] | the gateway's address in a code, and its checks | `public_url` |
//! | [`SetupSettings`] | the operator's settings | `policy` |
//! | [`KEY_FILE`], [`SetupKeyError`] | the keys that sign codes, and their rotation | `keys` |
//! | [`NewSetup`], [`StartedSetup`] | the creation of codes | `operator` |
//!
//! Spending a code and the decisions about sessions are in `operator::sessions`, codes that pair a
//! node with keys in `operator::bound_setup`, and the codes that this run has made in
//! `operator::issued`.

pub use crate::keys::setup::{KEY_FILE, PREVIOUS_KEY_FILE, SetupKeyError};
pub use crate::operator::setup_codes::{NewSetup, StartedSetup};
pub use crate::policy::setup_settings::SetupSettings;
pub use crate::public_url as url;

pub(crate) use crate::keys::setup::SetupKeys;
pub(crate) use crate::operator::bound_setup::OwnedSetup;
pub(crate) use crate::operator::issued::IssuedSetups;
