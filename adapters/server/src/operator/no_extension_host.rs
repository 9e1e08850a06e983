//! The gateway's side of its extensions in a build without the feature `extensions`.

use std::sync::Arc;

use crate::extension::{ConfigError, ExtensionConfig, Extensions};
use crate::gateway::Inner;
use crate::operator::gate_events::GatewayCell;

/// Returns no extensions.
pub(crate) fn build(_: Vec<ExtensionConfig>, _: &GatewayCell) -> Result<Extensions, ConfigError> {
    Ok(Extensions)
}

/// Starts nothing.
pub(crate) const fn start(_: &Arc<Inner>) {}
