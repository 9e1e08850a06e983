//! Addresses of a gateway in invitations: `ws://192.168.1.10:8765`, `wss://gateway.local:443`,
//! `tcp://[2001:db8::1]:7331`.
//!
//! An address is always a carrier, a host and a port, and nothing else: no user, no path, no
//! escape. It is case-insensitive and otherwise has one spelling: numbers have no leading zeros, an
//! IPv6 address is in the form of RFC 5952, an IPv4 address is four numbers.

use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::GATEWAY_ADDRESS_BYTES;

/// The transport to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AddressScheme {
    /// `ws`: WebSocket.
    WebSocket,
    /// `wss`: WebSocket within TLS.
    WebSocketTls,
    /// `tcp`: frames on a byte stream.
    Stream,
}

impl AddressScheme {
    /// Returns the scheme of an address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::WebSocketTls => "wss",
            Self::Stream => "tcp",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let named = |carrier: &Self| text.eq_ignore_ascii_case(carrier.as_str());
        [Self::WebSocket, Self::WebSocketTls, Self::Stream].into_iter().find(named)
    }
}

/// The host of an address. It is never the unspecified address or a multicast one.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Host<'b> {
    /// An IPv4 address, not the broadcast address.
    V4(Ipv4Addr),
    /// An IPv6 address that is not a mapped IPv4 address.
    V6(Ipv6Addr),
    /// A host name: labels of letters, digits and dashes, in any case. No resolver takes its last
    /// label for a number.
    Name(&'b str),
}

impl<'b> Host<'b> {
    fn parse(text: &'b str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[') {
            let ip: Ipv6Addr = inside.strip_suffix(']')?.parse().ok()?;
            // A mapped IPv4 address would be a second spelling of an IPv4 address.
            let odd = ip.is_unspecified() || ip.is_multicast() || ip.to_ipv4_mapped().is_some();
            return (!odd).then_some(Self::V6(ip));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return (!ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast())
                .then_some(Self::V4(ip));
        }
        is_name(text).then_some(Self::Name(text))
    }
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::V4(ours), Self::V4(theirs)) => ours == theirs,
            (Self::V6(ours), Self::V6(theirs)) => ours == theirs,
            (Self::Name(ours), Self::Name(theirs)) => ours.eq_ignore_ascii_case(theirs),
            (Self::V4(_) | Self::V6(_) | Self::Name(_), _) => false,
        }
    }
}

impl Eq for Host<'_> {}

impl fmt::Display for Host<'_> {
    /// Writes the form within an address: names in lower case, IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => write!(f, "{ip}"),
            Self::V6(ip) => write!(f, "[{ip}]"),
            Self::Name(name) => name.chars().try_for_each(|c| f.write_char(c.to_ascii_lowercase())),
        }
    }
}

/// The address of a gateway: carrier, host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GatewayAddress<'b> {
    carrier: AddressScheme,
    host: Host<'b>,
    port: u16,
}

impl<'b> GatewayAddress<'b> {
    /// Reads `carrier://host:port`; returns `None` for any other spelling.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        if text.len() > GATEWAY_ADDRESS_BYTES {
            return None;
        }
        // A search for one character; that for a text would take a device 6 KB of flash.
        let (carrier, rest) = text.split_once(':')?;
        let rest = rest.strip_prefix("//")?;
        // The port is cut off at the end, because an IPv6 address has colons as well.
        let (host, port) = rest.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let address =
            Self { carrier: AddressScheme::parse(carrier)?, host: Host::parse(host)?, port };
        // Numbers and IPv6 addresses have several spellings; only the canonical one is accepted.
        let mut expected = Expected(text);
        (write!(expected, "{address}").is_ok() && expected.0.is_empty()).then_some(address)
    }

    /// Returns the carrier.
    #[must_use]
    pub const fn carrier(&self) -> AddressScheme {
        self.carrier
    }

    /// Returns the host.
    #[must_use]
    pub const fn host(&self) -> Host<'b> {
        self.host
    }

    /// Returns the port, which is not 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for GatewayAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.carrier.as_str(), self.host, self.port)
    }
}

/// Returns `true` if a text is a host name. A browser or a C library would read a name whose last
/// label is a number as an IPv4 address: `127.1`, `0x7f000001`.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    // A parser of URLs takes a host that ends in a number for an IPv4 address.
    let number = match last.as_bytes() {
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    !number && text.split('.').all(label)
}

/// The text that the writer is expected to write, in any case; each write removes its part.
struct Expected<'t>(&'t str);

