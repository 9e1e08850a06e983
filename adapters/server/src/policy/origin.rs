//! The check of the header `Origin`. Programs send none; browsers always do, and no page can change
//! it.
//!
//! The gateway's own origins follow from its configured addresses, and from the local address of
//! the connection. The request's `Host` and a proxy's headers play no part: a page whose name
//! resolves to the gateway's address names its own host there.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::header::ORIGIN;
use axum::http::{Extensions, HeaderMap, HeaderName};
use url::{Host, Origin, Url};

use crate::policy::setup_settings::SetupSettings;
use crate::proxies::LocalAddress;

/// The browser's word for how the requesting page and the gateway are related.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns `true` if the request has no `Origin`, or the gateway's own, or one that the operator
/// listed.
pub(crate) fn may_come(request: &Request, settings: &SetupSettings) -> bool {
    is_allowed(request.headers(), request.extensions(), settings)
}

/// Applies the check of [`may_come`] to the parts of a request.
pub(crate) fn is_allowed(
    headers: &HeaderMap,
    extensions: &Extensions,
    settings: &SetupSettings,
) -> bool {
    is_one_of(headers, extensions, settings, &settings.origins)
}

/// Applies the check to the gateway's own origins and these.
fn is_one_of(
    headers: &HeaderMap,
    extensions: &Extensions,
    settings: &SetupSettings,
    others: &[String],
) -> bool {
    let local = extensions.get::<LocalAddress>().map(|LocalAddress(address)| *address);
    let addresses = &settings.addresses;
    let own = [&addresses.public, &addresses.tunnel, &addresses.gateway]
        .into_iter()
        .flatten()
        .filter_map(|url| of_url(url));
    let others = others.iter().filter_map(|other| origin(other));
    allows(headers, local, own.chain(others))
}

/// Returns `true` if a browser says that a page of the gateway's own makes the request. A request
/// without `Origin` and without `Sec-Fetch-Site` is none of a browser's page; the origins of other
/// pages that the operator listed do not count.
pub(crate) fn is_own(
    headers: &HeaderMap,
    extensions: &Extensions,
    settings: &SetupSettings,
) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    let same = match (sites.next(), sites.next()) {
        (Some(site), None) if site == "same-origin" => true,
        (None, _) => headers.contains_key(ORIGIN),
        (Some(_), _) => false,
    };
    same && is_one_of(headers, extensions, settings, &[])
}

/// Returns `true` if the page that makes the request was loaded over an encrypted connection.
pub(crate) fn is_encrypted(headers: &HeaderMap) -> bool {
    let text = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    text.is_some_and(|origin| origin.starts_with("https://"))
}

fn allows(
    headers: &HeaderMap,
    local: Option<SocketAddr>,
    mut named: impl Iterator<Item = Origin>,
) -> bool {
    let mut all = headers.get_all(ORIGIN).iter();
    let Some(first) = all.next() else { return true };
    // A browser sends one `Origin`; a request with two is refused.
    let Some(text) = first.to_str().ok().filter(|_| all.next().is_none()) else { return false };
    // An opaque origin (`null`) is shared by sandboxed pages and files of any author.
    let Some(page) = origin(text).filter(Origin::is_tuple) else { return false };
    named.any(|other| other == page) || local.is_some_and(|local| is_at(&page, local))
}

/// Returns `true` if the page was served from this address of the gateway. The only name that
/// counts is `localhost`, which no other machine can have.
fn is_at(page: &Origin, local: SocketAddr) -> bool {
    let Origin::Tuple(_, host, port) = page else { return false };
    // A socket for both families shows an IPv4 client by a mapped address.
    let ip = local.ip().to_canonical();
    let same = match host {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost") && ip.is_loopback(),
        Host::Ipv4(host) => ip == *host,
        Host::Ipv6(host) => ip == std::net::IpAddr::from(*host).to_canonical(),
    };
    same && *port == local.port()
}

/// Returns the web origin of one of the gateway's URLs.
fn of_url(url: &str) -> Option<Origin> {
    let url = Url::parse(url.trim()).ok()?;
    Some(Origin::Tuple(
        web_scheme(url.scheme())?.to_owned(),
        url.host()?.to_owned(),
        url.port_or_known_default()?,
    ))
}

fn web_scheme(scheme: &str) -> Option<&'static str> {
    match scheme {
        "ws" | "http" => Some("http"),
        "wss" | "https" => Some("https"),
        _ => None,
    }
}

