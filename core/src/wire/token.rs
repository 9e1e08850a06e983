//! A bearer token as it is sent: 32 random bytes in URL-safe base64 without padding.

use crate::crypto::base64url;
use crate::secret::Secret;
use crate::secret::exposed::{Conceal, Expose};

/// Length of a token, in ASCII characters.
pub const TOKEN_CHARS: usize = 43;

/// The 43 characters of a token. The characters themselves are the secret and are never decoded.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Token(Secret<TOKEN_CHARS>);

impl Token {
    /// Accepts 43 characters of the alphabet; returns `None` for anything else, which no token can
    /// equal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let chars: [u8; TOKEN_CHARS] = text.as_bytes().try_into().ok()?;
        chars.iter().copied().all(base64url::is_alphabet).then_some(Self(Secret::new(chars)))
    }

    pub(crate) const fn from_chars(chars: [u8; TOKEN_CHARS]) -> Self {
        Self(Secret::new(chars))
    }

    /// Returns the characters, for the places that show, send or store them.
    #[must_use]
    pub fn expose(&self) -> &str {
        // Only alphabet characters are ever held; the fallback is never taken.
        core::str::from_utf8(self.0.expose()).unwrap_or("")
    }
}

impl Expose for Token {
    fn expose_to<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.expose())
    }
}

impl<'de> Conceal<'de> for Token {
    fn conceal_from<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <&str as serde::Deserialize>::deserialize(from)?;
        Self::parse(text).ok_or_else(|| serde::de::Error::custom("no token"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forty_three_characters_of_the_alphabet_are_a_token() {
        let good = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
        assert_eq!(Token::parse(good).unwrap().expose(), good);
        for bad in [
            "",
            "short",
            "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ=",
            "HTrGwLwHno/hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ",
        ] {
            assert_eq!(Token::parse(bad), None, "{bad:?}");
        }
    }
}
