//! The table of all keys.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use handfast_core::time::Span;

use super::settings::ServeSettings;
use super::value::{ConfigProblem, ConfigValue};

mod gateway;
mod inbound;
mod limits;
mod pairing;
mod setup;

/// One key of the file, which is also an option, unless its value needs a table.
pub(super) struct ConfigKey {
    /// The table of the key; empty for the file's top level.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// Name of the option without its dashes; empty if there is none.
    pub(super) option: &'static str,
    /// Placeholder for the option's value in the help.
    pub(super) placeholder: &'static str,
    pub(super) form: Form,
    pub(super) help: &'static str,
    /// Checks a value and stores it in the settings.
    pub(super) read: fn(&mut ServeSettings, &ConfigValue<'_>) -> Result<(), ConfigProblem>,
    /// Returns the value as TOML that reads back; `None` if the key is not set.
    pub(super) show: fn(&ServeSettings) -> Option<String>,
}

/// The form of an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One option with a value.
    One,
    /// A repeatable option with a value each.
    Many,
    /// One option, alone or with `=false`.
    Flag,
    /// No option: the key exists only in the file.
    FileOnly,
}

/// Tables of the file, each with its heading in the help.
pub(super) const SECTIONS: [(&str, &str); 4] = [
    ("pairing", "Pairing"),
    ("setup", "Setup codes"),
    ("inbound", "Inbound gate"),
    ("limits", "Limits"),
];

/// Error text for an invalid address.
pub(super) const ADDRESS: &str = "it must be an IP address and a port, as in \"127.0.0.1:8765\"";
pub(super) const MILLISECOND: Span = Span::from_millis(1);
pub(super) const SECOND: Span = Span::from_secs(1);
pub(super) const MINUTE: Span = Span::from_secs(60);
pub(super) const DAY: Span = Span::from_secs(86_400);
pub(super) const YEAR: Span = Span::from_secs(365 * 86_400);
/// Allowed lifetimes of grants.
pub(super) const EXPIRIES: RangeInclusive<Span> =
    Span::from_secs(3600)..=Span::from_secs(3650 * 86_400);
const MOST: u64 = u32::MAX as u64;

/// Every key. Those of one table are adjacent. If two keys set the same thing (`listen` and
/// `port`), the later one in this table takes effect.
pub(super) static KEYS: LazyLock<Vec<&'static ConfigKey>> = LazyLock::new(|| {
    [gateway::KEYS, pairing::KEYS, setup::KEYS, inbound::KEYS, limits::KEYS]
        .into_iter()
        .flatten()
        .collect()
});