/// Parses an origin: a scheme, a host and an optional port, and nothing else. The parsed URL
/// decides, not the text. Returns `None` for anything else, including `null`.
fn origin(text: &str) -> Option<Origin> {
    let url = Url::parse(text.strip_suffix('/').unwrap_or(text)).ok()?;
    let scheme = web_scheme(url.scheme())?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        // The parser drops an empty user name, and takes a backslash for a slash.
        && !text.contains(['@', '\\']);
    bare.then(|| {
        Some(Origin::Tuple(scheme.to_owned(), url.host()?.to_owned(), url.port_or_known_default()?))
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::HOST;

    use super::*;
    use crate::public_url::Candidates;

    fn allowed(local: &str, origins: &[&str], others: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        let others: Vec<_> = others.iter().filter_map(|other| origin(other)).collect();
        allows(&headers, local.parse().ok(), others.into_iter())
    }

    #[test]
    fn a_program_and_a_page_of_the_gateways_own_may_speak() {
        for (local, origins) in [
            ("192.0.2.1:8765", &[][..]),
            ("192.0.2.1:8765", &["http://192.0.2.1:8765"]),
            ("[::ffff:192.0.2.1]:8765", &["https://192.0.2.1:8765"]),
            ("192.0.2.1:443", &["https://192.0.2.1"]),
            ("[::1]:8765", &["http://[::1]:8765"]),
            ("127.0.0.1:8765", &["ws://127.0.0.1:8765"]),
            ("127.0.0.1:8765", &["http://localhost:8765"]),
            ("", &[]),
        ] {
            assert!(allowed(local, origins, &[]), "{local} {origins:?}");
        }
    }

    #[test]
    fn the_configured_addresses_say_which_origin_is_the_gateways_own_and_the_host_header_does_not()
    {
        let addresses = Candidates {
            public: Some("wss://gateway.example/ours".to_owned()),
            ..Candidates::default()
        };
        let settings = SetupSettings { addresses, ..SetupSettings::default() };
        let mut extensions = Extensions::new();
        extensions.insert(LocalAddress("127.0.0.1:8765".parse().unwrap()));
        for (page, host, is) in [
            ("https://gateway.example", "gateway.example", true),
            ("https://gateway.example", "whatever.example", true),
            ("http://gateway.example", "gateway.example", false),
            ("http://127.0.0.1:8765", "127.0.0.1:8765", true),
            // A page whose name leads to our address says so itself.
            ("http://evil.example:8765", "evil.example:8765", false),
            ("https://evil.example", "evil.example", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, HeaderValue::from_static(page));
            headers.insert(HOST, HeaderValue::from_static(host));
            headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
            headers.insert("x-forwarded-host", HeaderValue::from_static(host));
            assert_eq!(is_allowed(&headers, &extensions, &settings), is, "{page} at {host}");
        }
    }

    #[test]
    fn only_a_page_of_the_gateways_own_is_its_own_and_never_a_listed_one() {
        let settings = SetupSettings {
            origins: vec!["https://console.example".to_owned()],
            ..SetupSettings::default()
        };
        let mut extensions = Extensions::new();
        extensions.insert(LocalAddress("127.0.0.1:8765".parse().unwrap()));
        let own = "http://127.0.0.1:8765";
        for (origin, site, is) in [
            (Some(own), None, true),
            (Some(own), Some("same-origin"), true),
            (None, Some("same-origin"), true),
            (None, None, false),
            (Some(own), Some("same-site"), false),
            (Some(own), Some("cross-site"), false),
            (None, Some("none"), false),
            (Some("https://console.example"), None, false),
            (Some("http://127.0.0.1:8766"), None, false),
            (Some("http://evil.example"), Some("same-origin"), false),
            (Some("null"), None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(origin.map(|it| (ORIGIN, HeaderValue::from_static(it))));
            headers.extend(site.map(|it| (SEC_FETCH_SITE, HeaderValue::from_static(it))));
            assert_eq!(is_own(&headers, &extensions, &settings), is, "{origin:?} {site:?}");
        }
    }

    #[test]
    fn a_page_of_another_origin_may_not_unless_the_operator_said_so() {
        for origins in [
            &["null"][..],
            &["file://"],
            &[""],
            &["http://evil.example"],
            &["http://192.0.2.1"],
            &["http://192.0.2.1:8766"],
            &["http://localhost:8765"],
            &["http://192.0.2.1:8765@evil.example"],
            &["http://evil.example@192.0.2.1:8765"],
            &["http://@192.0.2.1:8765"],
            &["http://evil.example\\@192.0.2.1:8765"],
            &["http://192.0.2.1:8765/page"],
            &["http://192.0.2.1:8765?x"],
            &["http://192.0.2.1:8765#x"],
            &["192.0.2.1:8765"],
            &["ftp://192.0.2.1:8765"],
            &["http://192.0.2.1:8765", "http://192.0.2.1:8765"],
        ] {
            assert!(!allowed("192.0.2.1:8765", origins, &[]), "{origins:?}");
        }
        assert!(!allowed("", &["http://192.0.2.1:8765"], &[]));
        assert!(!allowed("", &["null"], &["null"]));

        let others = ["https://console.example", "wss://other.example:99/"];
        for (origin, is) in [
            ("https://console.example", true),
            ("https://console.example:443", true),
            ("http://console.example", false),
            ("https://console.example.evil", false),
            ("https://other.example:99", true),
            ("https://other.example", false),
        ] {
            assert_eq!(allowed("192.0.2.1:8765", &[origin], &others), is, "{origin}");
        }
    }
}
