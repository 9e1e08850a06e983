//! The table of all keys.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use handfast_core::time::Span;

use super::settings::Settings;
use super::value::{Problem, Value};

mod gateway;
mod inbound;
mod limits;
mod pairing;
mod setup;

/// One key of the file, which is one option too, unless only the file has room for what it says.
pub(super) struct Key {
    /// The table that it stands in; empty for the file's top level.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// What the option is called, without its dashes; empty if there is none.
    pub(super) option: &'static str,
    /// What stands for the option's value in the help.
    pub(super) placeholder: &'static str,
    pub(super) form: Form,
    pub(super) help: &'static str,
    /// Checks a value and puts it in its place.
    pub(super) read: fn(&mut Settings, &Value<'_>) -> Result<(), Problem>,
    /// The value as TOML that reads back; None where there is nothing to say.
    pub(super) show: fn(&Settings) -> Option<String>,
}

/// How often an option is given, and with what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Once, with a value.
    One,
    /// Any number of times, with a value each.
    Many,
    /// Once, alone or with `=false`.
    Flag,
    /// Never: it stands in the file alone.
    FileOnly,
}

/// The tables of the file, each with its heading in the help.
pub(super) const SECTIONS: [(&str, &str); 4] = [
    ("pairing", "Pairing"),
    ("setup", "Setup codes"),
    ("inbound", "Inbound gate"),
    ("limits", "Limits"),
];

/// What an address has to look like.
pub(super) const ADDRESS: &str = "it must be an IP address and a port, as in \"127.0.0.1:8765\"";
pub(super) const MILLISECOND: Span = Span::from_millis(1);
pub(super) const SECOND: Span = Span::from_secs(1);
pub(super) const MINUTE: Span = Span::from_secs(60);
pub(super) const DAY: Span = Span::from_secs(86_400);
pub(super) const YEAR: Span = Span::from_secs(365 * 86_400);
/// How long grants may live.
pub(super) const EXPIRIES: RangeInclusive<Span> =
    Span::from_secs(3600)..=Span::from_secs(3650 * 86_400);
const MOST: u64 = u32::MAX as u64;

/// Every key. Those of one table stand together; where two are given at once that say the same
/// thing, the later one counts.
pub(super) static KEYS: LazyLock<Vec<&'static Key>> = LazyLock::new(|| {
    [gateway::KEYS, pairing::KEYS, setup::KEYS, inbound::KEYS, limits::KEYS]
        .into_iter()
        .flatten()
        .collect()
});
