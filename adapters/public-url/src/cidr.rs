//! Networks of IP addresses, for rules.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network: all addresses with the same prefix. As text `192.168.1.0/24`, `fd00::/8`, or a single
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    first: IpAddr,
    prefix: u8,
}

/// Reasons why a text is not a [`Net`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANet {
    /// Neither an address nor an address, a slash and a length.
    #[error("a network reads 192.168.1.0/24, fd00::/8, or is one address")]
    Malformed,
    /// The address has bits set beyond the prefix length, so one of the two is a mistake.
    #[error("the address has bits behind its first {}; the network that holds it is {}", .0.prefix, .0)]
    LooseBits(Net),
}

impl Net {
    /// Returns `true` if the address lies in the network. An IPv4-mapped IPv6 address counts as its
    /// IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        // A socket for both families shows an IPv4 peer by a mapped address.
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                masked(address.to_canonical(), self.prefix) == self.first
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Returns the address with only its first `prefix` bits.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::from(
            // An empty prefix shifts by the full width, for which `checked_shl` has no value.
            (v4.to_bits()
                & u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0))
            .to_be_bytes(),
        ),
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl FromStr for Net {
    type Err = NotANet;

    fn from_str(text: &str) -> Result<Self, NotANet> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NotANet::Malformed)?;
        let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            // The parser of numbers would take a sign as well.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| NotANet::Malformed)?
            }
            Some(_) => return Err(NotANet::Malformed),
        };
        if prefix > longest {
            return Err(NotANet::Malformed);
        }
        let net = Self { first: masked(address, prefix), prefix };
        if net.first == address { Ok(net) } else { Err(NotANet::LooseBits(net)) }
    }
}

impl std::fmt::Display for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(net: &str, address: &str) -> bool {
        net.parse::<Net>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        assert!(holds("192.168.1.0/24", "192.168.1.77") && !holds("192.168.1.0/24", "192.168.2.1"));
        assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe80::1"));
        assert!(holds("10.0.0.1", "10.0.0.1") && !holds("10.0.0.1", "10.0.0.2"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("::/0", "::1") && !holds("::/0", "8.8.8.8"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0/8",
            "localhost",
            "10.0.0.0/256",
            "1.2.3.4/ 8",
        ] {
            assert_eq!(text.parse::<Net>(), Err(NotANet::Malformed), "{text}");
        }
    }

    #[test]
    fn an_address_with_bits_behind_the_prefix_is_refused_with_the_network_that_holds_it() {
        let error = "10.0.0.5/8".parse::<Net>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the address has bits behind its first 8; the network that holds it is 10.0.0.0/8"
        );
        assert!("fd00::1/64".parse::<Net>().is_err());
    }

    #[test]
    fn a_network_prints_as_it_reads() {
        for text in ["192.168.1.0/24", "0.0.0.0/0", "fd00::/8", "::1/128"] {
            assert_eq!(text.parse::<Net>().unwrap().to_string(), text);
        }
    }
}
