//! Address of a gateway: a WebSocket URL with an explicit port.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The port of a gateway whose address names none, for every scheme.
pub const DEFAULT_PORT: u16 = 8765;

/// The address of a gateway: `ws://` or `wss://`, a host, a port, and any path and query.
#[derive(Clone)]
pub struct GatewayUrl {
    /// Scheme, host, path and query. The port is stored separately, because [`Url`] drops one that
    /// is the scheme's default.
    url: Url,
    port: u16,
}

/// The reason for which a text is not a gateway's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The text is not a URL.
    #[error(
        "{text:?} is not a gateway address ({why}): write it like ws://gateway.local:8765 or wss://gateway.example"
    )]
    Unreadable {
        /// The given text.
        text: String,
        /// The error of the URL parser.
        why: url::ParseError,
    },
    /// The scheme is missing or is not one of a gateway.
    #[error(
        "{text:?} does not begin with ws://, wss://, http:// or https://: write it like ws://gateway.local:8765"
    )]
    Scheme {
        /// The given text.
        text: String,
    },
    /// The address holds a user name or a password, which every process list would show.
    #[error(
        "the gateway address must not hold a user name or a password: leave out what stands before the @"
    )]
    Credentials,
    /// The address has a fragment, which never reaches a gateway.
    #[error("{text:?} holds a # part, which never reaches a gateway: leave it out")]
    Fragment {
        /// The given text.
        text: String,
    },
}

impl GatewayUrl {
    /// Returns the host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        }
    }

    /// Returns the port, which is [`DEFAULT_PORT`] unless the address named one.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns `true` for `wss://`.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "wss"
    }

    /// Returns `true` if the gateway runs on this machine: a loopback address or `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
            // RFC 6761 keeps all names below `localhost` for the machine itself.
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    }

    /// Returns a warning for the owner if a token would travel unencrypted over a network.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        (!self.is_tls() && !self.is_loopback()).then(|| {
            format!(
                "{self} is not encrypted: whoever sees this network's traffic sees the token. Use wss:// where the gateway offers it"
            )
        })
    }
}

impl PartialEq for GatewayUrl {
    /// Compares the normalized texts, so an address with the default port equals one without a
    /// port.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for GatewayUrl {}

impl FromStr for GatewayUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let scheme = || UrlError::Scheme { text: text.to_owned() };
        let unreadable = |why| UrlError::Unreadable { text: text.to_owned(), why };
        let (given, rest) = text.split_once("://").ok_or_else(scheme)?;
        let mapped = match given.to_ascii_lowercase().as_str() {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return Err(scheme()),
        };
        let url = Url::parse(&format!("{mapped}://{rest}")).map_err(unreadable)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment { text: text.to_owned() });
        }
        // The parser drops a port that is its scheme's default (80 or 443). Under the other scheme
        // that port is not the default, so one of the two results has it.
        let other = Url::parse(&format!("{}://{rest}", if mapped == "ws" { "wss" } else { "ws" }))
            .map_err(unreadable)?;
        let port = url.port().or(other.port()).unwrap_or(DEFAULT_PORT);
        Ok(Self { url, port })
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) =
            (self.url.scheme(), self.url.host_str().unwrap_or(""), self.port);
        write!(f, "{scheme}://{host}:{port}{}", self.url.path())?;
        match self.url.query() {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> GatewayUrl {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn an_address_gets_the_default_port_unless_it_names_one() {
        for (given, expected) in [
            ("ws://pi.local", "ws://pi.local:8765/"),
            ("wss://pi.local", "wss://pi.local:8765/"),
            ("ws://pi.local:80", "ws://pi.local:80/"),
            ("ws://pi.local:443", "ws://pi.local:443/"),
            ("wss://pi.local:443/", "wss://pi.local:443/"),
            ("https://pi.local:443", "wss://pi.local:443/"),
            ("http://192.0.2.7:9000", "ws://192.0.2.7:9000/"),
            ("HTTP://[::1]", "ws://[::1]:8765/"),
        ] {
            assert_eq!(url(given).to_string(), expected, "{given}");
        }
    }

    #[test]
    fn the_path_and_the_query_are_kept() {
        assert_eq!(
            url("https://a.example/pair/x?y=1&z=ü").to_string(),
            "wss://a.example:8765/pair/x?y=1&z=%C3%BC"
        );
    }

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for given in ["ws://pi:80/", "wss://pi:443/a?b", "ws://[2001:db8::1]:1/"] {
            assert_eq!(url(&url(given).to_string()), url(given));
            assert_eq!(url(given).to_string(), given);
        }
    }

    #[test]
    fn what_leads_to_no_gateway_is_refused_and_says_how_to_write_it() {
        for bad in
            ["", "pi.local", "pi.local:8765", "ftp://pi", "ws://", "ws://pi:99999", "ws://a b"]
        {
            let error = bad.parse::<GatewayUrl>().expect_err(bad).to_string();
            assert!(error.contains("ws://gateway.local:8765"), "{error}");
        }
        assert_eq!("ws://me:secret@pi".parse::<GatewayUrl>(), Err(UrlError::Credentials));
        assert!(matches!("ws://pi/#top".parse::<GatewayUrl>(), Err(UrlError::Fragment { .. })));
    }

    #[test]
    fn only_plain_connections_to_other_machines_are_warned_of() {
        for quiet in [
            "ws://127.0.0.1",
            "ws://localhost",
            "ws://[::1]",
            "ws://[::ffff:127.0.0.1]",
            "wss://pi.local",
        ] {
            assert_eq!(url(quiet).warning(), None, "{quiet}");
        }
        for loud in
            ["ws://pi.local", "ws://192.168.1.5", "http://10.0.0.1", "ws://localhost.example"]
        {
            assert!(url(loud).warning().is_some_and(|w| w.contains("not encrypted")), "{loud}");
        }
    }
}
