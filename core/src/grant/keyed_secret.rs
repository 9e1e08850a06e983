//! Bearer secrets that are found by a public id: `ID.SECRET`, both in URL-safe base64.
//!
//! The registry keeps the id, and of the secret only a hash. The secret has 256 random bits, so a
//! fast hash suffices. Each use has its own hash, so a secret of one use never counts for another.

use zeroize::Zeroizing;

use super::stored_hash::stored_hash;
use crate::crypto::{base64url, labels, sha256};
use crate::entropy::Entropy;
use crate::secret::Secret;

/// Maximum length of such a secret as text, in bytes.
pub const KEYED_SECRET_CHARS: usize = PREFIX_CHARS + ID_CHARS + 1 + SECRET_CHARS;

const PREFIX_CHARS: usize = "prov_".len();
const ID_CHARS: usize = 22;
const SECRET_CHARS: usize = 43;

/// The use of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SecretUse {
    /// It lets one node register over HTTP, once.
    ProvisioningToken,
    /// It authenticates the later HTTP requests of a node that has registered.
    NodeKey,
    /// It authenticates the requests of an operator's browser, as a cookie.
    OperatorSession,
    /// It authenticates the requests of an operator's program, as a bearer.
    OperatorToken,
}

impl SecretUse {
    /// Returns the beginning of the text.
    const fn prefix(self) -> &'static str {
        match self {
            Self::ProvisioningToken => "prov_",
            Self::NodeKey | Self::OperatorSession => "",
            Self::OperatorToken => "hfop_",
        }
    }

    const fn label(self) -> &'static [u8] {
        match self {
            Self::ProvisioningToken => labels::PROVISIONING_TOKEN,
            Self::NodeKey => labels::NODE_KEY,
            Self::OperatorSession => labels::OPERATOR_SESSION,
            Self::OperatorToken => labels::OPERATOR_TOKEN,
        }
    }
}

/// A bearer secret with the id by which it is found.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KeyedSecret {
    used_as: SecretUse,
    id: [u8; 16],
    secret: Secret<32>,
}

impl KeyedSecret {
    /// Makes a fresh secret.
    #[must_use]
    pub fn mint(used_as: SecretUse, id: &Entropy<16>, secret: &Entropy<32>) -> Self {
        Self { used_as, id: *id.expose(), secret: Secret::new(*secret.expose()) }
    }

    /// Reads the text that [`write`](Self::write) writes; returns `None` for any other text.
    #[must_use]
    pub fn parse(used_as: SecretUse, text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(used_as.prefix())?.split_once('.')?;
        let mut bytes = [0; 16];
        let id: [u8; 16] = (*base64url::decode(id, &mut bytes)?).try_into().ok()?;
        // The id is public, so only the buffer of the secret is wiped.
        let mut bytes = Zeroizing::new([0; 32]);
        let secret: [u8; 32] = (*base64url::decode(secret, &mut *bytes)?).try_into().ok()?;
        Some(Self { used_as, id, secret: Secret::new(secret) })
    }

    /// Writes the text, which is as secret as the secret itself. The caller wipes it.
    #[must_use]
    pub fn write<'o>(&self, out: &'o mut [u8; KEYED_SECRET_CHARS]) -> &'o str {
        let prefix = self.used_as.prefix().as_bytes();
        let (mut id, mut secret) = ([0; ID_CHARS], Zeroizing::new([0; SECRET_CHARS]));
        let id = base64url::encode(&self.id, &mut id).unwrap_or_default();
        let secret = base64url::encode(self.secret.expose(), &mut *secret).unwrap_or_default();
        let parts = [prefix, id.as_bytes(), b".", secret.as_bytes()];
        let mut written = 0_usize;
        for (place, byte) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
            written = written.saturating_add(1);
        }
        // Only letters and digits of ASCII are written; the fallback is never taken.
        out.get(..written).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// Returns the public id.
    #[must_use]
    pub const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// Computes the stored form.
    #[must_use]
    pub fn hash(&self) -> KeyedHash {
        KeyedHash(sha256::hash_parts(self.used_as.label(), &[&self.id, self.secret.expose()]))
    }

    /// Computes the CSRF token of an operator's session. Only who knows the secret can compute it,
    /// and it tells nothing about the secret.
    #[must_use]
    pub fn csrf_token(&self) -> Secret<32> {
        Secret::new(sha256::hash_parts(labels::CSRF_TOKEN, &[&self.id, self.secret.expose()]))
    }
}

stored_hash! {
    /// The stored form of a [`KeyedSecret`]: SHA-256 over the label of its use, its id and its
    /// secret.
    #[derive(Clone, Copy)]
    KeyedHash
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    fn secret(used_as: SecretUse) -> KeyedSecret {
        let (id, secret) = (Entropy::from_recorded([1; 16]), Entropy::from_recorded([0xff; 32]));
        KeyedSecret::mint(used_as, &id, &secret)
    }

    #[test]
    fn a_secret_reads_back_and_tells_nothing_when_it_is_printed() {
        for (used_as, length) in [
            (SecretUse::ProvisioningToken, 71),
            (SecretUse::NodeKey, 66),
            (SecretUse::OperatorSession, 66),
            (SecretUse::OperatorToken, 71),
        ] {
            let mut out = [0; KEYED_SECRET_CHARS];
            let made = secret(used_as);
            let text = made.write(&mut out).to_string();
            assert_eq!(text.len(), length);
            let read = KeyedSecret::parse(used_as, &text).unwrap();
            assert_eq!((read.id(), read.hash()), (&[1; 16], made.hash()));
            assert!(!format!("{read:?} {:?}", read.hash()).contains("255"));
        }
    }

    #[test]
    fn a_secret_counts_for_its_own_use_and_its_own_id_alone() {
        let (token, key) = (secret(SecretUse::ProvisioningToken), secret(SecretUse::NodeKey));
        assert_ne!(token.hash(), key.hash());
        let session = secret(SecretUse::OperatorSession);
        assert_ne!(session.hash(), secret(SecretUse::OperatorToken).hash());
        assert_ne!(session.hash().as_bytes(), session.csrf_token().expose());
        let (id, entropy) = (Entropy::from_recorded([2; 16]), Entropy::from_recorded([0xff; 32]));
        assert_ne!(KeyedSecret::mint(SecretUse::NodeKey, &id, &entropy).hash(), key.hash());
        let mut out = [0; KEYED_SECRET_CHARS];
        let text = token.write(&mut out);
        assert!(KeyedSecret::parse(SecretUse::NodeKey, text).is_none());
    }

    #[test]
    fn any_other_text_is_no_secret() {
        let mut out = [0; KEYED_SECRET_CHARS];
        let text = secret(SecretUse::NodeKey).write(&mut out).to_string();
        for cut in 0..text.len() {
            assert!(KeyedSecret::parse(SecretUse::NodeKey, &text[..cut]).is_none(), "{cut}");
        }
        for wrong in [text.clone() + "A", text.replace('.', ":"), text.replace('.', "..")] {
            assert!(KeyedSecret::parse(SecretUse::NodeKey, &wrong).is_none(), "{wrong}");
        }
    }
}
