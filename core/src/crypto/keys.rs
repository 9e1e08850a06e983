//! The key pairs of a node or a gateway, made once from entropy and stored: one for its channels,
//! and one that signs, which a device without the feature `identity` only stores.

use zeroize::Zeroize;

#[cfg(feature = "identity")]
use super::ed25519;
use super::x25519;
use crate::entropy::Entropy;
use crate::secret::Secret;

/// The key pairs of a node or a gateway. The type is not `Clone`; machines borrow it for a step.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OwnKeys {
    /// The static key pair of its channels, by which others know it.
    pub channel: x25519::KeyPair,
    /// The key pair that signs, with the feature `identity`.
    #[cfg(feature = "identity")]
    pub signing: ed25519::KeyPair,
    /// The seed of the key pair that signs. It is kept, so that a later firmware with the feature
    /// `identity` has the key that the same entropy made.
    #[cfg(not(feature = "identity"))]
    seed: Secret<32>,
}

impl OwnKeys {
    /// Makes fresh key pairs.
    #[must_use]
    pub fn generate(entropy: &Entropy<64>) -> Self {
        Self::from_halves(entropy.expose())
    }

    /// Restores key pairs from a store.
    #[must_use]
    pub fn from_stored(stored: &Secret<64>) -> Self {
        Self::from_halves(stored.expose())
    }

    /// Returns these key pairs with a fresh one for channels. The one that signs stays, and with it
    /// everything that it has signed.
    #[must_use]
    pub fn with_new_channel(&self, entropy: &Entropy<32>) -> Self {
        let mut both = *self.to_stored().expose();
        let fresh = x25519::KeyPair::generate(entropy).to_stored();
        for (place, byte) in both.iter_mut().zip(fresh.expose()) {
            *place = *byte;
        }
        let keys = Self::from_halves(&both);
        both.zeroize();
        keys
    }

    /// Returns the private halves for a store, X25519 first.
    #[must_use]
    pub fn to_stored(&self) -> Secret<64> {
        let mut both = [0; 64];
        #[cfg(feature = "identity")]
        let seed = self.signing.to_stored();
        #[cfg(not(feature = "identity"))]
        let seed = Secret::new(*self.seed.expose());
        let halves = [self.channel.to_stored(), seed];
        for (place, byte) in both.iter_mut().zip(halves.iter().flat_map(Secret::expose)) {
            *place = *byte;
        }
        let stored = Secret::new(both);
        both.zeroize();
        stored
    }

    fn from_halves(both: &[u8; 64]) -> Self {
        // Both halves have their full length, so the zeros never stand in for one.
        let (channel, signing) = both.split_first_chunk().unwrap_or((&[0; 32], &[]));
        let seed = Secret::new(*signing.first_chunk().unwrap_or(&[0; 32]));
        Self {
            channel: x25519::KeyPair::from_stored(&Secret::new(*channel)),
            #[cfg(feature = "identity")]
            signing: ed25519::KeyPair::from_stored(&seed),
            #[cfg(not(feature = "identity"))]
            seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_channel_leaves_the_key_that_signs() {
        let keys = OwnKeys::generate(&Entropy::from_recorded([1; 64]));
        let newer = keys.with_new_channel(&Entropy::from_recorded([2; 32]));
        assert_ne!(newer.channel.public(), keys.channel.public());
        assert_eq!(newer.to_stored().expose()[32..], keys.to_stored().expose()[32..]);
    }

    #[test]
    fn kept_keys_are_the_same_keys_again() {
        let keys = OwnKeys::generate(&Entropy::from_recorded(core::array::from_fn(|at| at as u8)));
        let again = OwnKeys::from_stored(&keys.to_stored());
        assert_eq!(again.channel.public(), keys.channel.public());
        assert_eq!(again.to_stored(), keys.to_stored());
        #[cfg(feature = "identity")]
        assert_eq!(again.signing.public(), keys.signing.public());
    }
}
