//! The gateway's address in a setup code.
//!
//! A program that scans a code sends a secret to that address, so an unencrypted connection may
//! only go to the local network. That check uses the host that the WHATWG URL rules find in the
//! text, never the text itself; and a code carries the text that those rules write, so that no
//! other parser finds another host in it.

pub use cidr::{Net, NotANet};

use std::fmt;

use handfast_core::limits::SETUP_URL_BYTES;
use url::{Host, ParseError, Url};

#[doc(hidden)]
pub mod check;
mod cidr;
mod hosts;
mod resolve;

pub use hosts::{ExtraHost, ExtraHostRefused};
pub use resolve::{Candidates, NotResolved, UrlSource, lan_addresses, lan_candidates, resolve};

/// The end of the path of the companions' socket.
const PAIR: &str = "/pair";

/// The address of a gateway in a setup code: `wss`, `https`, `ws` or `http`, a host, and any port,
/// path and query; ASCII, at most [`SETUP_URL_BYTES`] long. It has no user name, password or
/// fragment, and an unencrypted one leads to a host of the local network or to an [`ExtraHost`].
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayUrl {
    text: String,
    url: Url,
    port: u16,
}

/// The reason for which a text is not an address for a setup code. It contains only the host of the
/// text, because other parts may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// The text is empty or white space.
    #[error("it is empty: write it like wss://gateway.example or ws://192.168.1.10:8765")]
    Empty,
    /// The text is longer than [`SETUP_URL_BYTES`], as given or as normalized.
    #[error(
        "it is longer than {SETUP_URL_BYTES} bytes, and a code has to carry it: shorten its path or query"
    )]
    TooLong,
    /// The text contains a space, tab, line end or control character, which some programs drop and
    /// others do not.
    #[error(
        "it holds a space or a control character: remove it, or write it as %20 where it belongs to the path"
    )]
    Unprintable,
    /// The text contains a backslash, which some programs treat as a slash and others do not.
    #[error("it holds a backslash: write / instead, or %5C where it belongs to the path")]
    Backslash,
    /// The scheme is missing, or is not one of a gateway.
    #[error(
        "it does not begin with wss://, https://, ws:// or http://: write it like wss://gateway.example or ws://192.168.1.10:8765"
    )]
    Scheme,
    /// The text has a user name or password before the host, even an empty one.
    #[error("it holds a user name or a password: leave out what stands before the @, and the @")]
    Credentials,
    /// The text is not a URL.
    #[error("it is no URL ({0}): write it like wss://gateway.example or ws://192.168.1.10:8765")]
    Unparseable(ParseError),
    /// The text has a part after `#`, which never reaches a gateway.
    #[error("it holds a # part, which never reaches a gateway: leave it out")]
    Fragment,
    /// The part between `//` and the path is empty.
    #[error("it names no host: write it like wss://gateway.example or ws://192.168.1.10:8765")]
    NoHost,
    /// The host is neither an IP address nor a valid DNS name.
    #[error(
        "its host {host:?} is no host name: use letters, digits, - and _, with one dot between two parts"
    )]
    HostName {
        /// The refused host.
        host: String,
    },
    /// The address is unspecified, or the port is 0, so nothing can be reached.
    #[error(
        "nobody can connect to {host}: name the address and the port at which companions reach the gateway"
    )]
    Nowhere {
        /// The refused host, or host and port.
        host: String,
    },
    /// The scheme is `ws` or `http`, and the host is not on the local network.
    #[error(
        "it is not encrypted, and {host} is not on the local network: use wss:// or https://, or allow that host with --plain-host or \
         setup.plain_hosts"
    )]
    Plain {
        /// The refused host.
        host: String,
    },
}

impl GatewayUrl {
    /// Parses an address; surrounding white space is ignored. `wss` and `https` may name any host.
    /// `ws` and `http` may name
    ///
    /// - `localhost`, and names of two parts or more that end in `.local`;
    /// - loopback, RFC 1918 and link-local IPv4 addresses, alone or mapped into IPv6, in any
    ///   spelling that means them (`0x7f.1` is `127.0.0.1`);
    /// - `::1`, `fe80::/10` and `fc00::/7`;
    /// - the `extra` hosts.
    ///
    /// Everything else is public address space or is resolved differently by different programs:
    /// names of one part, names under `localhost`, names that end in a dot, shared address space
    /// (100.64.0.0/10), IPv4 addresses translated or embedded in IPv6. Zones (`%eth0`) are refused.
    ///
    /// # Errors
    /// [`UrlRefused`] with the cause.
    pub fn parse(text: &str, extra: &[ExtraHost]) -> Result<Self, UrlRefused> {
        let given = text.trim();
        let (text, port) = written(given)?;
        // The check uses the text that is carried, not the one that was given.
        let url = Url::parse(&text).map_err(UrlRefused::Unparseable)?;
        let host = url.host().ok_or(UrlRefused::NoHost)?;
        let shown = || host.to_string();
        if let Host::Domain(name) = host
            && !hosts::is_name(name.strip_suffix('.').unwrap_or(name))
        {
            return Err(UrlRefused::HostName { host: shown() });
        }
        if hosts::ip(&host).is_some_and(|ip| ip.is_unspecified()) {
            return Err(UrlRefused::Nowhere { host: shown() });
        }
        if port == 0 {
            return Err(UrlRefused::Nowhere { host: format!("{host}:0") });
        }
        if !is_secure(&url)
            && !hosts::is_local(&host)
            && !extra.iter().any(|extra| extra.matches(&host))
        {
            return Err(UrlRefused::Plain { host: shown() });
        }
        Ok(Self { text, url, port })
    }

