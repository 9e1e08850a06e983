//! Addresses of gateways on the native wire, with their transport.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use handfast_core::flow::native::found::FoundGateway;
use handfast_core::wire::gateway_address::{AddressScheme, GatewayAddress};

use crate::gateway_url::{GatewayUrl, UrlError};
use crate::tokens::router_of;

/// Speed in bits per second of a serial line whose address names none.
pub const DEFAULT_BAUD: u32 = 115_200;

/// The address of a gateway: `ws://…`, `wss://…`, `tcp://HOST:PORT`, `mtls://HOST:PORT` or
/// `serial:/dev/ttyUSB0?baud=115200`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayAt {
    /// A WebSocket, with or without TLS.
    WebSocket(GatewayUrl),
    /// Frames over TCP.
    Tcp {
        /// The host, without the brackets of an IPv6 address.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// A WebSocket over mutual TLS, for a node that has a certificate.
    Mtls {
        /// The host, without the brackets of an IPv6 address.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// Frames over a serial line.
    Serial {
        /// Absolute path of the device.
        path: PathBuf,
        /// Speed in bits per second.
        baud: u32,
    },
}

/// The reason for which a text is not an address of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// The text begins with the scheme of no address.
    #[error(
        "{text:?} does not begin with wss://, ws://, tcp://, mtls:// or serial: write it like \
         wss://gateway.example, ws://gateway.local:8765, tcp://gateway.local:7331 or \
         serial:/dev/ttyUSB0"
    )]
    Scheme {
        /// The given text.
        text: String,
    },
    /// The text begins as a WebSocket URL does, and is none.
    #[error(transparent)]
    WebSocket(#[from] UrlError),
    /// The text begins with `tcp:` but is not `tcp://HOST:PORT`.
    #[error(
        "{text:?} is not the address of a TCP listener: write it like tcp://gateway.local:7331, with the port and nothing behind it"
    )]
    Tcp {
        /// The given text.
        text: String,
    },
    /// The text begins with `mtls:` but is not `mtls://HOST:PORT`.
    #[error(
        "{text:?} is not the address of a listener for certificates: write it like mtls://gateway.local:8766, with the port and nothing behind it"
    )]
    Mtls {
        /// The given text.
        text: String,
    },
    /// The text begins with `serial:` but is not a path with an optional speed.
    #[error(
        "{text:?} is not a serial line: write it like serial:/dev/ttyUSB0 or serial:/dev/ttyUSB0?baud=115200"
    )]
    Serial {
        /// The given text.
        text: String,
    },
}

impl GatewayAt {
    /// Returns the key of this gateway's entry in a token store: host and port. A serial line has
    /// neither, so its path stands for the host.
    #[must_use]
    pub fn router(&self) -> String {
        match self {
            Self::WebSocket(url) => router_of(url),
            Self::Tcp { host, port } | Self::Mtls { host, port } => join(host, *port),
            Self::Serial { path, .. } => {
                // A path has characters that the key of an entry cannot have.
                let plain = |c: char| {
                    if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' }
                };
                format!("serial{}:0", path.to_string_lossy().chars().map(plain).collect::<String>())
            }
        }
    }

    /// Converts an address of an invitation. `None` if its text is not a valid address here.
    #[must_use]
    pub fn of_invite(address: &GatewayAddress<'_>) -> Option<Self> {
        match address.carrier() {
            AddressScheme::WebSocket | AddressScheme::WebSocketTls | AddressScheme::Stream => {
                address.to_string().parse().ok()
            }
        }
    }

    /// Returns the addresses of a gateway that was found on the network.
    pub fn of_found(gateway: &FoundGateway) -> impl Iterator<Item = Self> + '_ {
        gateway
            .addresses()
            .filter_map(|found| format!("{}://{}", found.scheme.as_str(), found.at).parse().ok())
    }

    /// Returns `true` if only a node with a certificate can link there.
    #[must_use]
    pub const fn needs_certificate(&self) -> bool {
        matches!(self, Self::Mtls { .. })
    }

    /// Returns `true` if the connection uses TLS whose gateway is verified by a CA that the system
    /// or the owner names.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::WebSocket(url) if url.is_tls())
    }
}

impl From<GatewayUrl> for GatewayAt {
    fn from(url: GatewayUrl) -> Self {
        Self::WebSocket(url)
    }
}

