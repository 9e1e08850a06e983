//! Recognition of hosts on the local network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::Host;

/// Maximum length of a name, and of one of its parts, in characters.
const NAME: usize = 253;
const PART: usize = 63;

/// A host outside the local network that the operator allows without TLS (a private network of
/// another kind, the names of a VPN): one host verbatim, or `*.suffix` for every name below a
/// suffix, but not for the suffix itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraHost(HostPattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    One(Host<String>),
    /// The suffix with its leading dot.
    Below(String),
}

/// The reason for which a text is not an extra host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is neither a host nor *. and a suffix: write it like gateway.example, 100.64.0.7, fd00::1 or *.vpn.example, without scheme or port"
)]
pub struct ExtraHostRefused {
    /// The given text, cut if it is longer than any host.
    pub text: String,
}

impl FromStr for ExtraHost {
    type Err = ExtraHostRefused;

    /// Parses `gateway.example`, an IP address (IPv6 with or without brackets), or `*.suffix`.
    /// Spellings that URLs treat as one host are one host here, too.
    fn from_str(text: &str) -> Result<Self, ExtraHostRefused> {
        let text = text.trim();
        let refused = || ExtraHostRefused { text: text.chars().take(NAME).collect() };
        if text.len() > NAME {
            return Err(refused());
        }
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Ok(Self(HostPattern::One(Host::Ipv6(ip))));
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        match Host::parse(name).map_err(|_| refused())? {
            Host::Domain(name) if !is_name(&name) => Err(refused()),
            Host::Domain(name) if below => Ok(Self(HostPattern::Below(format!(".{name}")))),
            _ if below => Err(refused()),
            host @ (Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) => {
                Ok(Self(HostPattern::One(host)))
            }
        }
    }
}

impl ExtraHost {
    /// Returns `true` if the host matches. A name must satisfy [`is_name`], except for a dot at its
    /// end.
    pub(super) fn matches(&self, host: &Host<&str>) -> bool {
        match (&self.0, host) {
            (HostPattern::One(one), host) => one == host,
            (HostPattern::Below(suffix), Host::Domain(name)) => name.ends_with(suffix),
            (HostPattern::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

/// Returns `true` if a host is on this machine or network, or has a name that only they resolve. A
/// name must satisfy [`is_name`], except for a dot at its end.
pub(super) fn is_local(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".local"),
        Host::Ipv4(ip) => is_local_v4(*ip),
        Host::Ipv6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_local_v4(ip),
            None => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local(),
        },
    }
}

/// Returns the host's IP address, with IPv4-mapped IPv6 addresses as IPv4; `None` for a name.
pub(super) fn ip(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => Some(ip.to_canonical()),
    }
}

/// Returns `true` if a name is a valid DNS name: parts of letters, digits, `-` and `_` with single
/// dots between them, and no dot at the end.
pub(super) fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        (1..=PART).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= NAME && name.split('.').all(part)
}

const fn is_local_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || ip.is_private() || ip.is_link_local()
}
