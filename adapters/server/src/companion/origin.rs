//! Which web pages may speak to the gateway. Programs send no `Origin`; browsers always do, and no page can change it.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use url::{Origin, Url};

/// Whether whoever sent these headers is no web page, or one of the gateway's own origin, or one of the `others`.
pub(crate) fn is_allowed(headers: &HeaderMap, others: &[String]) -> bool {
    let mut all = headers.get_all(ORIGIN).iter();
    let Some(first) = all.next() else { return true };
    let Some(text) = first.to_str().ok().filter(|_| all.next().is_none()) else { return false };
    let Some(page) = origin(text).filter(Origin::is_tuple) else { return false };
    is_own(&page, text, headers) || others.iter().any(|other| origin(other).as_ref() == Some(&page))
}

/// The origin of the page's scheme at the host that the request was sent to.
fn is_own(page: &Origin, text: &str, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(Ok(host)), None) = (hosts.next().map(|host| host.to_str()), hosts.next()) else { return false };
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    origin(&format!("{scheme}://{host}")).as_ref() == Some(page)
}

/// Reads a scheme, a host and perhaps a port, and nothing else: decided on what the parser found, not on the text. None for anything else, also for `null`.
fn origin(text: &str) -> Option<Origin> {
    let url = Url::parse(text.strip_suffix('/').unwrap_or(text)).ok()?;
    let scheme = match url.scheme() {
        "ws" | "http" => "http",
        "wss" | "https" => "https",
        _ => return None,
    };
    let bare = url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && !text.contains(['@', '\\']);
    bare.then(|| Some(Origin::Tuple(scheme.to_owned(), url.host()?.to_owned(), url.port_or_known_default()?))).flatten()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn allowed(host: &str, origins: &[&str], others: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        let others: Vec<_> = others.iter().map(ToString::to_string).collect();
        is_allowed(&headers, &others)
    }

    #[test]
    fn a_program_and_a_page_of_the_gateways_own_may_speak() {
        for (host, origins) in [
            ("gateway.example:8765", &[][..]),
            ("gateway.example:8765", &["http://gateway.example:8765"]),
            ("GATEWAY.example:8765", &["https://gateway.example:8765"]),
            ("gateway.example", &["https://gateway.example"]),
            ("gateway.example:443", &["https://gateway.example"]),
            ("gateway.example", &["wss://gateway.example:443"]),
            ("[::1]:8765", &["http://[::1]:8765"]),
            ("127.0.0.1:8765", &["ws://127.0.0.1:8765"]),
        ] {
            assert!(allowed(host, origins, &[]), "{host} {origins:?}");
        }
    }

    #[test]
    fn a_page_of_another_origin_may_not_unless_the_operator_said_so() {
        for origins in [
            &["null"][..],
            &["file://"],
            &[""],
            &["http://evil.example"],
            &["http://gateway.example"],
            &["http://gateway.example:8766"],
            &["http://gateway.example:8765@evil.example"],
            &["http://evil.example@gateway.example:8765"],
            &["http://@gateway.example:8765"],
            &["http://evil.example\\@gateway.example:8765"],
            &["http://gateway.example:8765/page"],
            &["http://gateway.example:8765?x"],
            &["http://gateway.example:8765#x"],
            &["gateway.example:8765"],
            &["ftp://gateway.example:8765"],
            &["http://gateway.example:8765", "http://gateway.example:8765"],
        ] {
            assert!(!allowed("gateway.example:8765", origins, &[]), "{origins:?}");
        }
        assert!(!allowed("gateway.example:80/x", &["http://gateway.example"], &[]));
        assert!(!allowed("x@gateway.example", &["http://gateway.example"], &[]));
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
            assert_eq!(allowed("gateway.example:8765", &[origin], &others), is, "{origin}");
        }
    }
}
