//! X25519 (RFC 7748): key pairs, canonical public keys, and shared secrets that are never all
//! zeros.

use x25519_dalek::StaticSecret;

use crate::entropy::Entropy;
use crate::secret::Secret;
use crate::serial::serial_bytes;

/// The public key is not canonical, or no secret can be shared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BadKey;

/// 2^255 - 19, little endian: the lowest value that is not a coordinate (RFC 7748, section 4.1).
const PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// Returns `true` for a coordinate below 2^255 - 19, little endian.
pub(super) fn is_below_prime(bytes: &[u8; 32]) -> bool {
    // Both are compared from the most significant byte down.
    bytes.iter().rev().lt(PRIME.iter().rev())
}

/// A public key as sent by a peer. It is below 2^255 - 19, so each key has one encoding. Points of
/// small order parse; they fail in [`KeyPair::agree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Checks the bytes from a peer or a store.
    ///
    /// # Errors
    /// [`BadKey`] for a value of 2^255 - 19 or more, and so for each with bit 255 set. RFC 7748
    /// would reduce or mask them, which would give one key several names.
    pub fn parse(bytes: &[u8; 32]) -> Result<Self, BadKey> {
        // A second spelling of a key would pass for a second key.
        if is_below_prime(bytes) { Ok(Self(*bytes)) } else { Err(BadKey) }
    }

    /// Returns the encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

serial_bytes!(PublicKey, |bytes| Self::parse(bytes).ok(), as_bytes);

/// A private key and its public key. The type is not `Clone`; a handshake borrows the static one.
pub struct KeyPair {
    secret: StaticSecret,
    public: PublicKey,
}

impl KeyPair {
    /// Makes a fresh key; the bits that RFC 7748 fixes are set when it is used.
    #[must_use]
    pub fn generate(entropy: &Entropy<32>) -> Self {
        Self::new(StaticSecret::from(*entropy.expose()))
    }

    /// Restores a key from a store. It computes the public key anew, so the two cannot disagree.
    #[must_use]
    pub fn from_stored(secret: &Secret<32>) -> Self {
        Self::new(StaticSecret::from(*secret.expose()))
    }

    #[inline(never)]
    fn new(secret: StaticSecret) -> Self {
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }

    /// Returns the private half, for a store.
    #[must_use]
    pub fn to_stored(&self) -> Secret<32> {
        Secret::new(self.secret.to_bytes())
    }

    /// Returns the public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Computes the shared secret (RFC 7748, section 6.1).
    ///
    /// # Errors
    /// [`BadKey`] if it is all zeros, as it is exactly for points of small order.
    #[inline(never)]
    pub fn agree(&self, peer: &PublicKey) -> Result<Secret<32>, BadKey> {
        // The call is not inlined, so that the ladder is compiled with the settings of its own
        // crate; this crate's may optimise for size.
        let diffie_hellman = core::hint::black_box(StaticSecret::diffie_hellman as fn(&_, &_) -> _);
        let shared: x25519_dalek::SharedSecret =
            diffie_hellman(&self.secret, &x25519_dalek::PublicKey::from(peer.0));
        // A key of small order gives a shared value that anybody knows.
        if shared.was_contributory() { Ok(Secret::new(shared.to_bytes())) } else { Err(BadKey) }
    }
}

impl core::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for KeyPair {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "KeyPair({})", self.public);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(byte: u8) -> KeyPair {
        KeyPair::generate(&Entropy::from_recorded([byte; 32]))
    }

    #[test]
    fn two_pairs_agree_and_a_stored_one_is_the_same_key() {
        let (a, b) = (pair(1), pair(2));
        assert_eq!(a.agree(b.public()), b.agree(a.public()));
        let restored = KeyPair::from_stored(&a.to_stored());
        assert_eq!(restored.public(), a.public());
        assert_eq!(restored.agree(b.public()), a.agree(b.public()));
    }

    #[test]
    fn keys_from_the_prime_upwards_and_with_the_top_bit_do_not_parse() {
        let mut below = PRIME;
        below[0] = 0xec;
        assert!(PublicKey::parse(&below).is_ok());
        for low in 0xed..=0xff {
            let mut key = PRIME;
            key[0] = low;
            assert_eq!(PublicKey::parse(&key), Err(BadKey), "{low:x}");
        }
        for top in 0x80..=0xff {
            let mut key = *pair(3).public().as_bytes();
            key[31] = top;
            assert_eq!(PublicKey::parse(&key), Err(BadKey), "{top:x}");
        }
    }

    #[test]
    fn every_point_of_small_order_is_refused() {
        // The canonical ones of the list at https://cr.yp.to/ecdh.html#validate: 0, 1, two of order
        // 8, p - 1.
        let mut minus_one = PRIME;
        minus_one[0] = 0xec;
        let one = core::array::from_fn(|i| u8::from(i == 0));
        let eight = [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
            0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
            0x5f, 0x49, 0xb8, 0x00,
        ];
        let other_eight = [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83,
            0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd,
            0xd0, 0x9f, 0x11, 0x57,
        ];
        for point in [[0; 32], one, eight, other_eight, minus_one] {
            let key = PublicKey::parse(&point).unwrap();
            assert_eq!(pair(4).agree(&key), Err(BadKey), "{point:x?}");
        }
    }

    #[test]
    fn a_key_pair_prints_only_its_public_half() {
        let shown = std::format!("{:?}", pair(0x5a));
        assert!(!shown.contains("90, 90"), "{shown}");
    }
}
