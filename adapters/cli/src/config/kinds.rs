//! The kinds of values that keys have.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use handfast_core::grant::scope::ScopesBuf;
use handfast_core::{Label, Span};
use handfast_server::ca::{NodeUri, NotANodeUri};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::companions::address;
use super::duration::{lasting, show, show_lasting};
use super::key::{Form, Kind, Stored};
use super::print::{list, path, quoted};
use super::tables::{permissions, show_permissions};
use super::value::{ConfigProblem, ConfigValue};

/// Error text for an invalid address.
pub(super) const ADDRESS: &str = "it must be an IP address and a port, as in \"127.0.0.1:8765\"";

impl<T: 'static> Kind<T> {
    /// Returns a kind that replaces the field's value.
    pub(super) fn new(
        placeholder: impl Into<String>,
        read: impl Fn(&ConfigValue<'_>) -> Result<T, ConfigProblem> + Send + Sync + 'static,
        show: impl Fn(&T) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::changing(
            placeholder,
            move |value, field| read(value).map(|given| *field = given),
            show,
        )
    }

    /// Returns a kind whose value is a part of the field.
    pub(super) fn changing(
        placeholder: impl Into<String>,
        store: impl Fn(&ConfigValue<'_>, &mut T) -> Stored + Send + Sync + 'static,
        show: impl Fn(&T) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let (store, show) = (Box::new(store), Box::new(show));
        Self { placeholder: placeholder.into(), form: Form::One, store, show }
    }

    /// Makes the option repeatable.
    pub(super) fn repeated(self) -> Self {
        Self { form: Form::Many, ..self }
    }
}

/// `true` or `false`; the option alone is `true`.
pub(super) fn flag() -> Kind<bool> {
    let kind =
        Kind::new("true|false", |value| value.flag(), |value: &bool| Some(value.to_string()));
    Kind { form: Form::Flag, ..kind }
}

/// A whole number.
pub(super) fn number<N>(allowed: RangeInclusive<u64>) -> Kind<N>
where
    N: TryFrom<u64> + Display + 'static,
{
    Kind::new(
        "N",
        move |value| value.number(allowed.clone()),
        |number: &N| Some(number.to_string()),
    )
}

/// The port of an address.
pub(super) fn port() -> Kind<SocketAddr> {
    let store = |value: &ConfigValue<'_>, address: &mut SocketAddr| {
        value.number(0..=65_535).map(|port| address.set_port(port))
    };
    // The address itself is printed with its port.
    Kind::changing("PORT", store, |_| None)
}

/// A duration.
pub(super) fn span(allowed: RangeInclusive<Span>) -> Kind<Span> {
    Kind::new(
        "TIME",
        move |value| value.duration(allowed.clone()),
        |span| Some(quoted(show(*span))),
    )
}

/// A duration of the standard library.
pub(super) fn time(allowed: RangeInclusive<Span>) -> Kind<Duration> {
    let read = move |value: &ConfigValue<'_>| value.duration(allowed.clone()).map(lasting);
    Kind::new("TIME", read, |time| Some(quoted(show_lasting(*time))))
}

/// A duration, or a word in its place.
pub(super) fn time_or<T: 'static>(
    word: &str,
    read: fn(&ConfigValue<'_>) -> Result<T, ConfigProblem>,
    show: fn(&T) -> String,
) -> Kind<T> {
    Kind::new(format!("TIME|{word}"), read, move |time| Some(quoted(show(time))))
}

/// One of some words.
pub(super) fn choice<T>(choices: &'static [(&'static str, T)]) -> Kind<T>
where
    T: Copy + PartialEq + Send + Sync + 'static,
{
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    Kind::new(names.join("|"), |value| value.choice(choices), |chosen| name_of(choices, *chosen))
}

/// A path of a file or a directory.
pub(super) fn location(placeholder: &str) -> Kind<Option<PathBuf>> {
    Kind::new(placeholder, |value| value.path().map(Some), |found| found.as_deref().map(path))
}

/// A path of a directory that always has a value.
pub(super) fn directory() -> Kind<PathBuf> {
    Kind::new("DIR", |value| value.path(), |found: &PathBuf| Some(path(found)))
}