impl FromStr for GatewayAt {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let text = text.trim();
        let scheme = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match (scheme.as_str(), text.split_once(':')) {
            ("tcp", Some((_, rest))) => tcp(rest)
                .map(|(host, port)| Self::Tcp { host, port })
                .ok_or_else(|| NotAnAddress::Tcp { text: text.to_owned() }),
            ("mtls", Some((_, rest))) => tcp(rest)
                .map(|(host, port)| Self::Mtls { host, port })
                .ok_or_else(|| NotAnAddress::Mtls { text: text.to_owned() }),
            ("serial", Some((_, rest))) => serial(rest)
                .map(|(path, baud)| Self::Serial { path, baud })
                .ok_or_else(|| NotAnAddress::Serial { text: text.to_owned() }),
            // Everything else is left to the parser of URLs, whose errors say what is wrong.
            _ => match text.parse() {
                Ok(url) => Ok(Self::WebSocket(url)),
                // It knows the schemes of URLs alone.
                Err(UrlError::Scheme { text }) => Err(NotAnAddress::Scheme { text }),
                Err(error) => Err(error.into()),
            },
        }
    }
}

impl fmt::Display for GatewayAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebSocket(url) => write!(f, "{url}"),
            Self::Tcp { host, port } => write!(f, "tcp://{}", join(host, *port)),
            Self::Mtls { host, port } => write!(f, "mtls://{}", join(host, *port)),
            Self::Serial { path, baud } => write!(f, "serial:{}?baud={baud}", path.display()),
        }
    }
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn tcp(rest: &str) -> Option<(String, u16)> {
    // The parser of WebSocket URLs handles hosts and ports, but it would also accept parts that
    // have no meaning here.
    let rest = rest.strip_prefix("//")?;
    let (_, port) = rest.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    if rest.contains(['/', '?', '#', '@']) {
        return None;
    }
    let url: GatewayUrl = format!("ws://{rest}").parse().ok()?;
    (url.port() == port && !url.host().is_empty()).then(|| (url.host(), port))
}

fn serial(rest: &str) -> Option<(PathBuf, u32)> {
    let (path, query) =
        rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let baud = match query {
        None => DEFAULT_BAUD,
        Some(query) => query.strip_prefix("baud=")?.parse().ok().filter(|baud| *baud != 0)?,
    };
    let fits = path.starts_with('/') && path.len() > 1 && !path.chars().any(char::is_control);
    fits.then(|| (PathBuf::from(path), baud))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> GatewayAt {
        text.parse().unwrap()
    }

    #[test]
    fn every_kind_of_address_is_read_and_written_back() {
        for (text, shown, router) in [
            ("ws://gateway.local", "ws://gateway.local:8765/", "gateway.local:8765"),
            ("wss://10.0.0.1:443/x", "wss://10.0.0.1:443/x", "10.0.0.1:443"),
            ("tcp://gateway.local:7331", "tcp://gateway.local:7331", "gateway.local:7331"),
            ("TCP://[2001:db8::1]:7331", "tcp://[2001:db8::1]:7331", "[2001:db8::1]:7331"),
            ("mtls://gateway.local:8766", "mtls://gateway.local:8766", "gateway.local:8766"),
            ("serial:/dev/ttyUSB0", "serial:/dev/ttyUSB0?baud=115200", "serial-dev-ttyUSB0:0"),
            ("serial:/dev/ttyS1?baud=9600", "serial:/dev/ttyS1?baud=9600", "serial-dev-ttyS1:0"),
        ] {
            let address = parse(text);
            assert_eq!(
                (address.to_string(), address.router()),
                (shown.to_owned(), router.to_owned())
            );
            assert_eq!(parse(shown), address);
        }
    }

    #[test]
    fn what_is_no_address_says_how_one_is_written() {
        for text in [
            "tcp://host",
            "tcp://host:0",
            "tcp://u@host:1",
            "tcp://host:1/x",
            "tcp:host:1",
            "tcp://:1",
            "tcp://host:70000",
        ] {
            let error = text.parse::<GatewayAt>().unwrap_err().to_string();
            assert!(error.contains("tcp://gateway.local:7331"), "{error}");
        }
        for text in ["gateway.local", "gateway.local:8765", "ftp://gateway.local"] {
            let error = text.parse::<GatewayAt>().unwrap_err();
            assert!(matches!(error, NotAnAddress::Scheme { .. }), "{text}: {error}");
            assert!(error.to_string().contains("tcp://"), "{error}");
        }
        for text in [
            "serial:",
            "serial:/",
            "serial:ttyUSB0",
            "serial:/dev/x?speed=1",
            "serial:/dev/x?baud=0",
            "serial:/dev/x?baud=fast",
        ] {
            let error = text.parse::<GatewayAt>().unwrap_err().to_string();
            assert!(error.contains("serial:/dev/ttyUSB0"), "{error}");
        }
        assert!(
            "gateway.local"
                .parse::<GatewayAt>()
                .unwrap_err()
                .to_string()
                .contains("ws://gateway.local:8765")
        );
    }

    #[test]
    fn the_addresses_of_an_invitation_are_addresses_here() {
        for text in
            ["ws://192.168.1.10:8765", "wss://gateway.local:443", "tcp://[2001:db8::1]:7331"]
        {
            let address = GatewayAddress::parse(text).unwrap();
            assert!(GatewayAt::of_invite(&address).unwrap().to_string().starts_with(text));
        }
    }
}
