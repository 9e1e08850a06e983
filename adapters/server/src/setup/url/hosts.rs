//! Which hosts are of the local network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::Host;

/// Most characters of a name, and of a part of it.
const NAME: usize = 253;
const PART: usize = 63;

/// A host that may be reached in the clear although it is not of the local network, because the
/// operator said so (a private network of another kind, a VPN's names): one host as it stands, or
/// `*.suffix` for every name below a suffix, but not for the suffix itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraHost(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    One(Host<String>),
    /// With its leading dot.
    Below(String),
}

/// Why a text is no host that may be reached in the clear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is neither a host nor *. and a suffix: write it like gateway.example, 100.64.0.7, fd00::1 or *.vpn.example, without scheme or port"
)]
pub struct ExtraHostRefused {
    /// What was given, cut where it is longer than any host.
    pub text: String,
}

impl FromStr for ExtraHost {
    type Err = ExtraHostRefused;

    /// Reads `gateway.example`, an IP address (IPv6 with or without brackets), or `*.suffix`.
    /// Spellings that URLs have for one host are one here too.
    fn from_str(text: &str) -> Result<Self, ExtraHostRefused> {
        let text = text.trim();
        let refused = || ExtraHostRefused { text: text.chars().take(NAME).collect() };
        if text.len() > NAME {
            return Err(refused());
        }
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Ok(Self(Pattern::One(Host::Ipv6(ip))));
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        match Host::parse(name).map_err(|_| refused())? {
            Host::Domain(name) if !is_name(&name) => Err(refused()),
            Host::Domain(name) if below => Ok(Self(Pattern::Below(format!(".{name}")))),
            _ if below => Err(refused()),
            host => Ok(Self(Pattern::One(host))),
        }
    }
}

impl ExtraHost {
    /// Whether this is the host, or one of these hosts. A name has to be one of [`is_name`], but
    /// for a dot at its end.
    pub(super) fn matches(&self, host: &Host<&str>) -> bool {
        match (&self.0, host) {
            (Pattern::One(one), host) => one == host,
            (Pattern::Below(suffix), Host::Domain(name)) => name.ends_with(suffix),
            (Pattern::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

/// Whether a host is reached within this machine or this network, or by a name that only it
/// answers. A name has to be one of [`is_name`], but for a dot at its end.
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

/// The address that a host is, without the IPv6 form of an IPv4 address.
pub(super) fn ip(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => Some(ip.to_canonical()),
    }
}

/// Whether a name is one that the DNS could hold: parts of letters, digits, `-` and `_` with single
/// dots between, none at the end.
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