impl Write for Expected<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (start, rest) = self.0.split_at_checked(text.len()).ok_or(fmt::Error)?;
        self.0 = rest;
        if start.eq_ignore_ascii_case(text) { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn an_address_is_written_as_it_was_read_but_for_its_case() {
        for text in [
            "ws://192.168.1.10:8765",
            "tcp://[2001:db8::1]:1",
            "wss://gateway.local:443",
            "ws://3d-printer:80",
            "ws://a.xn--p1ai:65535",
            "ws://0xyz:1",
            "ws://[::1]:8765",
        ] {
            assert_eq!(GatewayAddress::parse(text).unwrap().to_string(), text);
            let upper = text.to_uppercase();
            assert_eq!(GatewayAddress::parse(&upper), GatewayAddress::parse(text));
            assert_eq!(GatewayAddress::parse(&upper).unwrap().to_string(), text);
        }
    }

    #[test]
    fn its_parts_are_told() {
        let address = GatewayAddress::parse("WSS://Gateway.local:443").unwrap();
        assert_eq!(
            (address.carrier(), address.host(), address.port()),
            (AddressScheme::WebSocketTls, Host::Name("gateway.local"), 443)
        );
        let other = GatewayAddress::parse("ws://127.0.0.1:8765").unwrap();
        assert_eq!(
            (other.carrier(), other.host()),
            (AddressScheme::WebSocket, Host::V4(Ipv4Addr::LOCALHOST))
        );
    }

    #[test]
    fn what_is_written_otherwise_is_no_address() {
        for text in [
            "",
            "ws",
            "ws://",
            "ws://pi",
            "ws://pi:",
            "ws://:80",
            "pi:80",
            "http://pi:80",
            "ws:/pi:80",
            "ws:///pi:80",
            " ws://pi:80",
            "ws://pi:80 ",
            "ws://p i:80",
            "ws://pi\t:80",
            "ws://pi\u{0}:80",
            "ws://p\u{fc}:80",
            // The Kelvin sign, whose lower case is an ASCII k.
            "ws://\u{212a}:80",
        ] {
            assert_eq!(GatewayAddress::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn neither_user_nor_path_nor_query_nor_escape_is_read() {
        for text in [
            "ws://me@pi:80",
            "ws://me:secret@pi:80",
            "ws://pi:80/",
            "ws://pi:80/pair",
            "ws://pi:80?x",
            "ws://pi:80#x",
            "ws://pi/..:80",
            "ws://pi\\x:80",
            "ws://p%69:80",
            "ws://[fe80::1%25eth0]:80",
            "ws://[fe80::1%eth0]:80",
            "ws://pi_4:80",
            "ws://*.local:80",
        ] {
            assert_eq!(GatewayAddress::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_second_writing_of_a_host_or_port_is_none() {
        for text in [
            "ws://pi:0",
            "ws://pi:080",
            "ws://pi:+80",
            "ws://pi:-1",
            "ws://pi:65536",
            "ws://pi:80:80",
            "ws://127.1:80",
            "ws://2130706433:80",
            "ws://0x7f000001:80",
            "ws://0x:80",
            "ws://a.0X7F:80",
            "ws://010.0.0.1:80",
            "ws://1.2.3.4.5:80",
            "ws://1.2.3.256:80",
            "ws://pi.:80",
            "ws://.pi:80",
            "ws://a..b:80",
            "ws://-a:80",
            "ws://a-:80",
            "ws://::1:80",
            "ws://[::1:80",
            "ws://::1]:80",
            "ws://[]:80",
            "ws://[[::1]]:80",
            "ws://[0:0::1]:80",
            "ws://[0:0:0:0:0:0:0:1]:80",
            "ws://[2001:0db8::1]:80",
            "ws://[::ffff:1.2.3.4]:80",
            "ws://[::ffff:102:304]:80",
            "ws://[127.0.0.1]:80",
        ] {
            assert_eq!(GatewayAddress::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_one_hosts_address_is_none() {
        for text in [
            "ws://0.0.0.0:80",
            "ws://255.255.255.255:80",
            "ws://224.0.0.251:80",
            "ws://[::]:80",
            "ws://[ff02::fb]:80",
        ] {
            assert_eq!(GatewayAddress::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn labels_and_addresses_have_their_longest() {
        let (label, longer) = ("a".repeat(63), "a".repeat(64));
        assert!(GatewayAddress::parse(&std::format!("ws://{label}:80")).is_some());
        assert_eq!(GatewayAddress::parse(&std::format!("ws://{longer}:80")), None);
        let rest = "b".repeat(GATEWAY_ADDRESS_BYTES - "ws://.:80".len() - 63);
        assert!(GatewayAddress::parse(&std::format!("ws://{label}.{rest}:80")).is_some());
        assert_eq!(GatewayAddress::parse(&std::format!("ws://{label}.{rest}b:80")), None);
    }
}
