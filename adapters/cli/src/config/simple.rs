//! Readers of values that are more than one number or word and less than a table.

use std::net::SocketAddr;
use std::time::Duration;

use handfast_core::limits::INVITE_ADDRESSES;
use handfast_core::wire::gateway_address::GatewayAddress;

use super::duration::lasting;
use super::keys::{ADDRESS, DAY, SECOND};
use super::print::quoted;
use super::settings::Serial;
use super::value::{Problem, Value};

pub(super) fn addresses(value: &Value<'_>) -> Result<Vec<SocketAddr>, Problem> {
    value.items().iter().map(|item| item.parsed(ADDRESS, |text| text.parse().ok())).collect()
}

/// Where nodes reach the gateway.
pub(super) fn invited_to(value: &Value<'_>) -> Result<Vec<String>, Problem> {
    let need = "it must read ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT";
    let read = |text: &str| GatewayAddress::parse(text).map(|address| address.to_string());
    let items = value.items();
    if items.len() > INVITE_ADDRESSES {
        return Err(value.lacks(format!("an invitation has room for {INVITE_ADDRESSES} addresses")));
    }
    items.iter().map(|item| item.parsed(need, read)).collect()
}

/// A device, and its speed behind the last colon if only digits stand there: paths below `/dev/serial/by-path` hold colons themselves.
pub(super) fn serial(value: &Value<'_>) -> Result<Serial, Problem> {
    let need = "it must be a path, or a path and a speed from 50 to 20000000 as in \"/dev/ttyACM0:115200\"";
    let text = value.parsed(need, |text| (!text.is_empty() && !text.contains('\0')).then_some(text))?;
    let is_speed = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.rsplit_once(':').filter(|(_, speed)| is_speed(speed)) {
        None => Ok(Serial { path: value.beside(text), baud: Serial::BAUD }),
        Some((path, speed)) => match speed.parse() {
            Ok(baud @ 50..=20_000_000) if !path.is_empty() => Ok(Serial { path: value.beside(path), baud }),
            Ok(_) | Err(_) => Err(value.wrong(need)),
        },
    }
}

pub(super) fn window(value: &Value<'_>) -> Result<Option<Duration>, Problem> {
    match value.choice(&[("none", ())]) {
        Ok(()) => Ok(None),
        Err(_) => value.duration(SECOND..=DAY).map(lasting).map(Some).map_err(|problem| problem.or("none")),
    }
}

/// The name of a choice, as TOML.
pub(super) fn name_of<T: Copy + PartialEq>(choices: &[(&str, T)], chosen: T) -> Option<String> {
    choices.iter().find(|(_, choice)| *choice == chosen).map(|(name, _)| quoted(name))
}
