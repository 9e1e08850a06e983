//! The address of the gateway that a setup code carries, and where it comes from.
//!
//! A code is scanned by a program that then sends a secret to that address, so a connection in the
//! clear goes to this network alone. That is decided on the host that the WHATWG rules find in the
//! text, never on the text; and what a code carries is what those rules write, so that no other
//! parser finds another host in it.

use std::fmt;

use handfast_core::limits::SETUP_URL_BYTES;
use url::{Host, ParseError, Url};

#[doc(hidden)]
pub mod check;
mod hosts;
mod resolve;

pub use hosts::{ExtraHost, ExtraHostRefused};
pub use resolve::{Candidates, NotResolved, UrlSource, lan_addresses, lan_candidates, resolve};

/// The end of the path of the companions' socket.
const PAIR: &str = "/pair";

/// The address of a gateway as a setup code carries it: `wss`, `https`, `ws` or `http`, a host, and
/// any port, path and query; ASCII, at most [`SETUP_URL_BYTES`] long. It holds no user name,
/// password or fragment, and a plain one leads to a host of this network or to an [`ExtraHost`].
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayUrl {
    text: String,
    url: Url,
    port: u16,
}

/// Why a text is no address for a setup code. Holds nothing of the text but its host: what else is
/// in there may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Nothing but white space.
    #[error("it is empty: write it like wss://gateway.example or ws://192.168.1.10:8765")]
    Empty,
    /// More than [`SETUP_URL_BYTES`], as given or as it has to be written.
    #[error(
        "it is longer than {SETUP_URL_BYTES} bytes, and a code has to carry it: shorten its path or query"
    )]
    TooLong,
    /// A space, tab, line end or control character inside, which some programs leave out and others
    /// do not.
    #[error(
        "it holds a space or a control character: remove it, or write it as %20 where it belongs to the path"
    )]
    Unprintable,
    /// A backslash, which some programs take for a slash and others do not.
    #[error("it holds a backslash: write / instead, or %5C where it belongs to the path")]
    Backslash,
    /// No scheme, or one that leads to no gateway.
    #[error(
        "it does not begin with wss://, https://, ws:// or http://: write it like wss://gateway.example or ws://192.168.1.10:8765"
    )]
    Scheme,
    /// A name or password before the host, even an empty one.
    #[error("it holds a user name or a password: leave out what stands before the @, and the @")]
    Credentials,
    /// Not a URL.
    #[error("it is no URL ({0}): write it like wss://gateway.example or ws://192.168.1.10:8765")]
    Unparseable(ParseError),
    /// A part behind `#`, which never reaches a gateway.
    #[error("it holds a # part, which never reaches a gateway: leave it out")]
    Fragment,
    /// Nothing between `//` and the path.
    #[error("it names no host: write it like wss://gateway.example or ws://192.168.1.10:8765")]
    NoHost,
    /// A host that is neither an IP address nor a name as the DNS has them.
    #[error(
        "its host {host:?} is no host name: use letters, digits, - and _, with one dot between two parts"
    )]
    HostName {
        /// Which host.
        host: String,
    },
    /// All zeros or port 0, where nothing is reached.
    #[error(
        "nobody can connect to {host}: name the address and the port at which companions reach the gateway"
    )]
    Nowhere {
        /// Which host, or host and port.
        host: String,
    },
    /// `ws` or `http` to a host that is not of this network.
    #[error(
        "it is not encrypted, and {host} is not on the local network: use wss:// or https://, or allow that host with --plain-host or \
         setup.plain_hosts"
    )]
    Plain {
        /// Which host.
        host: String,
    },
}

impl GatewayUrl {
    /// Reads an address; white space around it is ignored. `wss` and `https` may name any host.
    /// `ws` and `http` may name
    ///
    /// - `localhost`, and names of two parts or more that end in `.local`;
    /// - loopback, RFC 1918 and link-local IPv4 addresses, alone or mapped into IPv6, in any
    ///   spelling that means them (`0x7f.1` is `127.0.0.1`);
    /// - `::1`, `fe80::/10` and `fc00::/7`;
    /// - the `extra` hosts.
    ///
    /// Everything else is some network's public space or is looked up differently by different
    /// programs: names of one part, names under `localhost`, names that end in a dot, shared
    /// address space (100.64.0.0/10), IPv4 addresses translated or embedded in IPv6. Zones
    /// (`%eth0`) are refused.
    ///
    /// # Errors
    /// [`UrlRefused`].
    pub fn parse(text: &str, extra: &[ExtraHost]) -> Result<Self, UrlRefused> {
        let given = text.trim();
        let (text, port) = written(given)?;
        // What is decided on is what is carried, not what was given.
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

    /// The address to carry: as it was given, save that the host and the path are spelt as the
    /// WHATWG rules write them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `wss`, `https`, `ws` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// The host: names in lower case and Punycode, IPv6 addresses without brackets where they are
    /// taken as such.
    #[must_use]
    pub fn host(&self) -> Host<&str> {
        // Every URL that was let through has one.
        self.url.host().unwrap_or(Host::Domain(""))
    }

    /// The port, which is that of the scheme (80 or 443) where the address names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is reached under TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        is_secure(&self.url)
    }

    /// Whether it leads companions to themselves, which is of use on this machine alone.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == Host::Domain("localhost") || hosts::ip(&host).is_some_and(|ip| ip.is_loopback())
    }

    /// Where a companion connects: `ws` for `http`, `wss` for `https`, and the path ends in
    /// `/pair`, appended where it does not. The query stays, because a proxy or a tunnel may find
    /// the gateway by it. A port that is the scheme's own is left out, as URLs do.
    #[must_use]
    pub fn pair_url(&self) -> Url {
        let mut url = self.url.clone();
        // It does not fail: all four schemes are of one kind.
        let _ = url.set_scheme(if self.is_secure() { "wss" } else { "ws" });
        let base = self.url.path();
        let base = base.strip_suffix('/').unwrap_or(base);
        url.set_path(&format!("{}{PAIR}", base.strip_suffix(PAIR).unwrap_or(base)));
        url
    }
}

impl GatewayUrl {
    /// The same address as a text that a companion connects to as it stands, which the original's
    /// does: `ws` or `wss`, and a path that ends in `/pair`. A port that was named stays, because
    /// there are programs with another default.
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

/// How a text is carried, and the port it means. A URL's own writing drops a port that is the
/// scheme's and adds a slash to a bare host; here the port stays, because there are programs with
/// another default, and the slash is the giver's choice.
fn written(given: &str) -> Result<(String, u16), UrlRefused> {
    if given.is_empty() {
        return Err(UrlRefused::Empty);
    }
    if given.len() > SETUP_URL_BYTES {
        return Err(UrlRefused::TooLong);
    }
    // Before it is parsed: the rules mend all of these in silence, and not every program follows
    // them.
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
    if authority.contains('@') {
        return Err(UrlRefused::Credentials);
    }
    if authority.is_empty() {
        return Err(UrlRefused::NoHost);
    }
    let url = Url::parse(given).map_err(|why| match why {
        ParseError::EmptyHost => UrlRefused::NoHost,
        why => UrlRefused::Unparseable(why),
    })?;
    if url.fragment().is_some() {
        return Err(UrlRefused::Fragment);
    }
    let port = url.port_or_known_default().unwrap_or_default();
    let named = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if named {
        text.push_str(&format!(":{port}"));
    }
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
