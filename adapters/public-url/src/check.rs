//! Invariants of every accepted address, checked by a second reader that shares nothing with the
//! first: it splits the text at the delimiters, as careless programs do. For tests and the fuzzer.

use std::net::{Ipv4Addr, Ipv6Addr};

use handfast_core::limits::SETUP_URL_BYTES;

use super::GatewayUrl;

/// Parses a text as an address without extra hosts, and compares the result with the second
/// reader's.
///
/// # Errors
/// The violated invariant.
pub fn check(text: &str) -> Result<(), &'static str> {
    let Ok(url) = GatewayUrl::parse(text, &[]) else { return Ok(()) };
    let carried = url.as_str();
    sound(carried.len() <= SETUP_URL_BYTES, "it is too long")?;
    sound(
        carried.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#'),
        "a character is left that is mended",
    )?;
    let Some((scheme, rest)) = carried.split_once("://") else { return Err("it has no scheme") };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    sound(!authority.contains('@'), "it holds credentials")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse::<u16>().map_err(|_| "its port is none")?)
        }
        _ => (authority, if matches!(scheme, "wss" | "https") { 443 } else { 80 }),
    };
    sound(scheme == url.scheme(), "two readings find two schemes")?;
    sound(host == url.host().to_string() && !host.is_empty(), "two readings find two hosts")?;
    sound(port == url.port() && port != 0, "two readings find two ports")?;
    match scheme {
        "wss" | "https" => sound(url.is_secure(), "it is taken for plain")?,
        "ws" | "http" => {
            sound(!url.is_secure() && near(host), "a plain connection goes out of this network")?;
        }
        _ => return Err("its scheme is another"),
    }
    sound(GatewayUrl::parse(carried, &[]).as_ref() == Ok(&url), "it does not read back")?;
    paired(&url, scheme, host, path)
}

fn paired(url: &GatewayUrl, scheme: &str, host: &str, path: &str) -> Result<(), &'static str> {
    let pair = url.pair_url();
    let (path, query) =
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    sound(
        pair.scheme() == if matches!(scheme, "wss" | "https") { "wss" } else { "ws" },
        "a companion uses another scheme",
    )?;
    sound(
        pair.host_str() == Some(host) && pair.port_or_known_default() == Some(url.port()),
        "a companion goes elsewhere",
    )?;
    sound(pair.query() == query, "a companion loses the query")?;
    let base = path.strip_suffix('/').unwrap_or(path);
    let base = base.strip_suffix("/pair").unwrap_or(base);
    sound(pair.path().strip_suffix("/pair") == Some(base), "a companion uses another path")
}

/// Returns `true` if a host, as it is written, is on this machine or network.
fn near(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let Ok(ip) = v6.parse::<Ipv6Addr>() else { return false };
        return match ip.octets() {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, _, _] => near_v4(a, b),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last] => last == 1,
            [first, second, ..] => first & 0xfe == 0xfc || (first == 0xfe && second & 0xc0 == 0x80),
        };
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        let [a, b, ..] = ip.octets();
        return near_v4(a, b);
    }
    let labels: Vec<&str> = host.split('.').collect();
    match labels[..] {
        ["localhost"] => true,
        [.., _, "local"] => labels.iter().all(|label| {
            !label.is_empty()
                && label.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'))
        }),
        _ => false,
    }
}

const fn near_v4(a: u8, b: u8) -> bool {
    matches!((a, b), (127 | 10, _) | (172, 16..=31) | (192, 168) | (169, 254))
}

const fn sound(holds: bool, what: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(what) }
}
