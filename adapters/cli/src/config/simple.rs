//! Readers of values that are neither a single number or word nor a large table.

use std::net::SocketAddr;
use std::time::Duration;

use handfast_core::Span;
use handfast_core::limits::INVITE_ADDRESSES;
use handfast_core::wire::gateway_address::GatewayAddress;
use handfast_server::ca::is_name;
use handfast_server::public_url::{Net, NotANet};

use super::duration::{lasting, show};
use super::keys::{DAY, EXPIRIES, SECOND};
use super::kinds::ADDRESS;
use super::print::quoted;
use super::settings::{Listener, Serial};
use super::value::{ConfigProblem, ConfigValue, unknown};

/// Reads listeners of the native wire: an address each, or a table; as a word of an option, an
/// address that `,proxy_protocol` may follow.
pub(super) fn listeners(value: &ConfigValue<'_>) -> Result<Vec<Listener>, ConfigProblem> {
    value.items().iter().map(listener).collect()
}

fn listener(item: &ConfigValue<'_>) -> Result<Listener, ConfigProblem> {
    const TABLE: &str = "a listener in listen_tcp";
    let address =
        |value: &ConfigValue<'_>, text: &str| text.parse().map_err(|_| value.wrong(ADDRESS));
    if !item.is_table() {
        let text = item.text().map_err(|_| item.wrong(ADDRESS))?;
        let bare = item.as_words().and_then(|_| text.strip_suffix(",proxy_protocol"));
        return Ok(Listener {
            address: address(item, bare.unwrap_or(text))?,
            proxy_protocol: bare.is_some(),
        });
    }
    let (mut found, mut proxy_protocol) = (None, false);
    for field in item.fields(TABLE)? {
        match field.name {
            "address" => found = Some(address(&field.value, field.value.text()?)?),
            "proxy_protocol" => proxy_protocol = field.value.flag()?,
            name => return Err(unknown(name, TABLE, field.offset, &["address", "proxy_protocol"])),
        }
    }
    let address =
        found.ok_or_else(|| item.lacks("`address` is missing: an IP address and a port"))?;
    Ok(Listener { address, proxy_protocol })
}

/// Formats a listener as TOML.
pub(super) fn show_listener(listener: &Listener) -> String {
    match listener.proxy_protocol {
        false => quoted(listener.address),
        true => format!("{{ address = {}, proxy_protocol = true }}", quoted(listener.address)),
    }
}

/// Reads networks or single addresses.
pub(super) fn nets(value: &ConfigValue<'_>) -> Result<Vec<Net>, ConfigProblem> {
    let read = |item: &ConfigValue<'_>| {
        item.text()?.parse().map_err(|error: NotANet| item.wrong(error.to_string()))
    };
    value.items().iter().map(read).collect()
}

/// Reads hosts that a certificate may name.
pub(super) fn certified_names(value: &ConfigValue<'_>) -> Result<Vec<String>, ConfigProblem> {
    let need = "it must be a DNS name or an IP address, without a port";
    let read = |text: &str| is_name(text).then(|| text.to_owned());
    value.items().iter().map(|item| item.parsed(need, read)).collect()
}

pub(super) fn addresses(value: &ConfigValue<'_>) -> Result<Vec<SocketAddr>, ConfigProblem> {
    value.items().iter().map(|item| item.parsed(ADDRESS, |text| text.parse().ok())).collect()
}

/// Reads addresses of the gateway for nodes.
pub(super) fn invited_to(value: &ConfigValue<'_>) -> Result<Vec<String>, ConfigProblem> {
    let need = "it must read ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT";
    let read = |text: &str| GatewayAddress::parse(text).map(|address| address.to_string());
    let items = value.items();
    if items.len() > INVITE_ADDRESSES {
        return Err(value.lacks(format!("an invitation has room for {INVITE_ADDRESSES} addresses")));
    }
    items.iter().map(|item| item.parsed(need, read)).collect()
}

pub(super) fn serials(value: &ConfigValue<'_>) -> Result<Vec<Serial>, ConfigProblem> {
    value.items().iter().map(serial).collect()
}

/// Reads a device and its speed. The speed follows the last colon if only digits do: paths below
/// `/dev/serial/by-path` contain colons themselves.
fn serial(value: &ConfigValue<'_>) -> Result<Serial, ConfigProblem> {
    let need = "it must be a path, or a path and a speed from 50 to 20000000 as in \
                \"/dev/ttyACM0:115200\"";
    let text =
        value.parsed(need, |text| (!text.is_empty() && !text.contains('\0')).then_some(text))?;
    let is_speed = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.rsplit_once(':').filter(|(_, speed)| is_speed(speed)) {
        None => Ok(Serial { path: value.beside(text), baud: Serial::BAUD }),
        Some((path, speed)) => match speed.parse() {
            Ok(baud @ 50..=20_000_000) if !path.is_empty() => {
                Ok(Serial { path: value.beside(path), baud })
            }
            Ok(_) | Err(_) => Err(value.wrong(need)),
        },
    }
}

pub(super) fn window(value: &ConfigValue<'_>) -> Result<Option<Duration>, ConfigProblem> {
    match value.choice(&[("none", ())]) {
        Ok(()) => Ok(None),
        Err(_) => value
            .duration(SECOND..=DAY)
            .map(lasting)
            .map(Some)
            .map_err(|problem| problem.or("none")),
    }
}

/// Reads the time after its end in which a grant is renewed: a duration, or `never`.
pub(super) fn renewal(value: &ConfigValue<'_>) -> Result<Span, ConfigProblem> {
    match value.choice(&[("never", ())]) {
        Ok(()) => Ok(Span::from_secs(0)),
        Err(_) => value.duration(EXPIRIES).map_err(|problem| problem.or("never")),
    }
}

pub(super) fn show_renewal(within: &Span) -> String {
    if *within == Span::from_secs(0) { "never".to_owned() } else { show(*within) }
}
