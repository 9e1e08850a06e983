//! The one-time secret of a login link: 128 bits, 22 characters of URL-safe base64. The gateway
//! keeps only its hash.

use zeroize::Zeroizing;

use super::stored_hash::stored_hash;
use crate::crypto::{base64url, labels, sha256};
use crate::entropy::Entropy;
use crate::secret::Secret;

/// Length of such a secret as text, in bytes.
pub const LOGIN_SECRET_CHARS: usize = 22;

/// The secret behind the `#` of a login link.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LoginSecret(Secret<16>);

impl LoginSecret {
    /// Makes a fresh secret.
    #[must_use]
    pub fn mint(entropy: &Entropy<16>) -> Self {
        Self(Secret::new(*entropy.expose()))
    }

    /// Reads the text that [`write`](Self::write) writes; returns `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 16]);
        let whole: [u8; 16] = (*base64url::decode(text, &mut *bytes)?).try_into().ok()?;
        Some(Self(Secret::new(whole)))
    }

    /// Writes the text, which is as secret as the secret itself. The caller wipes it.
    #[must_use]
    pub fn write<'o>(&self, out: &'o mut [u8; LOGIN_SECRET_CHARS]) -> &'o str {
        base64url::encode(self.0.expose(), out).unwrap_or_default()
    }

    /// Computes the stored form.
    #[must_use]
    pub fn hash(&self) -> LoginSecretHash {
        LoginSecretHash(sha256::hash_parts(labels::LOGIN_LINK, &[self.0.expose()]))
    }
}

stored_hash! {
    /// The stored form of a [`LoginSecret`]: SHA-256 over a label and the secret.
    #[derive(Clone, Copy)]
    LoginSecretHash
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn a_login_secret_reads_back_and_no_other_text_does() {
        let secret = LoginSecret::mint(&Entropy::from_recorded([0xa7; 16]));
        let mut out = [0; LOGIN_SECRET_CHARS];
        let text = secret.write(&mut out).to_string();
        assert_eq!(text.len(), LOGIN_SECRET_CHARS);
        assert_eq!(LoginSecret::parse(&text).unwrap().hash(), secret.hash());
        for wrong in ["", &text[1..], &(text.clone() + "A"), &format!("+{}", &text[1..])] {
            assert!(LoginSecret::parse(wrong).is_none(), "{wrong}");
        }
        let other = LoginSecret::mint(&Entropy::from_recorded([0xa8; 16]));
        assert_ne!(other.hash(), secret.hash());
    }
}
