//! Hosts that may be reached without TLS, because they are on this machine or its network.

use core::net::{IpAddr, Ipv4Addr};

/// Maximum length of a name, and of one of its parts, in characters.
const NAME: usize = 253;
const PART: usize = 63;

/// Returns `true` if a name is a valid DNS name: parts of letters, digits, `-` and `_` with single
/// dots between them, and no dot at the end.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        (1..=PART).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= NAME && name.split('.').all(part)
}

/// Returns `true` if only this machine or its network resolves a name. The name must satisfy
/// [`is_name`], except for a dot at its end.
#[must_use]
pub fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".local")
}

/// Returns `true` if an address is a loopback, private or link-local one. An IPv4-mapped IPv6
/// address counts as its IPv4 address.
#[must_use]
pub fn is_local_ip(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_local_v4(ip),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local(),
    }
}

const fn is_local_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || ip.is_private() || ip.is_link_local()
}

/// Returns `true` if the host of a parsed URL, as the URL writes it, is on this machine or network,
/// or has a name that only they resolve.
#[must_use]
pub fn is_local(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match v6.unwrap_or(host).parse::<IpAddr>() {
        // In a URL an IPv6 address stands in brackets, and nothing else does.
        Ok(ip) => is_local_ip(ip) && ip.is_ipv6() == v6.is_some(),
        Err(_) => is_name(host) && is_local_name(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_this_machine_or_network_are_local() {
        for near in [
            "localhost",
            "pi.local",
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.10",
            "169.254.0.1",
            "[::1]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(is_local(near), "{near}");
        }
        for far in [
            "",
            "local",
            ".local",
            "gateway.example",
            "evil.example%2f.local",
            "pi.local.",
            "8.8.8.8",
            "100.64.0.7",
            "172.32.0.1",
            "[2001:db8::1]",
            "[::ffff:8.8.8.8]",
            "[127.0.0.1]",
            "::1",
            "[::1",
        ] {
            assert!(!is_local(far), "{far}");
        }
    }
}
