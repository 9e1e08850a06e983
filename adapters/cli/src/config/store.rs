//! Readers and printers for the keys of a registry that several gateways share.

use std::ops::Range;

use handfast_stdio::Hint;
use zeroize::Zeroizing;

use super::key::{ConfigKey, Kind};
use super::print::quoted;
use super::value::{ConfigProblem, ConfigValue};

/// The text in the place of a password where an address is shown.
pub(super) const HIDDEN: &str = "***";
/// The beginning of a password among named parts.
const NAMED: &str = "password=";

/// The address of a database with a registry that several gateways share. It may hold a password,
/// which is left out wherever the address is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreAddress(Zeroizing<String>);

impl StoreAddress {
    /// Parses an address.
    ///
    /// # Errors
    /// The requirement that it does not meet, without the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let address = Self(Zeroizing::new(text.trim().to_owned()));
        if address.passwords().into_iter().any(|place| address.0.get(place) == Some(HIDDEN)) {
            return Err(format!(
                "its password was left out where it was printed; put it in the place of {HIDDEN}"
            ));
        }
        check(&address.0)?;
        Ok(address)
    }

    /// Returns the address with its password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `true` if the address holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        !self.passwords().is_empty()
    }

    /// Returns the places of all parts that are, or may be, passwords, in order.
    fn passwords(&self) -> Vec<Range<usize>> {
        let text = self.0.as_str();
        let mut found = Vec::new();
        if let Some((scheme, rest)) = text.split_once("://")
            // A password may hold any character, so the last sign ends it.
            && let Some((user, _)) = rest.rsplit_once('@')
            && let Some((name, password)) = user.split_once(':')
        {
            let start = scheme.len() + "://".len() + name.len() + ":".len();
            found.push(start..start + password.len());
        }
        for (at, word) in text.match_indices(NAMED) {
            let start = at + word.len();
            let rest = text.get(start..).unwrap_or_default();
            found.push(start..start + rest.find(['&', ' ']).unwrap_or(rest.len()));
        }
        found.retain(|place| !place.is_empty());
        found
    }
}

/// Checks that a database can have this address.
#[cfg(feature = "postgres")]
fn check(text: &str) -> Result<(), String> {
    handfast_store::PostgresAddress::parse(text).map(drop).map_err(|error| error.to_string())
}

/// Refuses every address, because this program was built without any database.
#[cfg(not(feature = "postgres"))]
fn check(_: &str) -> Result<(), String> {
    Err("this program was built without PostgreSQL (the feature postgres)".to_owned())
}

impl std::fmt::Display for StoreAddress {
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

impl std::fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoreAddress({self})")
    }
}

/// The address of a shared registry; an empty option overrides the file.
pub(super) fn store_address() -> Kind<Option<StoreAddress>> {
    let read = |value: &ConfigValue<'_>| {
        let text = value.text()?;
        if value.as_words().is_some() && text.is_empty() {
            return Ok(None);
        }
        // The value is not shown, because it may contain a password.
        StoreAddress::parse(text).map(Some).map_err(|need| value.lacks(need))
    };
    Kind::new("ADDRESS", read, |address| address.as_ref().map(quoted))
}

/// The name of a gateway among those that share its registry.
pub(super) fn gateway_id() -> Kind<Option<String>> {
    let read = |value: &ConfigValue<'_>| -> Result<_, ConfigProblem> {
        let need = "it must be 1 to 64 ASCII letters, digits, `.`, `-` and `_`";
        value.parsed(need, |text| is_gateway_id(text).then(|| Some(text.to_owned())))
    };
    Kind::new("NAME", read, |name| name.as_ref().map(quoted))
}

/// Returns `true` if the other gateways can call one by this name.
#[must_use]
pub fn is_gateway_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// Returns the problem of an address with a password that was given as an option.
pub(super) fn seen_by_others(key: &ConfigKey) -> String {
    let ConfigKey { name, option, .. } = key;
    format!(
        "--{option} has a password, which everybody on this machine sees in the list of processes; \
         put the address into the variable {}, or into a file that only the gateway reads ({name} = \
         \"…\", with --config)",
        key.variable()
    )
}

/// Returns the problem of a file with such an address that everybody may read.
pub(super) fn open_to_others(path: &std::path::Path) -> String {
    let mend = Hint::new("chmod", "o=").arg(path);
    format!(
        "it has the password of the database or of the bus, and everybody may read it; mend it with: {mend}"
    )
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown_wherever_it_stands_in_the_address() {
        for (text, shown) in [
            ("postgres://handfast:geheim@db/handfast", "postgres://handfast:***@db/handfast"),
            ("postgres://handfast:ge@h:e/im@db/x", "postgres://handfast:***@db/x"),
            (
                "postgres://db/x?user=a&password=geheim&x=1",
                "postgres://db/x?user=a&password=***&x=1",
            ),
            (
                "host=/run/postgresql user=a password=geheim dbname=x",
                "host=/run/postgresql user=a password=*** dbname=x",
            ),
        ] {
            let address = StoreAddress(Zeroizing::new(text.to_owned()));
            assert!(address.has_password());
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("geheim"));
        }
        let plain = StoreAddress::parse("postgres://handfast@127.0.0.1:5433/handfast").unwrap();
        assert!(!plain.has_password());
        assert_eq!(plain.to_string(), plain.expose());
    }

    #[test]
    fn an_address_that_was_printed_is_not_taken_without_its_password() {
        let error = StoreAddress::parse("postgres://a:***@db/x").unwrap_err();
        assert!(error.contains("put it in the place of ***"), "{error}");
        let far = "postgres://a:geheim@db/x?sslmode=disable";
        let error = StoreAddress::parse(far).unwrap_err();
        assert!(error.contains("loopback") && !error.contains("geheim"), "{error}");
    }
}