/// The name of a group of the system.
pub(super) fn group() -> Kind<Option<String>> {
    let need = "it must be the name of a group, of letters, digits, `_`, `.` and `-`";
    let read = move |value: &ConfigValue<'_>| {
        value.parsed(need, |text| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            let named = (1..=32).contains(&text.len()) && !text.starts_with('-');
            (named && text.bytes().all(fits)).then(|| Some(text.to_owned()))
        })
    };
    Kind::new("NAME", read, |name| name.as_ref().map(quoted))
}

/// An IP address with a port.
pub(super) fn socket() -> Kind<SocketAddr> {
    let read = |value: &ConfigValue<'_>| value.parsed(ADDRESS, |text| text.parse().ok());
    Kind::new("ADDR:PORT", read, |address| Some(quoted(address)))
}

/// A text.
pub(super) fn text(
    placeholder: &str,
    read: fn(&ConfigValue<'_>) -> Result<String, ConfigProblem>,
) -> Kind<String> {
    Kind::new(placeholder, read, |text| Some(quoted(text)))
}

/// A name for people.
pub(super) fn label() -> Kind<Option<String>> {
    let need = "it must be 1 to 64 characters, not blank and without control characters";
    let read = move |value: &ConfigValue<'_>| {
        value.parsed(need, |text| {
            let label = Label::parse(text).filter(|_| !text.trim().is_empty());
            label.map(|label| Some(label.as_str().to_owned()))
        })
    };
    Kind::new("NAME", read, |name| name.as_ref().map(quoted))
}

/// Directives for the log, in the notation of `RUST_LOG`.
pub(super) fn log() -> Kind<Option<String>> {
    let read = |value: &ConfigValue<'_>| {
        let need = "it must be levels (error, warn, info, debug, trace, off), of all or of a part \
                    as in handfast_server=debug, with commas between them";
        let level = |part: &str| {
            let level = part.rsplit('=').next().unwrap_or_default();
            !level.is_empty() && level.parse::<LevelFilter>().is_ok()
        };
        value.parsed(need, |text| {
            let valid = text.split(',').all(level) && EnvFilter::try_new(text).is_ok();
            valid.then(|| Some(text.to_owned()))
        })
    };
    Kind::new("LEVELS", read, |log| log.as_ref().map(quoted))
}

/// The URL of a gateway for companions.
pub(super) fn url() -> Kind<Option<String>> {
    Kind::new("URL", address, |url| url.as_ref().map(quoted))
}

/// The form of the URI that names a node.
pub(super) fn node_uri() -> Kind<NodeUri> {
    let read =
        |value: &ConfigValue<'_>| value.parsed(&NotANodeUri.to_string(), |text| text.parse().ok());
    Kind::new("URI", read, |uri| Some(quoted(uri)))
}

/// A list of texts.
pub(super) fn texts<T: Display + 'static>(
    placeholder: &str,
    read: fn(&ConfigValue<'_>) -> Result<Vec<T>, ConfigProblem>,
) -> Kind<Vec<T>> {
    listed(placeholder, read, |item| quoted(item))
}

/// A list of values of another form.
pub(super) fn listed<T: 'static>(
    placeholder: &str,
    read: fn(&ConfigValue<'_>) -> Result<Vec<T>, ConfigProblem>,
    show: fn(&T) -> String,
) -> Kind<Vec<T>> {
    Kind::new(placeholder, read, move |items| Some(list(items.iter().map(show)))).repeated()
}

/// An array of tables, which a printed file leaves out if it is empty: an empty list would conflict
/// with tables that are added to the file.
pub(super) fn tables<T: 'static>(
    placeholder: &str,
    read: fn(&ConfigValue<'_>) -> Result<Vec<T>, ConfigProblem>,
    show: fn(&T) -> String,
) -> Kind<Vec<T>> {
    let show = move |items: &Vec<T>| (!items.is_empty()).then(|| list(items.iter().map(show)));
    Kind::new(placeholder, read, show).repeated()
}

/// A set of permissions, whose table in the file has this heading.
pub(super) fn scopes(table: &'static str) -> Kind<ScopesBuf> {
    let read = |value: &ConfigValue<'_>| permissions(value, table);
    Kind::new("SCOPE", read, |scopes| Some(show_permissions(scopes))).repeated()
}

/// Returns the name of a choice as a TOML string.
pub(super) fn name_of<T: Copy + PartialEq>(choices: &[(&str, T)], chosen: T) -> Option<String> {
    choices.iter().find(|(_, choice)| *choice == chosen).map(|(name, _)| quoted(name))
}
