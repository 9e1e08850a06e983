//! The cookie of an operator's session.

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::channel::Channel;

/// The cookie's name over an encrypted connection. Browsers accept this prefix only with `Secure`
/// and `Path=/` and without a domain, so no page of another host can set it.
const ENCRYPTED: &str = "__Host-handfast";

/// Returns the cookie's name on a channel. Cookies do not tell ports apart, so a plain one has the
/// port in its name: two gateways on one machine do not end each other's sessions.
fn name(channel: Channel) -> String {
    match channel {
        Channel::Encrypted => ENCRYPTED.to_owned(),
        Channel::Local(Some(port)) | Channel::Plain(Some(port)) => format!("handfast-{port}"),
        Channel::Local(None) | Channel::Plain(None) => "handfast".to_owned(),
    }
}

/// Returns the value of the cookie in a request; `None` if there is none. With two cookies of the
/// name, one of which another page may have set, there is none either.
pub(super) fn read(headers: &HeaderMap, channel: Channel) -> Option<Zeroizing<String>> {
    let name = name(channel);
    let mut values = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| Zeroizing::new(value.to_owned()));
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// Returns the header that sets the cookie.
pub(super) fn set(channel: Channel, value: &str, lives: Duration) -> Option<HeaderValue> {
    written(channel, value, lives.as_secs())
}

/// Returns the header that removes the cookie.
pub(super) fn removed(channel: Channel) -> Option<HeaderValue> {
    written(channel, "", 0)
}

fn written(channel: Channel, value: &str, seconds: u64) -> Option<HeaderValue> {
    let secure = match channel {
        Channel::Encrypted => "; Secure",
        Channel::Local(_) | Channel::Plain(_) => "",
    };
    let text = Zeroizing::new(format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}",
        name(channel)
    ));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&'static str], channel: Channel) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        read(&headers, channel).map(|value| value.to_string())
    }

    #[test]
    fn the_cookie_of_this_channel_alone_counts_and_only_if_there_is_one() {
        let local = Channel::Local(Some(8765));
        assert_eq!(found(&["a=b; handfast-8765=x.y"], local), Some("x.y".to_owned()));
        assert_eq!(found(&["a=b", "handfast-8765=x.y"], local), Some("x.y".to_owned()));
        for lines in [
            &["handfast-8766=x.y"][..],
            &["handfast=x.y"],
            &["__Host-handfast=x.y"],
            &["xhandfast-8765=x.y"],
            &["handfast-8765=x.y; handfast-8765=z"],
            &["handfast-8765=x.y", "handfast-8765=x.y"],
            &["handfast-8765"],
            &[],
        ] {
            assert_eq!(found(lines, local), None, "{lines:?}");
        }
        assert_eq!(found(&["handfast-8765=x"], Channel::Encrypted), None);
        assert_eq!(found(&["__Host-handfast=x"], Channel::Encrypted), Some("x".to_owned()));
    }

    #[test]
    fn no_script_and_no_other_site_gets_at_the_cookie() {
        let text = |channel| {
            let header = set(channel, "x.y", Duration::from_secs(60)).unwrap();
            assert!(header.is_sensitive());
            header.to_str().unwrap().to_owned()
        };
        assert_eq!(
            text(Channel::Encrypted),
            "__Host-handfast=x.y; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
        );
        assert_eq!(
            text(Channel::Local(Some(8765))),
            "handfast-8765=x.y; Path=/; HttpOnly; SameSite=Strict; Max-Age=60"
        );
        assert!(removed(Channel::Encrypted).unwrap().to_str().unwrap().contains("Max-Age=0"));
    }
}
