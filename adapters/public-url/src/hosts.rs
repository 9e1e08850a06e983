//! Recognition of hosts on the local network.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

pub(super) use handfast_core::wire::local_host::is_name;
use handfast_core::wire::local_host::{is_local_ip, is_local_name};
use url::Host;

/// Maximum length of a host in an option, in characters.
const LONGEST: usize = 253;

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
        let refused = || ExtraHostRefused { text: text.chars().take(LONGEST).collect() };
        if text.len() > LONGEST {
            return Err(refused());
        }
        // The parser of hosts takes an IPv6 address in brackets alone.
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
        Host::Domain(name) => is_local_name(name),
        Host::Ipv4(ip) => is_local_ip(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => is_local_ip(IpAddr::V6(*ip)),
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
