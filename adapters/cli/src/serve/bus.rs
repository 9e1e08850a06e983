//! The bus between gateways that share a registry.

use handfast_cli::config::ServeSettings;
use handfast_server::{BusAddress, BusSettings};

use crate::End;

/// Returns the settings of the bus; `None` for a gateway without one.
pub(crate) fn settings(settings: &ServeSettings) -> Result<Option<BusSettings>, End> {
    let Some(url) = &settings.bus else { return Ok(None) };
    let usage = |problem: String| End::Usage(format!("{url}: {problem}"));
    let address = BusAddress::parse(url.expose()).map_err(usage)?;
    let authorities = match &settings.bus_authorities {
        Some(file) => Some(
            std::fs::read(file)
                .map_err(|error| End::Refused(format!("{}: {error}", file.display())))?,
        ),
        None => None,
    };
    let bus = BusSettings { address, authorities };
    bus.check().map_err(usage)?;
    Ok(Some(bus))
}
