//! Reader and printer for the key of the bus between gateways.

use std::ops::Range;

use zeroize::Zeroizing;

use super::key::Kind;
use super::print::quoted;
use super::store::HIDDEN;
use super::value::ConfigValue;

/// The address of the NATS servers between gateways. It may hold a password or a token, which is
/// left out wherever the address is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BusUrl(Zeroizing<String>);

impl BusUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// The requirement that it does not meet, without the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Self(Zeroizing::new(text.trim().to_owned()));
        if url.passwords().into_iter().any(|place| url.0.get(place) == Some(HIDDEN)) {
            return Err(format!(
                "its password was left out where it was printed; put it in the place of {HIDDEN}"
            ));
        }
        check(&url.0)?;
        Ok(url)
    }

    /// Returns the address with its password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `true` if the address holds a password or a token.
    #[must_use]
    pub fn has_password(&self) -> bool {
        !self.passwords().is_empty()
    }

    /// Returns the places of all passwords and tokens, in order.
    fn passwords(&self) -> Vec<Range<usize>> {
        let (mut found, mut begun) = (Vec::new(), 0);
        for part in self.0.split(',') {
            if let Some((scheme, rest)) = part.split_once("://")
                && let Some((login, _)) = rest.rsplit_once('@')
            {
                let start = begun + scheme.len() + "://".len();
                // A login without a password is a token.
                let user = login.split_once(':').map_or(0, |(user, _)| user.len() + 1);
                found.push(start + user..start + login.len());
            }
            begun += part.len() + 1;
        }
        found.retain(|place| !place.is_empty());
        found
    }
}

/// Checks that NATS servers can have this address.
#[cfg(feature = "nats")]
fn check(text: &str) -> Result<(), String> {
    handfast_server::BusAddress::parse(text).map(drop)
}

/// Refuses every address, because this program was built without a bus.
#[cfg(not(feature = "nats"))]
fn check(_: &str) -> Result<(), String> {
    Err("this program was built without NATS (the feature nats)".to_owned())
}

impl std::fmt::Display for BusUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = 0;
        for place in self.passwords() {
            f.write_str(self.0.get(shown..place.start).unwrap_or_default())?;
            f.write_str(HIDDEN)?;
            shown = place.end;
        }
        f.write_str(self.0.get(shown..).unwrap_or_default())
    }
}

impl std::fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BusUrl({self})")
    }
}

/// The address of the bus; an empty option overrides the file.
pub(super) fn bus_url() -> Kind<Option<BusUrl>> {
    let read = |value: &ConfigValue<'_>| {
        let text = value.text()?;
        if value.as_words().is_some() && text.is_empty() {
            return Ok(None);
        }
        // The value is not shown, because it may contain a password.
        BusUrl::parse(text).map(Some).map_err(|need| value.lacks(need))
    };
    Kind::new("ADDRESS", read, |url| url.as_ref().map(quoted))
}

#[cfg(all(test, feature = "nats"))]
mod tests {
    use super::*;

    #[test]
    fn a_password_or_a_token_is_never_shown() {
        for (text, shown) in [
            ("nats://handfast:geheim@127.0.0.1:4222", "nats://handfast:***@127.0.0.1:4222"),
            ("nats://geheim@a:1,tls://u:geheim@b", "nats://***@a:1,tls://u:***@b"),
        ] {
            let url = BusUrl::parse(text).unwrap();
            assert!(url.has_password());
            assert_eq!((url.to_string(), url.expose()), (shown.to_owned(), text));
            assert!(!format!("{url:?}").contains("geheim"));
            let error = BusUrl::parse(shown).unwrap_err();
            assert!(error.contains("put it in the place of ***"), "{error}");
        }
        let plain = BusUrl::parse("nats://127.0.0.1:4222").unwrap();
        assert!(!plain.has_password());
        assert_eq!(plain.to_string(), plain.expose());
    }
}