    /// Returns the text for the code: as it was given, except that host and path are spelt as the
    /// WHATWG rules write them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns `wss`, `https`, `ws` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Returns the host: names in lower case and Punycode; IPv6 addresses as values, without
    /// brackets.
    #[must_use]
    pub fn host(&self) -> Host<&str> {
        // Every accepted URL has a host.
        self.url.host().unwrap_or(Host::Domain(""))
    }

    /// Returns the port, which is the scheme's default (80 or 443) if the address names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns `true` if the address is reached over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        is_secure(&self.url)
    }

    /// Returns `true` for a loopback host, which only leads companions on this machine to the
    /// gateway.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == Host::Domain("localhost") || hosts::ip(&host).is_some_and(|ip| ip.is_loopback())
    }

    /// Returns the URL that a companion connects to: `ws` for `http`, `wss` for `https`, and a path
    /// that ends in `/pair`, appended if it is missing. The query stays, because a proxy or a
    /// tunnel may route by it. A port that is the scheme's default is left out, as URLs do.
    #[must_use]
    pub fn pair_url(&self) -> Url {
        let mut url = self.url.clone();
        // It cannot fail: all four schemes are of the same kind.
        let _ = url.set_scheme(if self.is_secure() { "wss" } else { "ws" });
        let base = self.url.path();
        let base = base.strip_suffix('/').unwrap_or(base);
        url.set_path(&format!("{}{PAIR}", base.strip_suffix(PAIR).unwrap_or(base)));
        url
    }
}

impl GatewayUrl {
    /// Returns the same address as a text that a companion connects to verbatim, as the original's
    /// companions do: `ws` or `wss`, and a path that ends in `/pair`. A named port stays, because
    /// some programs have another default.
    #[must_use]
    pub fn pair_text(&self) -> String {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        let (place, query) =
            rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let path = path.strip_suffix('/').unwrap_or(path);
        let base = path.strip_suffix(PAIR).unwrap_or(path);
        let scheme = if self.is_secure() { "wss" } else { "ws" };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{scheme}://{authority}{base}{PAIR}{query}")
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayUrl({})", self.text)
    }
}

/// Returns the normalized text and the port. A URL's own text drops a port that is the scheme's
/// default and adds a slash to a bare host; here the port stays, because some programs have another
/// default, and the slash stays as it was given.
fn written(given: &str) -> Result<(String, u16), UrlRefused> {
    if given.is_empty() {
        return Err(UrlRefused::Empty);
    }
    if given.len() > SETUP_URL_BYTES {
        return Err(UrlRefused::TooLong);
    }
    // Checked before parsing: the URL rules repair all of these silently, and not every program
    // follows them.
    if given.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(UrlRefused::Unprintable);
    }
    if given.contains('\\') {
        return Err(UrlRefused::Backslash);
    }
    let (scheme, rest) = given.split_once("://").ok_or(UrlRefused::Scheme)?;
    if !["wss", "https", "ws", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(UrlRefused::Scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // The parser drops an empty user name without an error.
    if authority.contains('@') {
        return Err(UrlRefused::Credentials);
    }
    if authority.is_empty() {
        return Err(UrlRefused::NoHost);
    }
    let url = Url::parse(given).map_err(|why| {
        if why == ParseError::EmptyHost { UrlRefused::NoHost } else { UrlRefused::Unparseable(why) }
    })?;
    if url.fragment().is_some() {
        return Err(UrlRefused::Fragment);
    }
    let port = url.port_or_known_default().unwrap_or_default();
    // The parser drops a port that is the default of its scheme, so the given text decides.
    let named = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if named {
        text.push_str(&format!(":{port}"));
    }
    // The parser adds a slash that was not given.
    if rest.len() > authority.len() {
        text.push_str(url.path());
    }
    if let Some(query) = url.query() {
        text.push('?');
        text.push_str(query);
    }
    if text.len() > SETUP_URL_BYTES { Err(UrlRefused::TooLong) } else { Ok((text, port)) }
}

fn is_secure(url: &Url) -> bool {
    matches!(url.scheme(), "wss" | "https")
}

#[cfg(test)]
mod tests;
