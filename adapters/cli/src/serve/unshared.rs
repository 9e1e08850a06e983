//! The refusal of a program that was built without any database.

use std::path::Path;

use handfast_cli::config::{ServeSettings, StoreAddress};
use handfast_store::SqliteStore;

use super::signals::Signals;
use crate::End;

/// Refuses to open a registry that several gateways share.
pub(super) async fn open(
    address: &StoreAddress,
    _: &ServeSettings,
    _: &Path,
    _: &mut Signals,
) -> Result<Option<SqliteStore>, End> {
    let problem = "this program was built without PostgreSQL (the feature postgres)";
    Err(End::Refused(format!("{address}: {problem}")))
}
