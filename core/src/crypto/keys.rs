//! The two keys of a node or a gateway, made once from entropy and kept.

use zeroize::Zeroize;

use super::{ed25519, x25519};
use crate::entropy::Entropy;
use crate::secret::Secret;

/// Its own keys. Not `Clone`: machines borrow them for a step.
#[derive(Debug)]
pub struct OwnKeys {
    /// What its channels are made with: the static key that others know it by.
    pub channel: x25519::KeyPair,
    /// What it signs with.
    pub signing: ed25519::KeyPair,
}

impl OwnKeys {
    /// Fresh ones.
    #[must_use]
    pub fn generate(entropy: &Entropy<64>) -> Self {
        Self::from_halves(entropy.expose())
    }

    /// Those that were kept.
    #[must_use]
    pub fn from_stored(stored: &Secret<64>) -> Self {
        Self::from_halves(stored.expose())
    }

    /// The private halves, for whoever keeps them: X25519 first.
    #[must_use]
    pub fn to_stored(&self) -> Secret<64> {
        let mut both = [0; 64];
        let halves = [self.channel.to_stored(), self.signing.to_stored()];
        for (place, byte) in both.iter_mut().zip(halves.iter().flat_map(Secret::expose)) {
            *place = *byte;
        }
        let stored = Secret::new(both);
        both.zeroize();
        stored
    }

    fn from_halves(both: &[u8; 64]) -> Self {
        let (channel, signing) = both.split_first_chunk().unwrap_or((&[0; 32], &[]));
        let signing = signing.first_chunk().unwrap_or(&[0; 32]);
        Self {
            channel: x25519::KeyPair::from_stored(&Secret::new(*channel)),
            signing: ed25519::KeyPair::from_stored(&Secret::new(*signing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_keys_are_the_same_keys_again() {
        let keys = OwnKeys::generate(&Entropy::from_recorded(core::array::from_fn(|at| at as u8)));
        let again = OwnKeys::from_stored(&keys.to_stored());
        assert_eq!(again.channel.public(), keys.channel.public());
        assert_eq!(again.signing.public(), keys.signing.public());
        assert_ne!(keys.channel.to_stored(), keys.signing.to_stored());
    }
}
