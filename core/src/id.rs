//! Identifiers and where a request came from.

use core::net::IpAddr;

use crate::entropy::Entropy;

/// A node's identifier: a version 4 UUID (RFC 9562), made by the gateway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 16]);

/// Length of a [`NodeId`] as text.
pub const NODE_ID_TEXT: usize = 36;

impl NodeId {
    /// A fresh identifier.
    #[must_use]
    pub fn new(entropy: &Entropy<16>) -> Self {
        let mut bytes = *entropy.expose();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Any UUID, as stored or as imported from another system.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, big endian as RFC 9562 has it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses the 36-character form in lower case, the only one a gateway issues. Anything else
    /// names no node.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; NODE_ID_TEXT] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0u8; 16];
        let mut digits = text.iter().enumerate().filter_map(|(at, &c)| match (is_dash(at), c) {
            (true, b'-') => None,
            (true, _) => Some(None),
            (false, b'0'..=b'9') => Some(Some(c.wrapping_sub(b'0'))),
            (false, b'a'..=b'f') => Some(Some(c.wrapping_sub(b'a').wrapping_add(10))),
            (false, _) => Some(None),
        });
        for byte in &mut bytes {
            let high = digits.next()??;
            let low = digits.next()??;
            *byte = high << 4 | low;
        }
        match digits.next() {
            None => Some(Self(bytes)),
            Some(_) => None,
        }
    }

    /// The 36-character form, for instance `caa4270d-912f-4099-ac2d-45e9d0253e3e`.
    #[must_use]
    pub fn text(&self) -> NodeIdText {
        let mut out = [b'-'; NODE_ID_TEXT];
        let mut digits = self.0.iter().flat_map(|b| [b >> 4, b & 0x0f]);
        for (at, place) in out.iter_mut().enumerate() {
            if is_dash(at) {
                continue;
            }
            if let Some(digit) = digits.next() {
                *place = hex_digit(digit);
            }
        }
        NodeIdText(out)
    }
}

fn is_dash(at: usize) -> bool {
    matches!(at, 8 | 13 | 18 | 23)
}

pub(crate) fn hex_digit(nibble: u8) -> u8 {
    match nibble & 0x0f {
        digit @ 0..=9 => digit.wrapping_add(b'0'),
        letter => letter.wrapping_sub(10).wrapping_add(b'a'),
    }
}

impl core::fmt::Display for NodeId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl core::fmt::Debug for NodeId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "NodeId({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for NodeId {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.text().as_str());
    }
}

/// A [`NodeId`] as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdText([u8; NODE_ID_TEXT]);

impl NodeIdText {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only hex digits and dashes are ever written; the fallback is never taken.
        core::str::from_utf8(&self.0).unwrap_or("")
    }
}

/// An identifier of 16 random bytes that nobody looks into, and how it is made, stored and read
/// back.
macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $name([u8; 16]);

        impl $name {
            /// A fresh one.
            #[must_use]
            pub const fn new(entropy: &$crate::entropy::Entropy<16>) -> Self {
                Self(*entropy.expose())
            }

            /// One that a store kept.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes, for a store.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }
    };
}
pub(crate) use opaque_id;

/// Where a connection comes from, as coarse as budgets count it: an IPv4 address, or an IPv6 /64,
/// of which one household has many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source([u8; 16]);

impl Source {
    /// The source that an address counts for. An IPv4 address mapped into IPv6 is that IPv4
    /// address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self(core::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).octets())
            }
        }
    }

    /// A source that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the network, for a store's index.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// As people write it: an IPv4 address, or the /64 of IPv6.
impl core::fmt::Display for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let address = core::net::Ipv6Addr::from(self.0);
        match address.to_ipv4_mapped() {
            Some(address) => address.fmt(f),
            None => write!(f, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const TEXT: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        assert_eq!(NodeId::parse(TEXT).unwrap().to_string(), TEXT);
    }

    #[test]
    fn a_fresh_id_is_a_version_4_uuid() {
        let text = NodeId::new(&Entropy::from_recorded([0xff; 16])).to_string();
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn anything_but_the_canonical_form_names_no_node() {
        for bad in [
            "",
            "caa4270d",
            "CAA4270D-912F-4099-AC2D-45E9D0253E3E",
            "caa4270d-912f-4099-ac2d-45e9d0253e3",
            "caa4270d-912f-4099-ac2d-45e9d0253e3e0",
            "caa4270d0912f-4099-ac2d-45e9d0253e3e",
            "caa4270d-912f-4099-ac2d-45e9d0253e3g",
            "--------------------------------0000",
        ] {
            assert_eq!(NodeId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_household_of_ipv6_addresses_is_one_source() {
        let of = |s: &str| Source::of(s.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(
            (of("192.0.2.1").to_string(), of("2001:db8::1").to_string()),
            ("192.0.2.1".into(), "2001:db8::/64".into())
        );
        assert_eq!(Source::from_bytes(*of("2001:db8::1").as_bytes()), of("2001:db8::2"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
